"""A TF1 graph that fits a line, for tests in their own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

X = np.linspace(0.0, 1.0, 20).astype("float32")
Y = 3.0 * X + 1.0


@dataclass
class Line:
    """A graph that fits a line, as a program of its time builds it."""

    graph: Any
    x: Any
    y: Any
    loss: Any
    train: Any
    step: Any
    init: Any
    saver: Any

    @property
    def feed(self) -> dict[Any, Any]:
        """What a step is fed."""
        return {self.x: X, self.y: Y}

    def train_to(self, session: Any, end: int) -> int:
        """Trains as far as the global step says; returns the steps made."""
        made = 0
        while session.run(self.step) < end:
            session.run(self.train, self.feed)
            made += 1
        return made

    def values(self, session: Any) -> list[bytes]:
        """The values of all its variables."""
        with self.graph.as_default():
            variables = v1.global_variables()
        return [np.asarray(value).tobytes() for value in session.run(variables)]


def line(
    optimizer: Callable[[], Any] = lambda: v1.train.AdamOptimizer(0.05),
    width: int = 1,
    more: Callable[[Any], Any] = lambda loss: loss,
    resource: bool = True,
) -> Line:
    """Builds one.

    Args:
        optimizer: Makes the optimizer.
        width: Of the weight.
        more: What becomes of the loss.
        resource: Whether its variables are resources.
    """
    with tf.Graph().as_default() as graph:
        weight = v1.get_variable(
            "w", [width], initializer=v1.random_uniform_initializer(-1, 1, seed=3), use_resource=resource
        )
        bias = v1.get_variable("b", [], initializer=v1.zeros_initializer(), use_resource=resource)
        x, y = v1.placeholder(tf.float32, [None]), v1.placeholder(tf.float32, [None])
        loss = more(tf.reduce_mean((tf.reduce_sum(weight) * x + bias - y) ** 2))
        step = v1.train.get_or_create_global_step()
        train = optimizer().minimize(loss, global_step=step)
        saver = v1.train.Saver()
        return Line(graph, x, y, loss, train, step, v1.global_variables_initializer(), saver)
