"""Small trainings of Keras 2, and what came of them, for the scenarios of one process."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

import colab_bootstrap

Scenario = Callable[[Path], None]
SCENARIOS: dict[str, Scenario] = {}
said: list[str] = []


def scenario(function: Scenario) -> Scenario:
    """Adds one."""
    SCENARIOS[function.__name__] = function
    return function


def start(folder: Path) -> Any:
    """Starts the runtime; a second time, as a restarted kernel would."""
    colab_bootstrap.stop()
    gc.collect()
    settings: dict[str, Any] = {"snapshot_seconds": 3600.0, "persist_seconds": 3600.0, "run": "test"}
    return colab_bootstrap.start(str(folder / "store"), spool=str(folder / "spool"), **settings)


def data() -> Any:
    """Forty samples: five batches of eight."""
    random = np.random.Generator(np.random.PCG64(1))
    x = random.normal(size=(40, 4)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int32")


def network(units: int = 3, rate: float = 0.01, **compiling: Any) -> Any:
    """Builds a model as a cell would, from the same seed."""
    tf_keras.utils.set_random_seed(2)
    layers = tf_keras.layers
    head = layers.Dense(2, activation="softmax", dtype="float32")
    model = tf_keras.Sequential([layers.Dense(units), layers.Dropout(0.2), head])
    model.compile(tf_keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", **compiling)
    return model


class At(tf_keras.callbacks.Callback):
    """Does something at the n-th step of a call."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        super().__init__()
        self.step, self.action, self.steps = step, action, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == self.step:
            self.action()


def interrupt() -> None:
    raise KeyboardInterrupt


def fit(model: Any, epochs: int = 3, callbacks: Any = (), **more: Any) -> Any:
    return model.fit(*data(), epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks), **more)


def interrupted(model: Any, step: int, epochs: int = 3, **more: Any) -> None:
    with suppress(KeyboardInterrupt):
        fit(model, epochs, [At(step, interrupt)], **more)
        raise AssertionError("not interrupted")


def bits(model: Any) -> list[bytes]:
    """Everything that training changes in a model."""
    variables = model.optimizer.variables
    inner = variables() if callable(variables) else variables
    return [np.asarray(one.numpy()).tobytes() for one in [*model.variables, *inner]]


def has_said(text: str) -> bool:
    return any(text in line for line in said)


def steps(model: Any) -> int:
    return int(model.optimizer.iterations.numpy())
