"""How much more is alive after two hundred models than after a few."""

from __future__ import annotations

import collections
import gc

import keras

from manners.programs import program
from manners.seen import Seen, kind
from manners.small import data

MODELS = 200
SETTLED = 20
"""Models after which caches that every model shares are filled."""

LIBRARIES = ("tensorflow", "keras", "numpy", "holdfast")


def live_objects() -> collections.Counter[str]:
    """How many objects there are of each class of the libraries, and how many others."""
    gc.collect()
    found: collections.Counter[str] = collections.Counter()
    for thing in gc.get_objects():
        name = kind(thing)
        found[name if name.startswith(LIBRARIES) else f"other {type(thing).__name__}"] += 1
    return found


def train_one(place: int) -> None:
    """Builds a model, trains it and lets go of it."""
    model = keras.Sequential([keras.layers.Dense(2 + place % 3), keras.layers.Dense(2, activation="softmax")])
    optimizer = "adam" if place % 5 == 2 else "sgd"
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = data()
    x = x + place  # as a fold's or a round's data differ from those of the one before
    if place % 4 == 3:
        model.evaluate(x[:8], y[:8], verbose=0)
    model.fit(x, y, batch_size=24, epochs=1, verbose=0, validation_data=(x[:8], y[:8]))


@program
def two_hundred_models(see: Seen) -> None:
    counts = []
    for place in range(MODELS):
        train_one(place)
        if place + 1 in (SETTLED, MODELS):
            see.settle()
            keras.backend.clear_session()
            counts.append(live_objects())
    first, last = counts
    grown = {name: last[name] - first[name] for name in sorted({*first, *last}) if last[name] != first[name]}
    for name, number in grown.items():
        see.note(f"grown {name}", number)
