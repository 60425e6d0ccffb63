"""Programs of several trainings: folds, stages, adversaries, teachers, parts of trained models."""

from __future__ import annotations

import gc
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from resuming.seen import Seen, hashes
from resuming.single import SEED, arrays, network

EAGERLY: Final[dict[str, Any]] = {"run_eagerly": True}
"""A few steps are sooner run by Python than traced; those of `single`, and some here, are traced."""


def k_folds(see: Seen, *, keep: bool = True) -> None:
    """Three models of one kind, one after another, each with its own part of the data left out.

    Without ``keep``, each is thrown away before the next is built, as those do who are short of memory.
    """
    keras.utils.set_random_seed(SEED)
    x, y = arrays(36)
    models = []
    for fold in np.array_split(np.random.permutation(36), 3):
        models.append(network(**EAGERLY))
        see.fit(models[-1], np.delete(x, fold, 0), np.delete(y, fold, 0), batch_size=8, epochs=2)
        if not keep:
            models.clear()
            keras.backend.clear_session()
    see.end()


def repeats(see: Seen) -> None:
    """One training three times over, as for a mean and its error: each is another one, by other numbers."""
    keras.utils.set_random_seed(SEED)
    for _ in range(3):
        see.fit(network(**EAGERLY), *arrays(), batch_size=8, epochs=1)
        gc.collect()
    see.end()


def two_stages(see: Seen) -> None:
    """A head is trained on a frozen body; then all of it, compiled anew at a lower rate."""
    keras.utils.set_random_seed(SEED)
    model = network()
    model.layers[0].trainable = False
    see.fit(model, *arrays(), batch_size=8, epochs=2)
    model.layers[0].trainable = True
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    see.fit(model, *arrays(), batch_size=8, epochs=2)
    see.end()


def adversaries(see: Seen, *, eagerly: bool = False) -> None:
    """A generator and a discriminator by turns; each round's data come of the rounds before."""
    keras.utils.set_random_seed(SEED)
    real, _ = arrays(16)
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    discriminator = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1, "sigmoid")]
    )
    discriminator.compile("adam", "binary_crossentropy", run_eagerly=eagerly)
    whole = keras.Sequential([generator, discriminator])
    whole.compile("adam", "binary_crossentropy", run_eagerly=eagerly)
    for _ in range(2):
        discriminator.trainable = True
        fake = generator.predict(np.random.normal(size=(16, 2)), verbose=0)
        truth = np.repeat([1.0, 0.0], 16)[:, None]
        see.fit(discriminator, np.concatenate([real, fake]), truth, batch_size=8, epochs=1)
        discriminator.trainable = False
        see.fit(whole, np.random.normal(size=(16, 2)), np.ones((16, 1)), batch_size=8, epochs=1)
        see.came.append(hashes(discriminator))
    see.end()


class Distiller(keras.Model):
    """A student that learns what its teacher says of the same samples."""

    def __init__(self, teacher: Any, student: Any) -> None:
        super().__init__()
        self.teacher, self.student = teacher, student
        teacher.trainable = False

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.student(inputs, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        return tf.reduce_mean(keras.losses.kl_divergence(self.teacher(x, training=False), y_pred))


def teacher_and_student(see: Seen) -> None:
    """A student learns a teacher's predictions; then another asks the teacher in each step."""
    keras.utils.set_random_seed(SEED)
    x, y = arrays()
    teacher = network(5, **EAGERLY)
    see.fit(teacher, x, y, batch_size=8, epochs=2)
    student = network(2, loss="kl_divergence", **EAGERLY)
    see.fit(student, x, teacher.predict(x, verbose=0), batch_size=8, epochs=2)
    distiller = Distiller(teacher, student)
    distiller.compile(keras.optimizers.SGD(0.1), **EAGERLY)
    see.fit(distiller, x, y, batch_size=8, epochs=2)
    see.end()


def built_of_a_trained_model(see: Seen) -> None:
    """An autoencoder is trained; its encoder becomes part of a classifier, and is trained further there."""
    keras.utils.set_random_seed(SEED)
    x, y = arrays()
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dropout(0.2)])
    autoencoder = keras.Sequential([encoder, keras.layers.Dense(4)])
    autoencoder.compile("adam", "mse", **EAGERLY)
    see.fit(autoencoder, x, x, batch_size=8, epochs=2)
    classifier = keras.Sequential([encoder, keras.layers.Dense(2, "softmax")])
    classifier.compile("adam", "sparse_categorical_crossentropy", **EAGERLY)
    see.fit(classifier, x, y, batch_size=8, epochs=2)
    see.end()


def shared_encoder(see: Seen) -> None:
    """Two models with one encoder, trained by turns: each finds the encoder as the other left it."""
    keras.utils.set_random_seed(SEED)
    x, y = arrays(24)
    inputs = keras.Input((4,))
    code = keras.layers.Dropout(0.2)(keras.layers.Dense(3, "tanh")(inputs))
    first = keras.Model(inputs, keras.layers.Dense(4)(code))
    first.compile("adam", "mse", **EAGERLY)
    second = keras.Model(inputs, keras.layers.Dense(2, "softmax")(code))
    second.compile("adam", "sparse_categorical_crossentropy", **EAGERLY)
    for model, target in ((first, x), (second, y), (first, x)):
        see.fit(model, x, target, batch_size=8, epochs=2)
        see.came.append([hashes(first), hashes(second)])
    see.end()
