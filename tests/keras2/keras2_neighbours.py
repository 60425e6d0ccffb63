"""Keras 2 beside Keras 3, and what else is in the process."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras
from keras2_programs import (
    At,
    bits,
    data,
    fit,
    has_said,
    interrupt,
    interrupted,
    network,
    said,
    scenario,
    start,
)

import colab_bootstrap

LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
"""Whether `tf.keras` is Keras 2 too."""


@scenario
def keras_2_and_keras_3_side_by_side_have_slots_of_their_own(folder: Path) -> None:
    import keras

    assert tf.keras.Model is (tf_keras if LEGACY else keras).Model

    def third() -> Any:
        keras.utils.set_random_seed(2)
        layers = [keras.layers.Dense(3), keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax")]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        return model

    def train(stop_at: int) -> Any:
        three = third()
        fit(three, epochs=2)
        two = network()
        fit(two, callbacks=[At(stop_at, interrupt)])
        last = third()
        fit(last)
        return two, last

    two, last = train(99)
    expected = bits(two), bits(last)
    del two, last
    start(folder)
    with suppress(KeyboardInterrupt):
        train(8)
    start(folder)
    said.clear()
    two, last = train(99)
    assert [line.split(" (")[0] for line in said] == [
        "holdfast: this training is done",
        "holdfast: resuming at epoch 2/3, after 3 batches",
    ]
    assert (bits(two), bits(last)) == expected


@scenario
def tf_keras_of_tensorflow_is_followed_whichever_it_is(folder: Path) -> None:
    def build() -> Any:
        tf.keras.utils.set_random_seed(2)
        model = tf.keras.Sequential([tf.keras.layers.Dense(2), tf.keras.layers.Dropout(0.4)])
        model.compile("sgd", "mse")
        return model

    class Stop(tf.keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if self.steps == 8:
                raise KeyboardInterrupt

    x, _ = data()
    alone = build()
    alone.fit(x, x[:, :2], epochs=3, batch_size=8, verbose=0)
    start(folder)
    with suppress(KeyboardInterrupt):
        build().fit(x, x[:, :2], epochs=3, batch_size=8, verbose=0, callbacks=[Stop()])
    start(folder)
    made = build()
    made.fit(x, x[:, :2], epochs=3, batch_size=8, verbose=0)
    assert has_said("resuming at epoch 2/3, after 3 batches"), said
    assert [one.numpy().tobytes() for one in made.variables] == [
        one.numpy().tobytes() for one in alone.variables
    ]


@scenario
def keras_3_is_not_imported_for_keras_2(folder: Path) -> None:
    start(folder)
    interrupted(network(), step=8)
    start(folder)
    fit(network())
    assert "keras.src" not in sys.modules


@scenario
def no_model_is_kept_alive(folder: Path) -> None:
    start(folder)
    model = network()
    fit(model, validation_split=0.2)
    reference = weakref.ref(model)
    del model
    tf_keras.backend.clear_session()
    gc.collect()
    assert reference() is None


@scenario
def under_a_strategy_it_is_left_alone(folder: Path) -> None:
    start(folder)
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        model = network()
    fit(model)
    assert has_said("trainings under OneDeviceStrategy are not followed yet"), said


@scenario
def a_model_fitted_within_a_fit_has_its_own_training(folder: Path) -> None:
    start(folder)
    inner: list[Any] = []

    def train_other() -> None:
        other = network(units=6)
        inner.append(fit(other).history)

    outer = network()
    history = fit(outer, callbacks=[At(7, train_other)])
    alone = network()
    colab_bootstrap.stop()
    assert fit(alone).history["loss"] == history.history["loss"]
    assert len(inner[0]["loss"]) == 3
