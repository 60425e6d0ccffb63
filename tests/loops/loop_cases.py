"""Small loops, one for each way of writing them; each is built anew by the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from colab_bootstrap import resumable

Step = Callable[[], None]
Case = Callable[[Step], list[Any]]
CASES: dict[str, Case] = {}
"""Each trains, calls its argument once a step, and returns the variables that must come out equal."""

SAMPLES, FEATURES, CLASSES = 48, 5, 3


def case(build: Case) -> Case:
    """Adds a loop to the matrix."""
    CASES[build.__name__] = build
    return build


def arrays() -> tuple[Any, Any]:
    """The same samples in every process."""
    random = np.random.Generator(np.random.PCG64(5))
    x = random.normal(size=(SAMPLES, FEATURES)).astype("float32")
    return x, (np.abs(x.sum(axis=1)).astype(int) % CLASSES).astype("int32")


def pipeline(*, seed: int | None = 7) -> Any:
    """Shuffled anew each epoch, in six batches."""
    return tf.data.Dataset.from_tensor_slices(arrays()).shuffle(SAMPLES, seed=seed).batch(8)


def network(*, built: bool = False) -> Any:
    """A model with weights, moving averages and seeds."""
    layers = [
        keras.layers.Dense(6, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3),
    ]
    head = [keras.Input((FEATURES,))] if built else []
    return keras.Sequential([*head, *layers, keras.layers.Dense(CLASSES)])


def graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """`tf.function`, typed."""
    made: Callable[..., Any] = tf.function(function)
    return made


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def stepper(model: Any, optimizer: Any, *metrics: Any) -> Callable[[Any, Any], Any]:
    """One step of training, eager."""

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = LOSS(y, logits)
        trained = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        for metric in metrics:
            metric.update_state(y, logits)
        return loss

    return step


def all_of(*things: Any) -> list[Any]:
    """The variables of models, optimizers and metrics."""
    return [variable for thing in things for variable in thing.variables]


@case
def eager(done: Step) -> list[Any]:
    model, optimizer = network(built=True), keras.optimizers.Adam(0.01)
    step = stepper(model, optimizer)
    data = pipeline()
    for _ in resumable(range(3)):
        for x, y in resumable(data):
            step(x, y)
            done()
    return all_of(model, optimizer)


@case
def function_and_unbuilt(done: Step) -> list[Any]:
    model, optimizer = network(), keras.optimizers.Adam(0.01)
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    step = tf.function(stepper(model, optimizer, accuracy))
    data = pipeline()
    for _ in resumable(range(3)):
        accuracy.reset_state()
        for x, y in resumable(data):
            step(x, y)
            done()
    return all_of(model, optimizer, accuracy)


@case
def validation_within(done: Step) -> list[Any]:
    model, optimizer = network(), keras.optimizers.SGD(0.05, momentum=0.9)
    train, test = keras.metrics.SparseCategoricalAccuracy(), keras.metrics.Mean()
    step = tf.function(stepper(model, optimizer, train))
    data, held_out = pipeline(), pipeline(seed=9).take(3)

    @graph
    def check(x: Any, y: Any) -> None:
        test.update_state(LOSS(y, model(x, training=False)))

    for epoch in resumable(range(2)):
        train.reset_state()
        test.reset_state()
        optimizer.learning_rate = 0.05 / (epoch + 1)
        for x, y in resumable(data):
            step(x, y)
            done()
        for x, y in resumable(held_out):
            check(x, y)
            done()
    return all_of(model, optimizer, train, test)


@case
def adversarial(done: Step) -> list[Any]:
    make = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(FEATURES)])
    judge = keras.Sequential(
        [keras.layers.Dense(4, activation="relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    makes, judges = keras.optimizers.Adam(0.01), keras.optimizers.RMSprop(0.01)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)

    @graph
    def step(real: Any, noise: Any) -> None:
        with tf.GradientTape() as first, tf.GradientTape() as second:
            fake = make(noise, training=True)
            truth, lie = judge(real, training=True), judge(fake, training=True)
            mine = loss(tf.ones_like(lie), lie)
            theirs = loss(tf.ones_like(truth), truth) + loss(tf.zeros_like(lie), lie)
        makes.apply_gradients(
            zip(first.gradient(mine, make.trainable_variables), make.trainable_variables, strict=True)
        )
        judges.apply_gradients(
            zip(second.gradient(theirs, judge.trainable_variables), judge.trainable_variables, strict=True)
        )

    data = pipeline()
    for _ in resumable(range(3)):
        for x, _ in resumable(data):
            step(x, keras.random.normal((8, 2)))
            done()
    return all_of(make, judge, makes, judges)


class Line(tf.Module):
    """A model without Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(tf.ones((FEATURES, 1)) * 0.1)
        self.b = tf.Variable(0.0)
        self.speed = [tf.Variable(tf.zeros((FEATURES, 1))), tf.Variable(0.0)]


@case
def variables_alone(done: Step) -> list[Any]:
    line, count, noise = Line(), tf.Variable(0, dtype=tf.int64), tf.random.Generator.from_seed(3)

    @graph
    def step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            error = x @ line.w + line.b - tf.cast(y, tf.float32)[:, None] + noise.normal((8, 1))
            loss = tf.reduce_mean(error**2)
        for variable, speed, gradient in zip(
            (line.w, line.b), line.speed, tape.gradient(loss, (line.w, line.b)), strict=True
        ):
            speed.assign(0.9 * speed + gradient)
            variable.assign_sub(0.01 * speed)
        count.assign_add(1)

    data = pipeline()
    for _ in resumable(range(3)):
        for x, y in resumable(data):
            step(x, y)
            done()
    return [line.w, line.b, *line.speed, count, noise.state]


@case
def generator_of_data(done: Step) -> list[Any]:
    model, optimizer = network(built=True), keras.optimizers.Adam(0.01)
    step = stepper(model, optimizer)

    def batches() -> Iterator[tuple[Any, Any]]:
        random = np.random.default_rng(4)
        x, y = arrays()
        for _ in range(6):
            chosen = random.integers(0, SAMPLES, 8)
            yield x[chosen], y[chosen]

    for _ in resumable(range(3)):
        for x, y in resumable(batches()):
            step(x, y)
            done()
    return all_of(model, optimizer)


@case
def one_generator(done: Step) -> list[Any]:
    model, optimizer = network(built=True), keras.optimizers.Adam(0.01)
    step = stepper(model, optimizer)

    def batches() -> Iterator[tuple[Any, Any]]:
        x, y = arrays()
        for _ in range(18):
            chosen = np.random.randint(0, SAMPLES, 8)
            yield x[chosen], y[chosen]

    for x, y in resumable(batches()):
        step(x, y)
        done()
    return all_of(model, optimizer)


@case
def permutations(done: Step) -> list[Any]:
    model, optimizer = network(), keras.optimizers.Adam(0.01)
    step = tf.function(stepper(model, optimizer))
    x, y = arrays()
    random = np.random.default_rng(8)
    for _ in resumable(range(3)):
        order = random.permutation(SAMPLES)
        np.random.shuffle(order)
        order = order[np.argsort(keras.random.uniform((SAMPLES,)).numpy(), kind="stable")]
        for start in resumable(range(0, SAMPLES, 8)):
            chosen = order[start : start + 8]
            step(tf.constant(x[chosen]), tf.constant(y[chosen]))
            done()
    return all_of(model, optimizer)


@case
def enumerated_outside(done: Step) -> list[Any]:
    model, optimizer, weight = network(built=True), keras.optimizers.Adam(0.01), tf.Variable(0.0)
    step = stepper(model, optimizer)
    data = pipeline()
    for _ in resumable(range(3)):
        for number, (x, y) in enumerate(resumable(data)):
            step(x, y)
            weight.assign(weight * 0.9 + number)
            done()
    return [*all_of(model, optimizer), weight]


@case
def enumerated_inside(done: Step) -> list[Any]:
    model, optimizer, weight = network(built=True), keras.optimizers.Adam(0.01), tf.Variable(0.0)
    step = stepper(model, optimizer)
    data = pipeline()
    for _ in resumable(range(3)):
        for number, (x, y) in resumable(enumerate(data, 1)):
            step(x, y)
            weight.assign(weight * 0.9 + number)
            done()
    return [*all_of(model, optimizer), weight]


@case
def zipped(done: Step) -> list[Any]:
    model, optimizer, weight = network(built=True), keras.optimizers.Adam(0.01), tf.Variable(0.0)
    step = stepper(model, optimizer)
    data = pipeline()
    for _ in resumable(range(3)):
        for (x, y), number in zip(resumable(data), [3, 1, 4, 1, 5, 9], strict=True):
            step(x, y)
            weight.assign(weight * 0.9 + number)
            done()
        for number, (x, y) in resumable(zip([2, 7], data.take(2), strict=True)):
            step(x, y)
            weight.assign(weight * 0.9 + number)
    return [*all_of(model, optimizer), weight]


@case
def iterator_by_hand(done: Step) -> list[Any]:
    model, optimizer = network(), keras.optimizers.Adam(0.01)
    step = tf.function(stepper(model, optimizer))
    batches = iter(pipeline().repeat())
    for _ in resumable(range(18)):
        step(*next(batches))
        done()
    return all_of(model, optimizer)


@case
def resumable_by_hand(done: Step) -> list[Any]:
    model, optimizer = network(), keras.optimizers.Adam(0.01)
    step = tf.function(stepper(model, optimizer))
    numbers = iter(resumable(range(18)))
    data = pipeline().repeat()
    for x, y in resumable(data):
        if next(numbers, None) is None:
            break
        step(x, y)
        done()
    return all_of(model, optimizer)


@case
def plain_inner_loop(done: Step) -> list[Any]:
    model, optimizer = network(), keras.optimizers.Adam(0.01)
    step = tf.function(stepper(model, optimizer))
    data = pipeline().take(2)
    for _ in resumable(range(9)):
        for x, y in data:
            step(x, y)
            done()
    return all_of(model, optimizer)


@case
def one_loop_over_all(done: Step) -> list[Any]:
    model, optimizer = network(), keras.optimizers.Adam(0.01)
    step = tf.function(stepper(model, optimizer))
    for x, y in resumable(pipeline(seed=None).repeat(3)):
        step(x, y)
        done()
    return all_of(model, optimizer)


@case
def broken_off(done: Step) -> list[Any]:
    model, optimizer = network(built=True), keras.optimizers.Adam(0.01)
    step = stepper(model, optimizer)
    data = pipeline()
    for epoch in resumable(range(6)):
        for number, (x, y) in resumable(data.enumerate()):
            step(x, y)
            done()
            if number == 2:
                break
        if epoch == 5:
            break
    return all_of(model, optimizer)


@case
def folds(done: Step) -> list[Any]:
    kept: list[Any] = [tf.Variable(0.0), tf.Variable(0.0), tf.Variable(0.0)]
    for fold in resumable(range(3)):
        model, optimizer = network(), keras.optimizers.Adam(0.01)
        step = tf.function(stepper(model, optimizer))
        for x, y in resumable(pipeline(seed=fold)):
            step(x, y)
            done()
        kept[fold].assign(tf.reduce_sum(model.trainable_variables[0].value))
    return kept


class AfterBatch(keras.callbacks.Callback):
    """Calls something after each batch."""

    def __init__(self, done: Step) -> None:
        super().__init__()
        self._done = done

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done()


@case
def fit_within(done: Step) -> list[Any]:
    model = network()
    model.compile("adam", LOSS, metrics=["accuracy"])
    x, y = arrays()
    for part in resumable(range(3)):
        model.fit(x, y + part * 0, batch_size=8, epochs=1, verbose=0, callbacks=[AfterBatch(done)])
    return all_of(model, model.optimizer)


@case
def train_on_batch(done: Step) -> list[Any]:
    model = network()
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    data = pipeline()
    for _ in resumable(range(3)):
        model.reset_metrics()
        for x, y in resumable(data):
            model.train_on_batch(x, y)
            done()
    return [*all_of(model, model.optimizer), *model.metrics_variables]
