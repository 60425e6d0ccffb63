"""Small trainings, one for each thing that can carry state; each is built anew by the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.lean import lean_model

Case = Callable[[Path], "Program"]
CASES: dict[str, Case] = {}

SAMPLES, FEATURES, CLASSES = 64, 6, 3


@dataclass
class Program:
    """A model, what it is fitted with, and the variables that the model does not count as its own."""

    model: Any
    fit: dict[str, Any]
    callbacks: list[Any] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    further: Callable[[], list[Any]] = list


def case(build: Case) -> Case:
    """Adds a training to the matrix."""
    CASES[build.__name__] = build
    return build


def arrays() -> tuple[Any, Any]:
    """The same samples in every process."""
    random = np.random.Generator(np.random.PCG64(5))
    x = random.normal(size=(SAMPLES, FEATURES)).astype("float32")
    return x, (np.abs(x.sum(axis=1)).astype(int) % CLASSES).astype("int32")


def network(*, built: bool = False, **compiling: Any) -> Any:
    """A model with every kind of variable: weights, moving averages, seeds, metrics."""
    layers = [
        keras.layers.Dense(8, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(CLASSES, activation="softmax", dtype="float32"),
    ]
    model = keras.Sequential(([keras.Input((FEATURES,))] if built else []) + layers)
    compiling.setdefault("optimizer", "adam")
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], **compiling)
    return model


def lean() -> Any:
    """A model that is soon traced, where it is not the model that matters: random numbers, momenta, metrics."""
    return lean_model(keras, CLASSES)


def of_arrays(model: Any, callbacks: list[Any] | None = None, **fitting: Any) -> Program:
    """A program on the arrays."""
    x, y = arrays()
    return Program(model, {"x": x, "y": y, "epochs": 3, "batch_size": 8, **fitting}, callbacks or [])


def of_dataset(dataset: Any, **fitting: Any) -> Program:
    """A program on a `tf.data` pipeline."""
    return Program(lean(), {"x": dataset, "epochs": 3, **fitting})


@case
def arrays_shuffled(folder: Path) -> Program:
    return of_arrays(network())


@case
def arrays_in_order(folder: Path) -> Program:
    return of_arrays(network(built=True), shuffle=False)


@case
def validation_split(folder: Path) -> Program:
    return of_arrays(lean(), validation_split=0.25)


@case
def callbacks_of_keras(folder: Path) -> Program:
    csv = folder / "log.csv"
    callbacks = [
        keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10.0, factor=0.5),
        keras.callbacks.ModelCheckpoint(
            str(folder / "best.weights.h5"), save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.CSVLogger(str(csv)),
    ]
    program = of_arrays(lean(), callbacks, epochs=4, validation_data=arrays())
    program.files.append(csv)
    return program


@case
def learning_rate_scheduler(folder: Path) -> Program:
    return of_arrays(lean(), [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)])


@case
def learning_rate_schedule(folder: Path) -> Program:
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 20)
    return of_arrays(network(optimizer=keras.optimizers.SGD(schedule, momentum=0.9)))


class Counting(keras.callbacks.Callback):
    """A user's callback: counts, draws random numbers, keeps an array."""

    def __init__(self) -> None:
        super().__init__()
        self.batches, self.epochs_begun, self.drawn = 0, 0, [0.0]
        self.sums = np.zeros(3)
        self.random = np.random.default_rng(3)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epochs_begun += 1
        self.drawn.append(float(np.random.rand()))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1
        self.sums += self.random.normal(size=3)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.drawn.append(float(np.random.rand()))


@case
def callback_of_a_user(folder: Path) -> Program:
    return of_arrays(lean(), [Counting()])


@case
def weights_of_classes_and_samples(folder: Path) -> Program:
    return of_arrays(lean(), class_weight={0: 1.0, 1: 2.0, 2: 0.5})


@case
def sample_weight(folder: Path) -> Program:
    return of_arrays(lean(), sample_weight=np.linspace(0.1, 2, SAMPLES))


@case
def initial_epoch(folder: Path) -> Program:
    return of_arrays(lean(), initial_epoch=2, epochs=5)


@case
def steps_per_execution(folder: Path) -> Program:
    return of_arrays(network(steps_per_execution=3), batch_size=7)


@case
def gradient_accumulation(folder: Path) -> Program:
    return of_arrays(network(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=3)))


@case
def exponential_moving_average(folder: Path) -> Program:
    optimizer = keras.optimizers.AdamW(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5)
    return of_arrays(network(optimizer=optimizer))


@case
def loss_scaling(folder: Path) -> Program:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return of_arrays(network())
    finally:
        keras.mixed_precision.set_global_policy("float32")


@case
def bfloat16(folder: Path) -> Program:
    keras.mixed_precision.set_global_policy("bfloat16")
    try:
        return of_arrays(network())
    finally:
        keras.mixed_precision.set_global_policy("float32")


@case
def jit_compiled(folder: Path) -> Program:
    return of_arrays(network(jit_compile=True))


@case
def run_eagerly(folder: Path) -> Program:
    return of_arrays(network(run_eagerly=True), batch_size=16)


def pipeline() -> Any:
    """The arrays as a `tf.data.Dataset`."""
    return tf.data.Dataset.from_tensor_slices(arrays())


@case
def dataset_shuffled_then_batched(folder: Path) -> Program:
    return of_dataset(pipeline().shuffle(20, seed=4).batch(8).prefetch(2))


@case
def dataset_batched_then_shuffled(folder: Path) -> Program:
    return of_dataset(pipeline().batch(8).shuffle(5))


@case
def dataset_repeated(folder: Path) -> Program:
    return of_dataset(pipeline().shuffle(SAMPLES).repeat().batch(8), steps_per_epoch=5, epochs=4)


@case
def dataset_over_several_epochs(folder: Path) -> Program:
    return of_dataset(pipeline().batch(4), steps_per_epoch=4, epochs=4)


@case
def dataset_of_unknown_size(folder: Path) -> Program:
    return of_dataset(pipeline().filter(lambda x, y: y < 2).shuffle(30, seed=1).batch(8))


@case
def dataset_validated_with_shuffled_data(folder: Path) -> Program:
    return of_dataset(pipeline().batch(8), validation_data=pipeline().shuffle(SAMPLES, seed=9).batch(10))


@case
def dataset_from_generator(folder: Path) -> Program:
    x, y = arrays()

    def samples() -> Iterator[Any]:
        yield from zip(x, y, strict=True)

    signature = (tf.TensorSpec((FEATURES,), tf.float32), tf.TensorSpec((), tf.int32))
    return of_dataset(tf.data.Dataset.from_generator(samples, output_signature=signature).batch(8))


@case
def dataset_through_python(folder: Path) -> Program:
    def double(x: Any, y: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(lambda value: value * 2, [x], tf.float32), (FEATURES,)), y

    return of_dataset(pipeline().shuffle(SAMPLES, seed=2).map(double).batch(8))


class Reshuffling(keras.utils.PyDataset):
    """A user's PyDataset that shuffles itself, from its own generator and from NumPy's."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = arrays()
        self.order = np.arange(SAMPLES)
        self.random = np.random.default_rng(8)

    def __len__(self) -> int:
        return SAMPLES // 8

    def __getitem__(self, index: int) -> Any:
        chosen = self.order[index * 8 : index * 8 + 8]
        return self.x[chosen], self.y[chosen]

    def on_epoch_end(self) -> None:
        self.random.shuffle(self.order)
        np.random.shuffle(self.order)


@case
def py_dataset(folder: Path) -> Program:
    return Program(lean(), {"x": Reshuffling(), "epochs": 3})


@case
def py_dataset_in_order(folder: Path) -> Program:
    return Program(lean(), {"x": Reshuffling(), "epochs": 3, "shuffle": False})


@case
def python_generator(folder: Path) -> Program:
    x, y = arrays()

    def batches() -> Iterator[Any]:
        random = np.random.default_rng(1)
        while True:
            chosen = random.integers(0, SAMPLES, 8)
            yield x[chosen], y[chosen]

    return Program(lean(), {"x": batches(), "steps_per_epoch": 6, "epochs": 3})


class Noisy(keras.layers.Layer):
    """Draws from Keras' global generator: a layer without a seed of its own."""

    def call(self, inputs: Any) -> Any:
        return inputs + 0.01 * keras.random.normal((FEATURES,))


class Twofold(keras.Model):
    """A subclass with its own `train_step`, deferred building and a metric of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.noise, self.inner, self.head = Noisy(), keras.layers.Dense(5), keras.layers.Dense(CLASSES)
        self.seen = keras.metrics.Sum(name="seen")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(keras.activations.tanh(self.inner(self.noise(inputs) if training else inputs)))

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.seen.update_state(tf.ones(tf.shape(x)[0]))
        return {"loss": loss, "seen": self.seen.result()}


@case
def subclass_with_train_step(folder: Path) -> Program:
    model = Twofold()
    model.compile("rmsprop", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return of_arrays(model)


@case
def functional_with_two_outputs(folder: Path) -> Program:
    inputs = keras.Input((FEATURES,))
    shared = keras.layers.GaussianNoise(0.1)(keras.layers.Dense(7, activation="tanh")(inputs))
    outputs = {
        "kind": keras.layers.Dense(CLASSES, name="kind")(shared),
        "size": keras.layers.Dense(1, name="size")(shared),
    }
    model = keras.Model(inputs, outputs)
    losses = {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
    model.compile("nadam", losses, metrics={"kind": ["accuracy"], "size": ["mae"]})
    x, y = arrays()
    targets = {"kind": y, "size": x.sum(axis=1, keepdims=True)}
    return Program(model, {"x": x, "y": targets, "epochs": 3, "batch_size": 8})


@case
def recurrent_on_embeddings(folder: Path) -> Program:
    model = keras.Sequential(
        [
            keras.layers.Embedding(20, 4),
            keras.layers.LSTM(5, dropout=0.2),
            keras.layers.Dense(CLASSES, "softmax"),
        ]
    )
    model.compile("adagrad", "sparse_categorical_crossentropy", metrics=["accuracy"])
    _, y = arrays()
    words = np.random.Generator(np.random.PCG64(1)).integers(0, 20, (SAMPLES, 5))
    return Program(model, {"x": words, "y": y, "epochs": 3, "batch_size": 8, "validation_split": 0.2})


class Adversaries(keras.Model):
    """A GAN: two models and two optimizers in a `train_step`, no `call`, and a plain `tf.Variable`."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([keras.layers.Dense(9, "relu"), keras.layers.Dense(FEATURES)])
        self.critic = keras.Sequential([keras.layers.Dense(9, "relu"), keras.layers.Dense(1)])
        self.seeds = keras.random.SeedGenerator(3)
        self.ceiling = tf.Variable(0.0, trainable=False)

    def compile(self) -> None:
        super().compile()
        self.opponents = {"critic": keras.optimizers.Adam(0.01), "generator": keras.optimizers.RMSprop(0.01)}

    def train_step(self, real: Any) -> Any:
        noise = keras.random.normal((tf.shape(real)[0], 4), seed=self.seeds)
        with tf.GradientTape(persistent=True) as tape:
            of_real, of_made = self.critic(real), self.critic(self.generator(noise))
            difference = tf.reduce_mean(of_made) - tf.reduce_mean(of_real)
            losses = {"critic": difference, "generator": -difference + self.ceiling}
        for name, model in (("critic", self.critic), ("generator", self.generator)):
            weights = model.trainable_variables
            self.opponents[name].apply(tape.gradient(losses[name], weights), weights)
        self.ceiling.assign(tf.maximum(self.ceiling * 0.9, tf.abs(difference)))
        return losses


@case
def adversaries(folder: Path) -> Program:
    model = Adversaries()
    model.compile()
    x, _ = arrays()

    def further() -> list[Any]:
        optimizers = model.opponents.values()
        return [model.ceiling, *(variable for one in optimizers for variable in one.variables)]

    return Program(model, {"x": x, "epochs": 3, "batch_size": 8}, further=further)
