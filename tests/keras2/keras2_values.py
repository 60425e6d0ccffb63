"""Keras 2: what callbacks hold, metrics that give vectors, and a training in another one's callback."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from keras2_programs import At, bits, data, fit, has_said, interrupt, network, said, scenario, start


class Holding(tf_keras.callbacks.Callback):
    """Writes into what it was given, and takes the time at which to stop from this process."""

    def __init__(self, losses: list[float], seconds: float) -> None:
        super().__init__()
        self.losses, self.seconds, self.until = losses, seconds, 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self.until = time.time() + self.seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.losses.append((logs or {})["loss"])
        if time.time() >= self.until:
            self.model.stop_training = True


@scenario
def a_list_is_the_programs_and_a_time_is_the_processs(folder: Path) -> None:
    expected: list[float] = []
    fit(network(), callbacks=[Holding(expected, 600.0)])
    start(folder)
    with suppress(KeyboardInterrupt):
        fit(network(), callbacks=[Holding([], 0.0), At(3, interrupt)])
    for _ in range(2):  # resumed, then replayed
        start(folder)
        losses: list[float] = []
        fit(network(), callbacks=[Holding(losses, 600.0)])
        assert losses == expected


@scenario
def a_metric_may_give_a_vector(folder: Path) -> None:
    def train(stop_at: int) -> Any:
        tf_keras.utils.set_random_seed(2)
        model = tf_keras.Sequential([tf_keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "categorical_crossentropy", metrics=[tf_keras.metrics.F1Score()])
        x, y = data()
        y = tf_keras.utils.to_categorical(y, 2)
        history = model.fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[At(stop_at, interrupt)])
        return bits(model), [np.asarray(one).tolist() for one in history.history["f1_score"]]

    expected = train(99)
    start(folder)
    with suppress(KeyboardInterrupt):
        train(8)
    for line in ("resuming at epoch 2/3, after 3 batches", "this training is done"):
        start(folder)
        assert train(99) == expected
        assert has_said(line), said


@scenario
def a_training_in_a_callback_that_is_not_found_again_is_pointed_out(folder: Path) -> None:
    def train(stop_at: int) -> Any:
        outer, inner = network(), network(units=6)

        class Within(tf_keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                fit(inner, epochs=1)

        fit(outer, callbacks=[Within(), At(stop_at, interrupt)])

    start(folder)
    with suppress(KeyboardInterrupt):
        train(8)
    start(folder)
    train(99)
    assert has_said("a training in the callbacks of this one cannot be found again"), said
