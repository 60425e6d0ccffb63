"""Several models in one program."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from manners.programs import program
from manners.seen import Seen, plain
from manners.small import FIT, View, classifier, data


@program
def k_folds(see: Seen) -> None:
    x, y = data()
    for fold in range(3):
        held = np.arange(24) % 3 == fold
        model = classifier(eagerly=False, metrics=["accuracy"])
        history = model.fit(x[~held], y[~held], **FIT, validation_data=(x[held], y[held]))
        see.model(model, history, f"fold {fold}")


@program
def k_folds_from_one_beginning(see: Seen) -> None:
    x, y = data()
    model = classifier()
    model.build((None, 4))
    beginning = model.get_weights()
    for fold in range(3):
        held = np.arange(24) % 3 == fold
        model.set_weights(beginning)
        model.compile("adam", "sparse_categorical_crossentropy")
        see.model(model, model.fit(x[~held], y[~held], **FIT), f"fold {fold}")


class Adversaries(keras.Model):
    """Two models that train against each other."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
        self.critic = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
        self.seeds = keras.random.SeedGenerator(5)
        self.losses_seen = [keras.metrics.Mean(name="g_loss"), keras.metrics.Mean(name="c_loss")]

    def compile(self, first: Any, second: Any) -> None:
        super().compile()
        self.first, self.second = first, second

    @property
    def metrics(self) -> list[Any]:
        return self.losses_seen

    def train_step(self, real: Any) -> dict[str, Any]:
        noise = keras.random.normal((tf.shape(real)[0], 2), seed=self.seeds)
        with tf.GradientTape() as tape:
            fake = self.critic(self.generator(noise), training=True)
            loss = tf.reduce_mean(fake) - tf.reduce_mean(self.critic(real, training=True))
        weights = self.critic.trainable_variables
        self.second.apply(tape.gradient(loss, weights), weights)
        with tf.GradientTape() as tape:
            other = -tf.reduce_mean(self.critic(self.generator(noise), training=True))
        weights = self.generator.trainable_variables
        self.first.apply(tape.gradient(other, weights), weights)
        self.losses_seen[0].update_state(other)
        self.losses_seen[1].update_state(loss)
        return {one.name: one.result() for one in self.metrics}


@program
def adversaries_in_one_model(see: Seen) -> None:
    model = Adversaries()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.02))
    see.model(model, model.fit(data()[0], **FIT))
    see.note("optimizers", [one.numpy() for one in (*model.first.variables, *model.second.variables)])


@program
def adversaries_by_batches(see: Seen) -> None:
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    critic = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    critic.compile("adam", "binary_crossentropy")
    critic.trainable = False
    noise = keras.Input((2,))
    both = keras.Model(noise, critic(generator(noise)))
    both.compile("adam", "binary_crossentropy")
    x, _ = data()
    losses = []
    for step in range(4):
        drawn = np.random.normal(size=(8, 2)).astype("float32")
        made = generator.predict(drawn, verbose=0)
        losses.append(critic.train_on_batch(x[:8], np.ones((8, 1))))
        losses.append(critic.train_on_batch(made, np.zeros((8, 1))))
        losses.append(both.train_on_batch(drawn, np.ones((8, 1)), return_dict=step % 2 == 0))
    see.note("losses", losses)
    see.model(critic, key="critic")
    see.model(both, key="both")


@program
def fine_tuning_of_a_frozen_base(see: Seen) -> None:
    base = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    base.trainable = False
    model = keras.Sequential([base, keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    see.model(model, model.fit(*data(), **FIT), "frozen")
    base.trainable = True
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    see.model(model, model.fit(*data(), **FIT), "thawed")
    see.note("trainable", [one.path for one in model.trainable_variables])


@program
def teacher_and_student(see: Seen) -> None:
    x, y = data()
    teacher, student = classifier(), classifier()
    see.model(teacher, teacher.fit(x, y, **FIT), "teacher")
    soft = teacher.predict(x, verbose=0)
    student.compile("sgd", "mse")
    see.model(student, student.fit(x, soft, **FIT), "student")


class Inner(keras.callbacks.Callback):
    """Trains another model within a training."""

    def __init__(self) -> None:
        super().__init__()
        self.other = classifier()
        self.found: list[Any] = []

    def train(self) -> None:
        history = self.other.fit(*data(16), epochs=1, batch_size=8, verbose=0)
        self.found.append(plain(history.history))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self.train()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.train()

    def on_test_begin(self, logs: Any = None) -> None:
        self.train()

    def on_train_end(self, logs: Any = None) -> None:
        self.train()


@program
def a_training_in_a_training(see: Seen) -> None:
    model = classifier("adam", eagerly=False)
    inner, view = Inner(), View()
    see.model(model, model.fit(*data(), **FIT, validation_split=0.25, callbacks=[inner, view]))
    see.model(inner.other, key="inner")
    see.note("found", inner.found)
    see.note("told", view.told)


class Itself(keras.callbacks.Callback):
    """Trains its own model once more, within a training."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.depth == 0 and epoch == 0:
            self.depth = 1
            self.model.fit(*data(8), epochs=2, batch_size=8, verbose=0)


@program
def a_model_that_trains_itself_within(see: Seen) -> None:
    model = classifier()
    see.model(model, model.fit(*data(), **{**FIT, "epochs": 3}, callbacks=[Itself()]))


@program
def many_tiny_trainings(see: Seen) -> None:
    model = classifier("adam", eagerly=False)
    losses = [model.fit(*data(8), epochs=1, verbose=0).history for _ in range(25)]
    see.model(model)
    see.note("losses", losses)


@program
def copies_and_clones(see: Seen) -> None:
    model = classifier()
    see.model(model, model.fit(*data(), **FIT))
    clone = keras.models.clone_model(model)
    clone.compile("adam", "sparse_categorical_crossentropy")
    clone.build((None, 4))
    clone.set_weights(model.get_weights())
    see.model(clone, clone.fit(*data(), **FIT), "clone")
    parts = keras.Sequential(model.layers[:2])
    parts.compile("sgd", "mse")
    see.model(parts, parts.fit(data()[0], np.zeros((24, 3)), **FIT), "parts")
    see.model(model, model.fit(*data(), **FIT), "model after")


@program
def a_search_over_configurations(see: Seen) -> None:
    for units in (2, 3):
        for rate in (0.1, 0.01):
            model = keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(2, activation="softmax")])
            model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
            see.model(model, model.fit(*data(), **FIT), f"{units} {rate}")
            keras.backend.clear_session()
