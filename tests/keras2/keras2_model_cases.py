"""Small trainings of Keras 2, one for each thing but data that can carry state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from keras2_case import (
    CLASSES,
    FEATURES,
    SAMPLES,
    Program,
    arrays,
    case,
    lean,
    network,
    of_arrays,
)


@case
def callbacks_of_keras(folder: Path) -> Program:
    csv = folder / "log.csv"
    callbacks = [
        tf_keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        tf_keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10.0, factor=0.5),
        tf_keras.callbacks.ModelCheckpoint(
            str(folder / "best.weights.h5"), save_best_only=True, save_weights_only=True
        ),
        tf_keras.callbacks.CSVLogger(str(csv)),
    ]
    program = of_arrays(lean(), callbacks, epochs=4, validation_data=arrays())
    program.files.append(csv)
    return program


@case
def learning_rate_schedule(folder: Path) -> Program:
    schedule = tf_keras.optimizers.schedules.CosineDecay(0.01, 20)
    return of_arrays(network(optimizer=tf_keras.optimizers.SGD(schedule, momentum=0.9)))


@case
def legacy_optimizer(folder: Path) -> Program:
    scheduler = tf_keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)
    return of_arrays(network(optimizer=tf_keras.optimizers.legacy.Adam(0.01, decay=1e-3)), [scheduler])


@case
def exponential_moving_average(folder: Path) -> Program:
    optimizer = tf_keras.optimizers.AdamW(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5)
    return of_arrays(network(optimizer=optimizer))


@case
def loss_scaling(folder: Path) -> Program:
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return of_arrays(network())
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


@case
def steps_per_execution(folder: Path) -> Program:
    return of_arrays(network(steps_per_execution=3), batch_size=3)


@case
def run_eagerly(folder: Path) -> Program:
    return of_arrays(network(run_eagerly=True), epochs=2)


@case
def initial_epoch(folder: Path) -> Program:
    return of_arrays(lean(), initial_epoch=2, epochs=5)


@case
def two_fits(folder: Path) -> Program:
    program = of_arrays(network(), epochs=4)

    def before() -> None:
        program.model.fit(**{**program.fit, "epochs": 2}, verbose=0)
        program.model.compile("sgd", "sparse_categorical_crossentropy")

    program.before = before
    return program


@case
def frozen_then_thawed(folder: Path) -> Program:
    base = network(built=True)
    base.trainable = False
    model = tf_keras.Sequential([base, tf_keras.layers.Dense(CLASSES, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    program = of_arrays(model)

    def before() -> None:
        model.fit(**{**program.fit, "epochs": 2}, verbose=0)
        base.trainable = True
        model.compile("sgd", "sparse_categorical_crossentropy")

    program.before = before
    return program


@case
def two_fits_of_one_compile(folder: Path) -> Program:
    program = of_arrays(network())
    program.before = lambda: program.model.fit(**{**program.fit, "epochs": 2}, verbose=0)
    return program


class Sampling(tf_keras.layers.Layer):
    """A user's layer that draws from TensorFlow's global stream, in validation too."""

    def call(self, inputs: Any) -> Any:
        return inputs + 0.1 * tf.random.normal(tf.shape(inputs))


def cross_entropy(y: Any, logits: Any) -> Any:
    """A loss for each sample."""
    return tf_keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)


class Twofold(tf_keras.Model):
    """A subclass with its own `train_step`, deferred building and metrics of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.noise, self.inner, self.head = Sampling(), tf_keras.layers.Dense(5), tf_keras.layers.Dense(CLASSES)
        self.seen = tf_keras.metrics.Sum(name="seen")
        self.mean = tf_keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.mean, self.seen]

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(tf.nn.tanh(self.inner(self.noise(inputs))))

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            losses = cross_entropy(y, self(x, training=True))
            loss = tf.reduce_mean(losses)
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.mean.update_state(loss)
        self.seen.update_state(tf.ones(tf.shape(x)[0]))
        return {"now": loss, "seen": self.seen.result()}

    def test_step(self, data: Any) -> Any:
        x, y = data
        losses = cross_entropy(y, self(x))
        self.mean.update_state(losses)
        return {"loss": self.mean.result()}


@case
def subclass_with_train_step(folder: Path) -> Program:
    model = Twofold()
    model.compile("rmsprop")
    return of_arrays(model, validation_data=arrays())


class Jitter(tf_keras.layers.Layer):
    """A user's layer with a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.random = tf.random.Generator.from_seed(6)

    def call(self, inputs: Any) -> Any:
        return inputs + self.random.normal(tf.shape(inputs), stddev=0.1)


@case
def augmenting_layers(folder: Path) -> Program:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.RandomFlip(),
            layers.RandomRotation(0.2),
            layers.RandomContrast(0.3),
            Jitter(),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    x, y = arrays()
    return Program(model, {"x": x.reshape((-1, 3, 2, 1)), "y": y, "epochs": 3, "batch_size": 8})


@case
def evaluated_and_trained_by_hand_before(folder: Path) -> Program:
    model = tf_keras.Sequential([tf_keras.layers.Dense(4), Sampling(), tf_keras.layers.Dropout(0.3)])
    model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    program = of_arrays(model, validation_data=arrays())

    def before() -> None:
        x, y = arrays()
        model.evaluate(x, y, batch_size=8, verbose=0)
        model.train_on_batch(x[:4], y[:4])

    program.before = before
    return program


@case
def functional_with_two_outputs(folder: Path) -> Program:
    inputs = tf_keras.Input((FEATURES,))
    hidden = tf_keras.layers.Dense(7, activation="tanh")(inputs)
    shared = tf_keras.layers.GaussianNoise(0.1)(hidden)
    outputs = [
        tf_keras.layers.Dense(CLASSES, name="kind")(shared),
        tf_keras.layers.Dense(1, name="size")(shared),
    ]
    model = tf_keras.Model(inputs, outputs)
    losses = {"kind": tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
    model.compile("nadam", losses, metrics={"kind": ["accuracy"], "size": ["mae"]})
    x, y = arrays()
    targets = {"kind": y, "size": x.sum(axis=1, keepdims=True)}
    return Program(model, {"x": x, "y": targets, "epochs": 3, "batch_size": 8, "validation_data": (x, targets)})


@case
def recurrent_and_stateful(folder: Path) -> Program:
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Embedding(20, 4, batch_input_shape=(10, 5)),
            tf_keras.layers.LSTM(5, stateful=True),
            tf_keras.layers.Dropout(0.2, seed=3),
            tf_keras.layers.Dense(CLASSES, "softmax"),
        ]
    )
    model.compile("adagrad", "sparse_categorical_crossentropy", metrics=["accuracy"])
    _, y = arrays()
    words = np.random.Generator(np.random.PCG64(1)).integers(0, 20, (SAMPLES, 5))
    return Program(model, {"x": words, "y": y, "epochs": 3, "batch_size": 10})
