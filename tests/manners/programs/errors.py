"""Errors that Keras raises: wrong arguments, and models that are not compiled."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from manners.programs import program
from manners.seen import Seen, frames
from manners.small import FIT, classifier, data


@program
def wrong_arguments(see: Seen) -> None:
    x, y = data()
    model = classifier()
    calls: dict[str, Any] = {
        "unknown": lambda: model.fit(x, y, epoch=1),
        "named like ours": lambda: model.fit(x, y, model=1),
        "named like itself": lambda: model.fit(x, y, self=1),
        "named as others": lambda: model.fit(x, y, call=1, args=2, kwargs=3),
        "too many": lambda: model.fit(*range(40)),
        "twice": lambda: model.fit(x, y, x=x),
        "no data": model.fit,
        "no model": keras.Model.fit,
        "not a model": lambda: keras.Model.fit(3, x, y),
        "another object": lambda: keras.Model.fit(object(), x, y),
        "lengths": lambda: model.fit(x, y[:-1], **FIT),
        "shapes": lambda: model.fit(x[:, None, None], y, **FIT),
        "epochs as a text": lambda: model.fit(x, y, epochs="3", verbose=0),
        "epochs as none": lambda: model.fit(x, y, epochs=None, verbose=0),
        "epochs as a fraction": lambda: model.fit(x, y, epochs=1.5, verbose=0),
        "first epoch as a text": lambda: model.fit(x, y, epochs=1, initial_epoch="0", verbose=0),
        "batch size": lambda: model.fit(x, y, batch_size=0, verbose=0),
        "split": lambda: model.fit(x, y, validation_split=2.0, verbose=0),
        "callbacks": lambda: model.fit(x, y, callbacks=3, verbose=0),
        "a callback's class": lambda: model.fit(x, y, callbacks=[keras.callbacks.History], verbose=0),
        "labels with a pipeline": lambda: model.fit(tf.data.Dataset.range(3).batch(1), y, verbose=0),
        "objects": lambda: model.fit(np.array([object()] * 24), y, verbose=0),
        "texts": lambda: model.fit("text", "label", verbose=0),
    }
    for key, call in calls.items():
        see.raising(key, call)
    model = classifier(units=5)
    see.note("by name", model.fit(x=x, y=y, epochs=np.int64(2), batch_size=np.int32(8), verbose=0).history)
    see.note("by place", model.fit(x, y, 8, 2, 0, None, 0.25).history)
    see.note("epochs as true", model.fit(x, y, epochs=True, verbose=0).history)
    see.model(model)


@program
def tracebacks_of_errors_in_keras(see: Seen) -> None:
    """Keras shows its innermost frame where none but its own are left, which tells where it failed."""
    for key, filtering in (("filtered", True), ("in full", False)):
        if not filtering:
            keras.config.disable_traceback_filtering()
        try:
            errors_in_keras(see, key)
        finally:
            keras.config.enable_traceback_filtering()


def errors_in_keras(see: Seen, when: str) -> None:
    """Lets every frame of some errors be seen."""
    x, y = data()
    model = classifier()
    calls: dict[str, Any] = {
        "lengths": lambda: model.fit(x, y[:-1], **FIT),
        "labels with a pipeline": lambda: model.fit(tf.data.Dataset.range(3).batch(1), y, verbose=0),
        "no optimizer": lambda: classifier(None).fit(x, y),
        "evaluated": lambda: model.evaluate(x, y[:-1]),
        "called": lambda: model(tf.ones((1, 2, 3, 4))),
        "weights": lambda: model.set_weights([1]),
        "unknown": lambda: model.predict(x, unknown=1),
        "no model": keras.Model.evaluate,
        "no callback": lambda: model.fit(x, y, callbacks=[1], **FIT),
        "metric": lambda: keras.metrics.Mean(nonsense=1),
    }
    for key, call in calls.items():
        try:
            call()
        except Exception as error:
            see.note(f"{when} {key}", [frame[1:] for frame in frames(error)])
        else:
            see.note(f"{when} {key}", "nothing raised")


@program
def not_compiled(see: Seen) -> None:
    see.raising("fit", lambda: classifier(None).fit(*data()))
    see.raising("evaluate", lambda: classifier(None).evaluate(*data()))
    see.raising("batch", lambda: classifier(None).train_on_batch(*data()))
    see.raising("empty", lambda: keras.Sequential().fit(*data()))
    model = classifier(None)
    model.compile("adam")
    see.raising("no loss", lambda: model.fit(*data(), **FIT))
    model.compile(None, "mse")
    see.raising("no optimizer", lambda: model.fit(*data(), **FIT))
    see.raising("wrong loss", lambda: model.compile("adam", "no such loss"))
