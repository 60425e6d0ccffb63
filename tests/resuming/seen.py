"""What the cells of a notebook share, what came of their trainings, and what ends them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import xxhash


class Steps:
    """Counts the training steps of a process, and acts after some. No plain value, so never restored."""

    def __init__(self) -> None:
        self.count = 0
        self.actions: dict[int, Callable[[], None]] = {}

    def act(self) -> None:
        """Does what is to be done after this many steps."""
        action = self.actions.pop(self.count, None)
        if action is not None:
            action()


class Watch(keras.callbacks.Callback):
    """Tells `Steps` of each training step."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def on_train_begin(self, logs: Any = None) -> None:
        self.steps.act()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps.count += 1
        self.steps.act()


class Seen:
    """What the cells of a notebook share, and what came of them.

    Attributes:
        made: The notebook's variables.
        came: What each `fit` ended with, in their order, and the numbers that are drawn next.
        steps: The training steps.
    """

    def __init__(self) -> None:
        self.made = SimpleNamespace()
        self.came: list[Any] = []
        self.steps = Steps()

    def fit(
        self, model: Any, *data: Any, callbacks: tuple[Any, ...] = (), before: Any = None, **fitting: Any
    ) -> None:
        """Trains a model and notes its variables and its History, which goes on from the one ``before``."""
        history = model.fit(*data, verbose=0, callbacks=[*callbacks, Watch(self.steps)], **fitting)
        if before is not None:
            history.epoch[:0] = before.epoch
            history.history = {key: before.history[key] + values for key, values in history.history.items()}
        self.came.append(
            {
                "variables": hashes(model),
                "history": history.history,
                "epochs": history.epoch,
                "callbacks": [numbers(one) for one in callbacks],
            }
        )

    def end(self) -> None:
        """Notes the numbers that are drawn next."""
        self.came.append([float(np.random.rand()), float(keras.random.normal(()))])


def numbers(callback: Any) -> dict[str, Any]:
    """A callback's attributes that are numbers."""
    return {key: value for key, value in vars(callback).items() if isinstance(value, (int, float))}


def hashes(model: Any) -> dict[str, str]:
    """A hash of every variable of a model, its optimizer and its metrics, as manifests have them."""
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    return {
        f"{group}/{place}": xxhash.xxh3_128_hexdigest(np.ascontiguousarray(variable.numpy()).tobytes())
        for group, variables in groups.items()
        for place, variable in enumerate(variables)
    }
