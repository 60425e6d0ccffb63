"""Keras 2: random numbers stay what they are, and what of them a resume gives again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
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
from tensorflow.python.eager import context

import colab_bootstrap


class Random(tf_keras.layers.Layer):
    """Draws in every way that a stream is made for, and makes a variable from random numbers in a step."""

    first: Any = None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.first is None:
            self.first = tf.Variable(tf.random.normal([3]), trainable=False)
        shape = tf.shape(inputs)
        drawn = tf.random.normal(shape) * tf.random.truncated_normal(shape) + self.first
        whole = tf.cast(tf.random.uniform(shape, 0, 9, tf.int32), tf.float32)
        return inputs + 0.1 * drawn + 0.01 * whole + 0.1 * tf.random.uniform(shape, 1.0, 2.0)


def drawing(**compiling: Any) -> Any:
    """A model with such a layer."""
    tf_keras.utils.set_random_seed(7)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Dense(3), Random(), layers.GaussianDropout(0.3), layers.AlphaDropout(0.1), layers.Dense(2)]
    )
    model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), **compiling)
    return model


def same_with_and_without(folder: Path, build: Callable[[], Any]) -> None:
    """An uninterrupted training comes to the same bits, History, and next numbers, followed or not."""

    def train() -> Any:
        model = build()
        history = fit(model, validation_data=data()).history
        again = [fit(model).history, model.evaluate(*data(), verbose=0)]
        return bits(model), history, again, float(tf.random.normal(())), np.random.rand()

    alone = train()
    start(folder)
    assert train() == alone
    colab_bootstrap.stop()
    assert train() == alone


@scenario
def an_uninterrupted_training_draws_the_same_numbers(folder: Path) -> None:
    same_with_and_without(folder, drawing)


@scenario
def so_it_does_with_several_steps_per_execution(folder: Path) -> None:
    same_with_and_without(folder, lambda: drawing(steps_per_execution=2))


@scenario
def what_xla_compiles_is_left_alone_and_told_of(folder: Path) -> None:
    start(folder)
    fit(network(jit_compile=True))
    assert has_said("draws from TensorFlow's hidden state: after a resume it draws other"), said


@scenario
def so_it_does_run_eagerly(folder: Path) -> None:
    same_with_and_without(folder, lambda: network(run_eagerly=True))
    assert not has_said("hidden"), said


@scenario
def a_function_of_the_users_within_is_left_alone_and_told_of(folder: Path) -> None:
    @tf.function  # type: ignore[untyped-decorator]
    def noise(inputs: Any) -> Any:
        return inputs + tf.random.normal(tf.shape(inputs))

    def build() -> Any:
        tf_keras.utils.set_random_seed(7)
        model = tf_keras.Sequential([tf_keras.layers.Lambda(noise), tf_keras.layers.Dense(2)])
        model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    start(folder)
    fit(build())
    assert has_said("random_standard_normal in the training draws from TensorFlow's hidden state"), said


@scenario
def an_op_without_a_stream_is_told_of(folder: Path) -> None:
    class Gamma(tf_keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs + tf.random.gamma([1], 2.0)

    model = tf_keras.Sequential([Gamma(), tf_keras.layers.Dense(2)])
    model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    start(folder)
    fit(model)
    assert has_said("random_gamma in the training draws from TensorFlow's hidden state"), said


@scenario
def the_model_is_saved_while_it_trains(folder: Path) -> None:
    saver = At(3, lambda: None)
    start(folder)
    model = network()
    saver.action = lambda: model.save(str(folder / "saved"))
    fit(model, callbacks=[saver])
    loaded = tf_keras.models.load_model(str(folder / "saved"))
    assert loaded.predict(data()[0], verbose=0).shape == (40, 2)


@scenario
def a_generator_based_stream_is_restored(folder: Path) -> None:
    tf_keras.backend.experimental.enable_tf_random_generator()
    try:
        alone = network()
        fit(alone)
        start(folder)
        interrupted(network(), step=8)
        start(folder)
        made = network()
        fit(made)
    finally:
        tf_keras.backend.experimental.disable_tf_random_generator()
    assert has_said("resuming at epoch 2/3"), said
    assert bits(made) == bits(alone)


@scenario
def without_a_seed_every_sample_is_seen_once_an_epoch(folder: Path) -> None:
    class Seen(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.counts = tf.Variable(tf.zeros([40]), trainable=False)

        def train_step(self, batch: Any) -> Any:
            numbers, *_ = tf_keras.utils.unpack_x_y_sample_weight(batch)
            self.counts.scatter_add(tf.IndexedSlices(tf.ones(tf.shape(numbers)[0]), numbers))
            return {"loss": tf.reduce_sum(self.counts)}

    def train(stop_at: int, epochs: int) -> Any:
        model = Seen()
        model.compile("sgd")
        model.fit(np.arange(40), epochs=epochs, batch_size=8, verbose=0, callbacks=[At(stop_at, interrupt)])
        return model

    context.context()._seed = None
    start(folder)
    with suppress(KeyboardInterrupt):
        train(8, 3)
    start(folder)
    model = train(99, 3)
    assert has_said("resuming at epoch 2/3, after 3 batches"), said
    assert model.counts.numpy().tolist() == [3.0] * 40
