"""Every sample of an epoch is seen exactly once across an interruption, seeded or not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.training import At, Start

SAMPLES = 48


class Tally(keras.Model):
    """Counts in a weight how often each sample was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.head = keras.layers.Dense(1)
        self.seen = self.add_weight(shape=(SAMPLES,), initializer="zeros", trainable=False, name="seen")

    def call(self, inputs: Any) -> Any:
        return self.head(inputs)

    def train_step(self, data: Any) -> Any:
        number, target = data
        flat = tf.cast(tf.reshape(number, [-1]), tf.int32)
        self.seen.assign(self.seen + tf.reduce_sum(tf.one_hot(flat, SAMPLES), axis=0))
        return super().train_step((number / SAMPLES, target))


def arrays() -> tuple[Any, Any]:
    return np.arange(SAMPLES, dtype="float32")[:, None], np.zeros((SAMPLES, 1), "float32")


SOURCES = {
    "arrays": lambda: {"x": arrays()[0], "y": arrays()[1], "batch_size": 8},
    "dataset": lambda: {"x": tf.data.Dataset.from_tensor_slices(arrays()).shuffle(SAMPLES).batch(8)},
    "batches": lambda: {"x": tf.data.Dataset.from_tensor_slices(arrays()).batch(8).shuffle(3).prefetch(4)},
    "parallel": lambda: {
        "x": tf.data.Dataset.from_tensor_slices(arrays())
        .shuffle(10)
        .map(lambda x, y: (x, y), num_parallel_calls=4)
        .batch(8)
    },
    "interleaved": lambda: {
        "x": tf.data.Dataset.range(4)
        .interleave(
            lambda part: tf.data.Dataset.from_tensor_slices(arrays()).shard(4, part).shuffle(20), cycle_length=2
        )
        .batch(8)
    },
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras' own, where a size is unknown
@pytest.mark.parametrize("source", SOURCES)
def test_unseeded_every_sample_is_seen_once_an_epoch(start: Start, source: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    def train(callbacks: list[Any]) -> Any:
        made = Tally()
        made.compile("sgd", "mse")
        made.fit(**SOURCES[source](), epochs=2, verbose=0, callbacks=callbacks)
        return made

    start()
    with pytest.raises(KeyboardInterrupt):
        train([At(4, interrupt)])
    start()
    with pytest.raises(KeyboardInterrupt):
        train([At(5, interrupt)])
    start()
    made = train([])
    assert made.seen.numpy().tolist() == [2.0] * SAMPLES
