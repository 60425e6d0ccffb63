"""The process of one role of the benchmark of tiny calls: makes a round of them for every line it reads."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import colab_bootstrap
from holdfast.hooks.first_use import FirstUse
from holdfast.hooks.lookalike import lookalike
from holdfast.hooks.resumable import aside

SECONDS = 15.0
"""Between two snapshots, as by default."""


def calls() -> dict[str, Callable[[], Any]]:
    """The kinds of calls, on one small model."""
    x = np.random.default_rng(1).random((8, 4), dtype="float32")
    y = np.zeros(8, "int32")
    model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)
    batch = keras.ops.convert_to_tensor(x)
    return {
        "fit": lambda: model.fit(x, y, batch_size=8, verbose=0),
        "predict": lambda: model.predict(x, verbose=0),
        "evaluate": lambda: model.evaluate(x, y, verbose=0),
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "call": lambda: model(batch),
        "layer": lambda: model.layers[0](batch),
    }


def wrappers(handle: Any, number: int) -> dict[str, float]:
    """Seconds that each wrapper adds to a method that does nothing, once its object is known."""
    hooks = FirstUse(handle._tracker)
    thing = Thing()
    hooks._seen[thing] = True
    made: dict[str, Callable[..., Any]] = {
        "evaluate, predict, …_on_batch: first use": lookalike(method, hooks.entrance(method)),
        "the same, for loops": lookalike(method, aside(method)),
        "call of a model: first use": lookalike(method, hooks.call(method), only=Thing),
        "call of a layer that is no model": lookalike(method, hooks.call(method), only=int),
        "call of the look-alike alone": lookalike(method, method),
    }
    least = functools.partial(timeit.repeat, timer=time.thread_time, number=number, repeat=20)
    bare = min(least(lambda: method(thing, 1, verbose=0)))
    found = {}
    for name, wrapped in made.items():
        took = min(least(functools.partial(wrapped, thing, 1, verbose=0)))
        found[name] = (took - bare) / number
    return found


class Thing:
    """A model that does nothing."""


def method(*args: Any, **kwargs: Any) -> None:
    """With the parameters of Keras' decorated methods, which it does nothing with."""


def main() -> None:
    """``tiny.py ROLE FOLDER``; reads orders, each a kind and a number, and answers by lines of JSON."""
    role, folder = sys.argv[1:]
    answer, handle = sys.stdout, None
    with contextlib.redirect_stdout(sys.stderr):
        if role == "followed":
            handle = colab_bootstrap.start(
                f"{folder}/store",
                run="tiny",
                spool=f"{folder}/spool",
                snapshot_seconds=SECONDS,
                overhead_percent=0,
            )
        kinds = calls()
        for line in sys.stdin:
            kind, count = json.loads(line)
            if kind == "wrappers":
                found: Any = wrappers(handle, count)
            else:
                found = []
                for _ in range(count):
                    begun, used = time.perf_counter(), time.thread_time()
                    kinds[kind]()
                    found.append([time.perf_counter() - begun, time.thread_time() - used])
            print(json.dumps([found]), file=answer, flush=True)
        colab_bootstrap.stop()


if __name__ == "__main__":
    main()
