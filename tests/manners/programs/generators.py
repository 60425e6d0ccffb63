"""Data that come batch by batch: by index, from generators, and those that run dry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from manners.programs import program
from manners.programs.datasets import DATASET
from manners.seen import Seen
from manners.small import EveryEvent, classifier, data


class Batches(keras.utils.PyDataset):
    """Batches by index, with numbers of its own, that note how they are asked for."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.random = np.random.default_rng(3)
        self.order = np.arange(24)
        self.asked: list[Any] = []

    def __len__(self) -> int:
        self.asked.append("len")
        return math.ceil(len(self.order) / 8)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self.asked.append(index)
        x, y = data()
        chosen = self.order[index * 8 : index * 8 + 8]
        return x[chosen] + self.random.normal(size=(len(chosen), 4)).astype("float32"), y[chosen]

    def on_epoch_begin(self) -> None:
        self.asked.append("begin")

    def on_epoch_end(self) -> None:
        self.asked.append("end")
        self.random.shuffle(self.order)


@program
def batches_by_index(see: Seen) -> None:
    batches = Batches()
    model = classifier()
    see.model(model, model.fit(batches, **DATASET))
    see.note("asked", batches.asked)
    see.note("attributes", sorted(vars(batches)))
    see.note("next", batches.random.random())


class Indexed(keras.utils.PyDataset):
    """Batches that depend on their index alone."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        x, y = data()
        return x[index * 8 : index * 8 + 8], y[index * 8 : index * 8 + 8]


@program
def batches_by_index_and_threads(see: Seen) -> None:
    model = classifier()
    see.model(model, model.fit(Indexed(workers=2, max_queue_size=4), **DATASET, shuffle=False))


@program
def batches_by_index_and_processes(see: Seen) -> None:
    model = classifier()
    batches = Indexed(workers=2, use_multiprocessing=True, max_queue_size=4)
    see.model(model, model.fit(batches, **DATASET, shuffle=False))


def endless(log: list[int]) -> Iterator[tuple[Any, Any]]:
    """Batches without an end."""
    x, y = data()
    random = np.random.default_rng(2)  # its own: it is drawn from ahead, in a thread of TensorFlow's
    while True:
        chosen = random.permutation(24)[:8]
        log.append(len(log))
        yield x[chosen], y[chosen]


@program
def generator_without_an_end(see: Seen) -> None:
    log: list[int] = []
    batches = endless(log)
    model = classifier()
    see.model(model, model.fit(batches, **DATASET, steps_per_epoch=4))
    see.note("drawn", len(log) >= 8)


@program
def generator_that_runs_dry(see: Seen) -> None:
    log: list[int] = []
    batches = (next(endless(log)) for _ in range(6))
    model = classifier()
    view = EveryEvent()
    see.model(model, model.fit(batches, epochs=3, verbose=0, steps_per_epoch=4, callbacks=[view]))
    see.note("told", view.told)
    see.note("drawn", log)


@program
def pipeline_that_runs_dry(see: Seen) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(data()).batch(8)
    model = classifier(metrics=["accuracy"])
    view = EveryEvent()
    see.model(model, model.fit(dataset, epochs=4, verbose=0, steps_per_epoch=2, callbacks=[view]))
    see.note("told", view.told)


class TwoStep(keras.Model):
    """Its step's logs are not its metrics'."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2, activation="softmax")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, batch: Any) -> Any:
        return {**super().train_step(batch), "extra": self.dense.bias[0]}


@program
def generator_that_runs_dry_with_other_logs(see: Seen) -> None:
    batches = (next(endless([])) for _ in range(4))
    model = TwoStep()
    model.compile("adam", "sparse_categorical_crossentropy")
    view = EveryEvent()
    history = model.fit(
        batches, epochs=3, verbose=0, steps_per_epoch=4, callbacks=[view], validation_data=data()
    )
    see.model(model, history)
    see.note("told", view.told)


@program
def no_batches_at_all(see: Seen) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(data()).batch(8)
    model = classifier()
    view = EveryEvent()
    see.raising("empty", lambda: model.fit(dataset.take(0), **DATASET, callbacks=[view]))
    see.raising("empty after some", lambda: see.model(model, model.fit(dataset, **DATASET)))
    see.raising("empty again", lambda: model.fit(dataset.take(0), **DATASET, callbacks=[view]))
    see.note("told", view.told)
