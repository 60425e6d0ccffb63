"""Small pieces for tests that train in their own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from holdfast.hooks.handle import Handle

Start = Callable[..., Handle]
Model = Callable[..., Any]


class At(keras.callbacks.Callback):
    """Does something at the n-th step of a call."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        super().__init__()
        self.step, self.action, self.steps = step, action, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == self.step:
            self.action()


def bits(model: Any) -> list[bytes]:
    """Everything that training changes in a model."""
    return [np.asarray(one.numpy()).tobytes() for one in [*model.variables, *model.optimizer.variables]]


class Count(keras.callbacks.LambdaCallback):
    """Counts steps where no restore puts the count back."""

    def __init__(self) -> None:
        steps: list[int] = []
        super().__init__(on_train_batch_end=lambda batch, logs: steps.append(batch))
        self.steps = steps.__len__


def run_cell(handle: Handle, name: str) -> None:
    """Has what follows be an execution of that cell."""
    cells = handle._tracker.cells
    cells._after_cell()
    cells._cell, cells._ordinal = name, 0
    cells.execution += 1
