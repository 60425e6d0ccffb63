"""A small custom loop, made anew as a cell does that is run again; and cells."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from colab_bootstrap import resumable

Act = Callable[[int], None]


def nothing(step: int) -> None:
    """What happens after a step where nothing does."""


class Program:
    """A small model and its loop; made anew, it is what a cell makes that is run again."""

    def __init__(
        self, *, units: int = 3, rate: float = 0.1, built: bool = True, optimizer: str = "SGD"
    ) -> None:
        keras.utils.set_random_seed(3)
        self.model = keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(1)])
        if built:
            self.model.build((None, 2))
        self.optimizer = getattr(keras.optimizers, optimizer)(rate)
        self.metric = keras.metrics.Mean(name="loss")
        self.data = tf.data.Dataset.range(5).map(lambda i: tf.fill((2, 2), tf.cast(i, tf.float32)))
        self.items: list[int] = []
        self.steps = 0

    def step(self, x: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.model(x) - 1.0) ** 2)
        trained = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        self.metric.update_state(loss)

    def run(self, epochs: int = 3, act: Act = nothing) -> list[bytes]:
        for epoch in resumable(range(epochs)):
            self.metric.reset_state()
            self.items.append(epoch)
            for x in resumable(self.data):
                self.step(x)
                self.steps += 1
                act(self.steps)
        return self.bits()

    def bits(self) -> list[bytes]:
        things = (self.model, self.optimizer, self.metric)
        return [np.asarray(variable.numpy()).tobytes() for one in things for variable in one.variables]


def at(step: int, action: Callable[[], None]) -> Act:
    """Does something after a step."""

    def act(number: int) -> None:
        if number == step:
            action()

    return act


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupted(program: Program, step: int, epochs: int = 3) -> None:
    with pytest.raises(KeyboardInterrupt):
        program.run(epochs, at(step, interrupt))


class Notebook:
    """Stands in for IPython: tells where cells begin and end."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells

    def run(self, name: str, code: Callable[[], Any]) -> None:
        self._cells._cell, self._cells._ordinal = name, 0
        self._cells.execution += 1
        try:
            code()
        finally:
            self._cells._after_cell()


def eagerly(program: Program, act: Act = nothing) -> None:
    for step in range(4):
        program.step(np.full((2, 2), step, "float32"))
        act(step)
