"""The training that is measured: a dense Keras model with Adam, its whole state of a given size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from plan import Regime

LAYERS: Final = 6
"""Always the same, so that only the size changes; 1.7 to 44 MB a matrix."""

STATE_PER_WEIGHT: Final = 12
"""Bytes: a float32 weight and Adam's two moments of it."""

BATCH: Final = 64
"""Samples: forward and backward pass take about as long as Adam's update, on every core."""

ACCELERATOR_SECONDS: Final = 0.25
"""How long the host waits for the forward and backward pass in the regime with a core free."""


def limit_cores(regime: Regime) -> None:
    """Leaves TensorFlow one core where one is to be free. Comes before anything else of TensorFlow."""
    if regime == "free":
        tf.config.threading.set_intra_op_parallelism_threads(1)


def make_model(regime: Regime, megabytes: int) -> Any:
    """A compiled and built model with ``megabytes`` MB of weights and optimizer state."""
    width = int(math.sqrt(megabytes * 1e6 / STATE_PER_WEIGHT / LAYERS))
    inputs = keras.Input((width,))
    outputs = inputs
    for _ in range(LAYERS):
        outputs = keras.layers.Dense(width, activation="relu")(outputs)
    model = keras.Model(inputs, outputs) if regime == "saturated" else Waiting(inputs, outputs)
    model.compile(optimizer=keras.optimizers.Adam(1e-6), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def make_data(model: Any) -> Any:
    """Batches without end, at no cost."""
    generator = np.random.default_rng(0)
    shape = (BATCH, model.inputs[0].shape[1])
    batch = tuple(generator.standard_normal(shape, dtype=np.float32) for _ in range(2))
    return tf.data.Dataset.from_tensors(batch).repeat()


class Waiting(keras.Model):
    """A model whose forward and backward pass happen elsewhere: a wait, and gradients that lie ready.

    The optimizer's update of every variable is the real one.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """Waits as for an accelerator, then updates."""
        del data
        with tf.control_dependencies([tf.numpy_function(_wait, [], tf.float32)]):
            gradients = [gradient.read_value() for gradient in self._ready()]
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": tf.zeros(())}

    def _ready(self) -> list[Any]:
        holder: Callable[[], list[Any]] | None = getattr(self, "_gradients", None)
        if holder is None:
            with tf.init_scope():
                made = [tf.Variable(tf.fill(one.shape, 1e-3)) for one in self.trainable_variables]
            # In a closure neither Keras nor tf.train.Checkpoint takes them for the model's state.
            self._gradients = holder = lambda: made
        return holder()


def _wait() -> np.float32:
    time.sleep(ACCELERATOR_SECONDS)
    return np.float32(0)
