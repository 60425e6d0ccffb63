"""Copies, pickles and files of models."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.callbacks.callback_list import CallbackList

from manners.programs import program
from manners.seen import Seen, plain
from manners.small import FIT, classifier, data


@program
def copies_and_pickles(see: Seen) -> None:
    model = classifier()
    history = model.fit(*data(), **FIT)
    for key, thing in (
        ("model", model),
        ("optimizer", model.optimizer),
        ("layer", model.layers[0]),
        ("metric", keras.metrics.Mean()),
        ("history", history),
        ("history's values", history.history),
        ("callback", keras.callbacks.EarlyStopping()),
        ("bound method", model.fit),
        ("method", keras.Model.fit),
        ("class", keras.Model),
        ("dataset", tf.data.Dataset.range(3)),
        ("list", CallbackList),
    ):
        ways: dict[str, Callable[[Any], Any]] = {
            "pickled": lambda one: pickle.loads(pickle.dumps(one)),
            "deep": copy.deepcopy,
            "shallow": copy.copy,
        }
        for way, action in ways.items():
            try:
                made = action(thing)
            except Exception as error:
                see.note(f"{key} {way}", [type(error).__name__, plain(str(error))])
                continue
            see.note(f"{key} {way}", [str(type(made)), weights(made)])
    again = pickle.loads(pickle.dumps(model))
    see.model(again, again.fit(*data(), **FIT), "again")
    deep = copy.deepcopy(model)
    see.model(deep, deep.fit(*data(), **FIT), "deep copy")
    see.model(model, model.fit(*data(), **FIT), "original")


def weights(thing: Any) -> Any:
    """Its weights, if it has any."""
    return plain(thing.get_weights()) if hasattr(thing, "get_weights") and not isinstance(thing, type) else None


@program
def saved_and_loaded(see: Seen) -> None:
    model = classifier(metrics=["accuracy"])
    model.fit(*data(), **FIT)
    model.save("whole.keras")
    model.save_weights("only.weights.h5")
    model.export("exported", verbose=False)
    model.save("old.h5")
    see.note("config", model.get_config())
    see.note("json", model.to_json())
    see.note("compile config", model.get_compile_config())
    for name in ("whole.keras", "old.h5"):
        loaded = keras.models.load_model(name)
        see.model(loaded, key=name)
        see.raising(f"{name} raised", lambda: see.model(loaded, loaded.fit(*data(), **FIT), f"{name} trained"))  # noqa: B023
    fresh = classifier()
    fresh.build((None, 4))
    fresh.load_weights("only.weights.h5")
    see.model(fresh, fresh.fit(*data(), **FIT), "weights")
    exported = tf.saved_model.load("exported")
    see.note("served", exported.serve(data()[0]).numpy())
