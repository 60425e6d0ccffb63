"""Small trainings of Keras 2, one for each kind of data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from keras2_case import (
    FEATURES,
    SAMPLES,
    STEPS,
    Program,
    arrays,
    case,
    lean,
    network,
    of_arrays,
    of_dataset,
    pipeline,
)


@case
def arrays_shuffled(folder: Path) -> Program:
    return of_arrays(network(), validation_data=arrays())


@case
def arrays_in_order(folder: Path) -> Program:
    return of_arrays(network(built=True), shuffle=False)


@case
def arrays_shuffled_by_batches(folder: Path) -> Program:
    return of_arrays(lean(), shuffle="batch", validation_data=arrays())


@case
def arrays_over_several_epochs(folder: Path) -> Program:
    return of_arrays(lean(), steps_per_epoch=5)


@case
def lists_of_numbers(folder: Path) -> Program:
    model = tf_keras.Sequential(
        [tf_keras.layers.Dense(4), tf_keras.layers.Dropout(0.2), tf_keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    x, y = arrays()
    return Program(model, {"x": x[:, :1].tolist(), "y": y.tolist(), "epochs": 3, "batch_size": 8})


@case
def ragged_tensors(folder: Path) -> Program:
    model = tf_keras.Sequential(
        [
            tf_keras.Input((None,), dtype=tf.int64, ragged=True),
            tf_keras.layers.Embedding(7, 3),
            tf_keras.layers.Lambda(lambda rows: tf.reduce_mean(rows, axis=1)),
            tf_keras.layers.Dropout(0.2),
            tf_keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    _, y = arrays()
    lengths = np.arange(SAMPLES) % 3 + 1
    words = tf.RaggedTensor.from_row_lengths(np.arange(lengths.sum()) % 7, lengths)
    return Program(model, {"x": words, "y": tf.constant(y), "epochs": 3, "batch_size": 8})


@case
def validation_split(folder: Path) -> Program:
    return of_arrays(lean(), validation_split=0.25)


@case
def class_weight(folder: Path) -> Program:
    return of_arrays(lean(), class_weight={0: 1.0, 1: 2.0, 2: 0.5})


@case
def sample_weight(folder: Path) -> Program:
    return of_arrays(lean(), sample_weight=np.linspace(0.1, 2, SAMPLES))


@case
def dataset_shuffled_then_batched(folder: Path) -> Program:
    return of_dataset(pipeline().shuffle(20, seed=4).batch(8).prefetch(2))


@case
def dataset_batched_then_shuffled(folder: Path) -> Program:
    return of_dataset(pipeline().batch(8).shuffle(5), validation_data=pipeline().batch(10))


@case
def dataset_repeated(folder: Path) -> Program:
    return of_dataset(pipeline().shuffle(SAMPLES).repeat().batch(8), steps_per_epoch=8, epochs=3)


@case
def dataset_of_unknown_size(folder: Path) -> Program:
    dataset = pipeline().filter(lambda x, y: y < 2).shuffle(30, seed=1).batch(5)
    return of_dataset(dataset, validation_data=pipeline().batch(10))


@case
def dataset_validated_with_shuffled_data(folder: Path) -> Program:
    return of_dataset(pipeline().batch(8), validation_data=pipeline().shuffle(SAMPLES, seed=9).batch(10))


@case
def dataset_through_python(folder: Path) -> Program:
    x, y = arrays()

    def samples() -> Iterator[Any]:
        yield from zip(x, y, strict=True)

    signature = (tf.TensorSpec((FEATURES,), tf.float32), tf.TensorSpec((), tf.int32))
    return of_dataset(tf.data.Dataset.from_generator(samples, output_signature=signature).batch(8))


class Reshuffling(tf_keras.utils.Sequence):
    """A user's Sequence that shuffles itself, from its own generator and from NumPy's."""

    def __init__(self) -> None:
        self.x, self.y = arrays()
        self.order = np.arange(SAMPLES)
        self.random = np.random.default_rng(8)

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> Any:
        chosen = self.order[index * 8 : index * 8 + 8]
        return self.x[chosen], self.y[chosen]

    def on_epoch_end(self) -> None:
        self.random.shuffle(self.order)
        np.random.shuffle(self.order)


@case
def sequence(folder: Path) -> Program:
    return Program(lean(), {"x": Reshuffling(), "epochs": 3, "validation_data": arrays()})


@case
def sequence_in_order(folder: Path) -> Program:
    return Program(lean(), {"x": Reshuffling(), "epochs": 3, "shuffle": False})


class Same(Reshuffling):
    """Stays in its order: threads would read ahead of a shuffle."""

    def on_epoch_end(self) -> None:
        pass


@case
def sequence_read_by_threads(folder: Path) -> Program:
    return Program(lean(), {"x": Same(), "epochs": 3, "shuffle": False, "workers": 2})


@case
def python_generator(folder: Path) -> Program:
    x, y = arrays()

    def batches() -> Iterator[Any]:
        random = np.random.default_rng(1)
        while True:
            chosen = random.integers(0, SAMPLES, 8)
            yield x[chosen], y[chosen]

    return Program(lean(), {"x": batches(), "steps_per_epoch": STEPS, "epochs": 3})
