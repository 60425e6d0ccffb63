"""Training loops of the user's own, and TensorFlow without Keras."""

from __future__ import annotations

import gc
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from manners.programs import program
from manners.seen import Seen, describe
from manners.small import classifier, data

BETWEEN_SNAPSHOTS = 0.06
"""Seconds after which another snapshot is due."""


def pipeline() -> Any:
    """Batches of eight, shuffled."""
    return tf.data.Dataset.from_tensor_slices(data()).shuffle(24).batch(8)


@program
def tape_and_function(see: Seen) -> None:
    model, optimizer = classifier(None), keras.optimizers.Adam(0.01)
    loss_of, mean = keras.losses.SparseCategoricalCrossentropy(), keras.metrics.Mean()
    traced = []

    @tf.function  # type: ignore[untyped-decorator]
    def step(x: Any, y: Any) -> Any:
        traced.append(1)
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        mean.update_state(loss)
        return loss

    dataset, losses = pipeline(), []
    for _ in range(3):
        mean.reset_state()
        losses += [float(step(x, y)) for x, y in dataset]
        see.note(f"mean {len(losses)}", float(mean.result()))
    see.note("losses", losses)
    see.note("traced", [len(traced), step.experimental_get_tracing_count()])
    see.model(model)
    see.note("optimizer", [one.numpy() for one in optimizer.variables])
    see.note("optimizer attributes", sorted(vars(optimizer)))


@program
def tape_eagerly(see: Seen) -> None:
    model, optimizer = classifier(None), keras.optimizers.SGD(0.1, momentum=0.9)
    for x, y in pipeline().repeat(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    see.model(model)
    see.note("optimizer", [one.numpy() for one in optimizer.variables])


@program
def iterators_by_hand(see: Seen) -> None:
    dataset = pipeline()
    iterator = iter(dataset)
    see.note("kind", f"{type(iterator)} {type(iter(dataset.as_numpy_iterator()))}")
    pulled = [next(iterator)[1].numpy().tolist() for _ in range(2)]
    pulled += [y.tolist() for _, y in dataset.as_numpy_iterator()]
    pulled += [one[1].numpy().tolist() for one in iterator]
    see.raising("end", lambda: next(iterator))
    see.note("default", next(iterator, None))
    see.note("optional", bool(iterator.get_next_as_optional().has_value()))
    see.note("pulled", pulled)

    @tf.function  # type: ignore[untyped-decorator]
    def total(batches: Any) -> Any:
        sum_ = tf.constant(0)
        for _, y in batches:
            sum_ += tf.reduce_sum(y)
        return sum_

    see.note("in a function", total(dataset))


class Line(tf.Module):
    """A module without Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.slope, self.offset = tf.Variable(0.5), tf.Variable([0.0, 1.0])
        self.steps = tf.Variable(0, trainable=False)

    @tf.function  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        return self.slope * x + tf.reduce_sum(self.offset)


@program
def module_and_variables(see: Seen) -> None:
    line = Line()
    x = tf.constant(np.linspace(0, 1, 8, dtype="float32"))
    for _ in range(4):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((line(x) - 3 * x) ** 2)
        for variable, gradient in zip(
            line.trainable_variables, tape.gradient(loss, line.trainable_variables), strict=True
        ):
            variable.assign_sub(0.1 * gradient)
        line.steps.assign_add(1)
    see.note("variables", [one.numpy() for one in line.variables])
    see.note("names", [one.name for one in line.variables])
    checkpoint = tf.train.Checkpoint(line=line)
    path = checkpoint.write(str(see.folder / "checkpoint"))
    line.slope.assign(9.0)
    checkpoint.read(path).assert_consumed()
    see.note("read", line.slope.numpy())
    tf.saved_model.save(line, str(see.folder / "saved"))
    see.note("loaded", tf.saved_model.load(str(see.folder / "saved")).slope.numpy())


@program
def graph_and_session(see: Seen) -> None:
    one = tf.compat.v1
    with tf.Graph().as_default() as graph:
        one.set_random_seed(3)
        x, y = one.placeholder(tf.float32, (None, 4)), one.placeholder(tf.float32, (None,))
        weights = one.get_variable("weights", (4, 1), use_resource=False)
        bias = one.get_variable("bias", (), initializer=one.zeros_initializer())
        loss = tf.reduce_mean((tf.squeeze(x @ weights, 1) + bias - y) ** 2)
        step = one.train.AdamOptimizer(0.1).minimize(loss, one.train.get_or_create_global_step())
        draw = tf.random.uniform(())
        saver = one.train.Saver()
        with one.Session(graph=graph) as session:
            see.raising("too early", lambda: session.run(weights))
            session.run(one.global_variables_initializer())
            feed = {x: data()[0], y: data()[1]}
            found = [session.run([step, loss, draw], feed)[1:] for _ in range(5)]
            see.note("found", found)
            see.note("variables", session.run(one.global_variables()))
            see.note("path", saver.save(session, "./model", global_step=5))
            session.run(bias.assign(7.0))
            saver.restore(session, "./model-5")
            see.note("restored", session.run({"bias": bias, "step": one.train.get_global_step()}))
            try:
                session.run(loss)
            except tf.errors.InvalidArgumentError as error:
                see.note("no feed", type(error).__name__)  # of the two placeholders it names either
            see.note("operations", [operation.name for operation in graph.get_operations()])
            call = session.make_callable(draw)
            see.note("callable", call())
        see.raising("closed", lambda: session.run(draw))
    with tf.Graph().as_default():
        two = tf.constant(2)
        with one.train.MonitoredTrainingSession() as monitored:
            see.note("monitored", monitored.run(two))


@program
def batch_by_batch(see: Seen) -> None:
    x, y = data()
    model = classifier(eagerly=False, metrics=["accuracy"])
    found: list[Any] = []
    for _ in range(2):
        for begin in range(0, 24, 8):
            batch = slice(begin, begin + 8)
            found.append(model.train_on_batch(x[batch], y[batch]))
            found.append(
                model.train_on_batch(x[batch], y[batch], return_dict=True, class_weight={0: 1.0, 1: 2.0})
            )
            found.append(model.test_on_batch(x[batch], y[batch]))
            found.append(model.predict_on_batch(x[batch]))
        model.reset_metrics()
    see.note("found", found)
    see.model(model)
    see.model(model, model.fit(x, y, epochs=1, batch_size=8, verbose=0), "fitted")


@program
def a_loop_for_each_fold(see: Seen) -> None:
    """Each model is trained by the same loop, and let go of before the next is made."""
    x, y = data()
    for fold in range(3):
        model = classifier()
        for begin in (0, 8):
            see.note(f"loss {fold} {begin}", model.train_on_batch(x[begin:][:8] + fold, y[begin:][:8]))
            time.sleep(BETWEEN_SNAPSHOTS)
        see.model(model, key=f"fold {fold}")
        del model
        gc.collect()


@program
def a_tape_for_each_fold(see: Seen) -> None:
    """The same, over a pipeline and by gradients of the program's own."""
    for fold in range(3):
        model, optimizer = classifier(None), keras.optimizers.SGD(0.1)
        for x, y in pipeline():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x + fold)))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            see.note(f"loss {fold} {len(see.notes)}", float(loss))
            time.sleep(BETWEEN_SNAPSHOTS)
        see.model(model, key=f"fold {fold}")
        del model, optimizer, tape, loss
        gc.collect()


@program
def legacy_keras(see: Seen) -> None:
    import tf_keras

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(3)
    model = tf_keras.Sequential(
        [tf_keras.layers.Dense(3), tf_keras.layers.Dropout(0.2), tf_keras.layers.Dense(2, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(*data(), epochs=2, batch_size=8, verbose=2, validation_split=0.25)
    see.note("history", history.history)
    see.note("variables", [one.numpy() for one in (*model.variables, *model.optimizer.variables)])
    see.note("attributes", sorted(vars(model)))
    see.note("batch", model.train_on_batch(*data()))
    see.raising("uncompiled", lambda: tf_keras.Sequential().fit(*data()))


@program
def optimizer_on_its_own(see: Seen) -> None:
    variable = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])
    for _ in range(3):
        optimizer.apply([keras.ops.ones(2)])
    see.note("variable", variable.numpy())
    see.note("optimizer", [one.numpy() for one in optimizer.variables])
    try:
        optimizer.apply([keras.ops.ones(2)], [keras.Variable([1.0, 2.0])])
    except ValueError as error:
        see.note("unknown variable", describe(error)["class"])
    raw = tf.Variable([1.0, 2.0])
    see.raising("raw", lambda: keras.optimizers.SGD(0.1).apply([tf.ones(2)], [raw]))
    see.note("raw variable", raw.numpy())
