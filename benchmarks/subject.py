"""The trainings that are measured: Keras models of several kinds, their whole state of a given size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from plan import Block

LAYERS: Final = 6
"""Always the same, so that only the size changes; at 300 MB 17 MB a matrix."""

WEIGHT: Final = 4
ADAM: Final = 3 * WEIGHT
"""Bytes of state for each weight: a float32, and with Adam two moments of it."""

BATCH: Final = 64
"""Samples: forward and backward pass take about as long as Adam's update, on every core."""

ACCELERATOR_SECONDS: Final = 0.25
"""How long the host waits for the forward and backward pass in the regime with a core free."""

IMAGE: Final = 16
IMAGES: Final = 16
"""Pixels a side, and images a batch: some tenths of a second a step for 10 MB of state."""

DIMENSIONS: Final = 64
WORDS: Final = 16
"""Of a row of the embedding, and words a sample."""

FROZEN: Final = 0.95
"""Share of the state's bytes that never changes when fine-tuning."""


def prepare(block: Block) -> None:
    """Leaves TensorFlow one core where one is to be free. Comes before anything else of TensorFlow."""
    if block.regime == "free":
        tf.config.threading.set_intra_op_parallelism_threads(1)
    if block.variables:  # minutes go into optimizing a graph that updates thousands of them
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def make_model(block: Block) -> Any:
    """The block's model, compiled and built."""
    size = block.megabytes * 1e6
    optimizer: Any = keras.optimizers.Adam(1e-6)
    match block.subject:
        case "dense":
            inputs, outputs = _dense(size, LAYERS)
        case "deep":  # a layer has two variables, with Adam six; two are Adam's own
            layers = max(1, round((block.variables - 2) / 6))
            # However deep, gradients stay as large as they are: what does not change is not written again.
            inputs, outputs = _dense(size, layers, activation=None, kernel_initializer="orthogonal")
        case "conv":
            inputs, outputs = _convolutional(size)
        case "embedding":
            inputs, outputs = _embedding(size / ADAM)
        case "sparse":  # the update touches the batch's rows only
            inputs, outputs = _embedding(size / WEIGHT)
            optimizer = keras.optimizers.SGD(1e-6)
        case "frozen":
            inputs, outputs = _fine_tuning(size)
    model = (keras.Model if block.regime == "saturated" else Waiting)(inputs, outputs)
    model.compile(optimizer=optimizer, loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _dense(size: float, layers: int, **of_layers: Any) -> tuple[Any, Any]:
    width = int(math.sqrt(size / ADAM / layers))
    inputs = outputs = keras.Input((width,))
    for _ in range(layers):
        outputs = keras.layers.Dense(width, **{"activation": "relu", **of_layers})(outputs)
    return inputs, outputs


def _convolutional(size: float) -> tuple[Any, Any]:
    channels = int(math.sqrt(size / ADAM / LAYERS / 9))
    inputs = outputs = keras.Input((IMAGE, IMAGE, channels))
    for _ in range(LAYERS):
        outputs = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(outputs)
        outputs = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(outputs))
    return inputs, keras.layers.GlobalAveragePooling2D()(outputs)


def _embedding(weights: float) -> tuple[Any, Any]:
    inputs = keras.Input((WORDS,), dtype="int32")
    rows = keras.layers.Embedding(int(weights / DIMENSIONS), DIMENSIONS)(inputs)
    return inputs, keras.layers.Dense(8)(keras.layers.GlobalAveragePooling1D()(rows))


def _fine_tuning(size: float) -> tuple[Any, Any]:
    width = int(math.sqrt(size * FROZEN / WEIGHT / LAYERS))
    inputs = outputs = keras.Input((width,))
    for _ in range(LAYERS):
        outputs = keras.layers.Dense(width, activation="relu", trainable=False)(outputs)
    return inputs, keras.layers.Dense(max(1, int(size * (1 - FROZEN) / ADAM / width)))(outputs)


def make_data(model: Any) -> Any:
    """Batches without end, at no cost."""
    generator = np.random.default_rng(0)
    shape = model.inputs[0].shape[1:]
    samples = IMAGES if len(shape) > 1 else BATCH
    x: Any
    if model.inputs[0].dtype == "int32":
        rows = next(one.input_dim for one in model.layers if isinstance(one, keras.layers.Embedding))
        x = generator.integers(rows, size=(samples, *shape), dtype=np.int32)
    else:
        x = generator.standard_normal((samples, *shape), dtype=np.float32)
    y = generator.standard_normal((samples, *model.outputs[0].shape[1:]), dtype=np.float32)
    return tf.data.Dataset.from_tensors((x, y)).repeat()


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
            with tf.init_scope():  # of all values, since Orbax compresses what it writes
                made = [
                    tf.Variable(tf.random.normal(one.shape, stddev=1e-3)) for one in self.trainable_variables
                ]
            # In a closure neither Keras nor tf.train.Checkpoint takes them for the model's state.
            self._gradients = holder = lambda: made
        return holder()


def _wait() -> np.float32:
    time.sleep(ACCELERATOR_SECONDS)
    return np.float32(0)
