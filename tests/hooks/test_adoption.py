"""What was made before the runtime started is known to it all the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import keras
import pytest

from helpers.processes import environment
from holdfast.hooks.notebook import Cells
from holdfast.hooks.objects import Objects, adopt

FRESH = """
import keras
from holdfast.hooks.notebook import Cells
from holdfast.hooks.objects import Objects, adopt

model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("adam", "mse")
objects = Objects(Cells())
adopt(objects)
for kind, thing in (("model", model), ("optimizer", model.optimizer), ("variable", model.weights[0].value)):
    assert objects.entry(kind, thing) is not None, kind
"""
"""In a process that has just imported all that, Python's collector is about to run, and moves what is young."""


@pytest.fixture
def objects() -> Iterator[Objects]:
    """An empty registry."""
    cells = Cells()
    yield Objects(cells)
    cells.close()


def test_what_is_made_right_after_the_imports_is_found() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_classes_of_the_users_own_are_found(objects: Objects) -> None:
    class Mine(keras.optimizers.Adam):
        """Nothing of its own."""

    optimizer = Mine()
    adopt(objects)
    assert objects.entry("optimizer", optimizer) is not None


def test_what_has_no_model_optimizer_metric_or_variable_in_it_is_left_alone(objects: Objects) -> None:
    layer = keras.layers.Dense(1)
    adopt(objects)
    assert objects.entry("model", layer) is None
