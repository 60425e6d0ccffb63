"""A runtime in the test's own process, with its own store and spool, and small models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import colab_bootstrap
from helpers.forks import keep_imports
from helpers.training import Start
from holdfast.hooks.handle import Handle
from holdfast.runtime import report

keep_imports()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The lines that the runtime says."""
    lines: list[str] = []
    report.speak_through(lines.append)
    report._said.clear()
    yield lines
    report.speak_through(None)


@pytest.fixture
def start(tmp_path: Path, said: list[str]) -> Iterator[Start]:
    """Starts the runtime; a second time, as a restarted kernel would."""

    def begin(**settings: Any) -> Handle:
        colab_bootstrap.stop()
        settings = {"snapshot_seconds": 3600.0, "persist_seconds": 3600.0, "run": "test", **settings}
        return colab_bootstrap.start(str(tmp_path / "store"), spool=str(tmp_path / "spool"), **settings)

    yield begin
    colab_bootstrap.stop()


@pytest.fixture
def data() -> tuple[Any, Any]:
    """Forty samples: five batches of eight."""
    random = np.random.Generator(np.random.PCG64(1))
    x = random.normal(size=(40, 4)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int32")


@pytest.fixture
def model() -> Callable[..., Any]:
    """Builds the model as a cell would, from the same seed."""

    def build(units: int = 3, rate: float = 0.01, loss: str = "sparse_categorical_crossentropy") -> Any:
        keras.utils.set_random_seed(2)
        made = keras.Sequential(
            [keras.layers.Dense(units), keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax")]
        )
        made.compile(keras.optimizers.Adam(rate), loss)
        return made

    return build
