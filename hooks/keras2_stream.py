"""The stream of one random op in a variable: key and counter of Philox."""

from __future__ import annotations

import itertools
import os
import struct
from typing import Any, Final

import numpy as np

RESERVED: Final = 256
"""Samples by which a stateful op moves on for each element: `ReserveRandomOutputs` in random_op.cc."""

DEVICE: Final = "/device:CPU:0"
"""Where streams are. The same in a graph as outside, whatever device the training runs on."""

_numbers = itertools.count()


class Stream:
    """The state of one random op: key, position, and the counter's upper half; like a `tf.Variable`.

    It is a resource that graphs refer to by name. An op of the user's can be the initial value of a variable
    that the training makes, which TensorFlow lifts out of the graph; what a graph captures cannot be lifted.
    It stays until the process ends, since no one can tell how long a graph is used: 24 bytes.
    """

    shape = (3,)
    trainable = False

    def __init__(self, state: Any) -> None:
        import tensorflow as tf

        self.name = f"holdfast_stream_{next(_numbers)}"
        self.dtype = tf.int64
        with tf.init_scope():
            self.handle = self._handle()
            self.assign(np.asarray(state, np.int64))

    def _handle(self) -> Any:
        import tensorflow as tf
        from tensorflow.python.ops import gen_resource_variable_ops as ops

        with tf.device(DEVICE):
            return ops.var_handle_op(dtype=tf.int64, shape=self.shape, shared_name=self.name)

    def assign(self, value: Any, read_value: bool = False) -> None:
        """Sets the state; ``read_value`` as `tf.Variable` has it."""
        import tensorflow as tf
        from tensorflow.python.ops import gen_resource_variable_ops as ops

        del read_value
        with tf.device(DEVICE):
            ops.assign_variable_op(self.handle, tf.convert_to_tensor(value, tf.int64))

    def draw(self, shape: Any) -> tuple[Any, Any]:
        """In a graph: key and counter for numbers of this shape, after which the stream has moved on."""
        import tensorflow as tf
        from tensorflow.python.ops import gen_resource_variable_ops as ops

        with tf.name_scope("holdfast"), tf.device(DEVICE):
            handle = self._handle()
            words = tf.bitcast(ops.read_variable_op(handle, tf.int64), tf.uint64)
            drawn = tf.reduce_prod(tf.cast(shape, tf.int64)) * RESERVED
            ops.assign_add_variable_op(handle, tf.stack([tf.zeros_like(drawn), drawn, tf.zeros_like(drawn)]))
            return words[:1], words[1:]


def first_state(seed: Any, seed2: Any) -> list[int]:
    """Where a stateful op with these seeds begins."""
    first, second = int(seed or 0), int(seed2 or 0)
    if first == second == 0:  # TensorFlow's sign for an op without seeds
        first, second = struct.unpack("<qq", os.urandom(16))
    return [first, 0, second]
