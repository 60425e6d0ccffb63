"""Ways to hand data to a training, and how often they are asked for what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from manners.programs import program
from manners.seen import Seen
from manners.small import FIT, EveryEvent, classifier, data

DATASET: dict[str, Any] = {"epochs": 2, "verbose": 0}


@program
def arrays_with_weights(see: Seen) -> None:
    x, y = data()
    before = (x.copy(), y.copy())
    model = classifier(eagerly=False, weighted_metrics=["accuracy"])
    history = model.fit(
        x,
        y,
        **FIT,
        sample_weight=np.linspace(0.5, 1.5, 24),
        validation_data=(x, y, np.ones(24)),
        validation_freq=2,
    )
    see.model(model, history)
    see.model(model, model.fit(x, y, **FIT, class_weight={0: 1.0, 1: 2.0}, shuffle=False), "second")
    see.note("untouched", [bool((one == two).all()) for one, two in zip((x, y), before, strict=True)])


@program
def lists_and_tensors(see: Seen) -> None:
    x, y = data()
    model = classifier()
    see.model(model, model.fit(tf.constant(x), tf.constant(y), **FIT), "tensors")
    see.raising("lists", lambda: see.model(model, model.fit(x.tolist(), y.tolist(), **FIT), "lists"))
    view = x[::2]
    view.flags.writeable = False
    see.model(model, model.fit(view, y[::2], **FIT), "view")


class Lazy:
    """An array that is read when it is asked for, and notes that it was."""

    def __init__(self, array: Any) -> None:
        self.array, self.asked = array, [] if array is None else ["made"]
        self.shape, self.dtype = array.shape, array.dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.asked.append("__array__")
        return np.asarray(self.array, dtype)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        self.asked.append("__getitem__")
        return self.array[index]


@program
def arrays_that_note_when_they_are_read(see: Seen) -> None:
    x, y = Lazy(data()[0]), data()[1]
    model = classifier()
    see.raising("trained", lambda: see.model(model, model.fit(x, y, **FIT)))
    see.note("asked", x.asked)


@program
def pipeline_shuffled_without_a_seed(see: Seen) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(data()).shuffle(24).batch(8).prefetch(2)
    model = classifier()
    see.model(model, model.fit(dataset, **DATASET, validation_data=dataset))
    see.note("evaluated", model.evaluate(dataset, verbose=0))


@program
def pipeline_repeated(see: Seen) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(data()).shuffle(24, seed=3).repeat().batch(7)
    model = classifier("adam", eagerly=False)
    view = EveryEvent()
    see.model(model, model.fit(dataset, **DATASET, steps_per_epoch=5, callbacks=[view]))
    see.note("told", view.told)


@program
def pipeline_of_unknown_length(see: Seen) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(data()).batch(8).filter(lambda x, y: tf.size(y) > 0)
    model = classifier("adam", eagerly=False)
    view = EveryEvent()
    see.model(model, model.fit(dataset, **DATASET, callbacks=[view]))
    see.note("told", view.told)


@program
def pipeline_with_side_effects(see: Seen) -> None:
    pulled: list[int] = []

    def rows() -> Iterator[tuple[Any, Any]]:
        pulled.append(-1)
        for place, row in enumerate(zip(*data(), strict=True)):
            pulled.append(place)
            yield row

    signature = (tf.TensorSpec((4,), tf.float32), tf.TensorSpec((), tf.int32))
    dataset = tf.data.Dataset.from_generator(rows, output_signature=signature).batch(8)
    model = classifier()
    see.model(model, model.fit(dataset, **DATASET))
    see.note("pulled", pulled)


@program
def pipeline_with_python_functions_and_random_maps(see: Seen) -> None:
    seen: list[float] = []

    def look(value: Any) -> Any:
        seen.append(float(value[0]))
        return value * 2

    dataset = (
        tf.data.Dataset.from_tensor_slices(data())
        .map(lambda x, y: (tf.numpy_function(look, [x], tf.float32), y))
        .map(lambda x, y: (tf.ensure_shape(x, (4,)) + tf.random.uniform((4,)), y))
        .batch(8)
    )
    model = classifier()
    see.model(model, model.fit(dataset, **DATASET))
    see.note("seen", seen)


@program
def evaluating_and_predicting_in_between(see: Seen) -> None:
    x, y = data()
    model = classifier(eagerly=False, metrics=["accuracy"])
    see.note("untrained", model.evaluate(x, y, verbose=0, return_dict=True))
    for epoch in range(3):
        see.model(model, model.fit(x, y, **{**FIT, "epochs": 1}), f"epoch {epoch}")
        see.note(f"evaluated {epoch}", model.evaluate(x, y, verbose=0, return_dict=True))
        see.note(f"predicted {epoch}", model.predict(x, verbose=0, batch_size=5))
        see.note(f"called {epoch}", model(x, training=True))
