"""What the trainings of the exactness matrix are made of; each is built anew by the same code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from helpers.lean import lean_model

Case = Callable[[Path], "Program"]
CASES: dict[str, Case] = {}

SAMPLES, FEATURES, CLASSES = 60, 6, 3
STEPS = 8
"""Batches of an epoch where they have eight samples each, the last one four."""


@dataclass
class Program:
    """A model and what it is fitted with; ``before`` comes first, on the same model."""

    model: Any
    fit: dict[str, Any]
    callbacks: list[Any] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    before: Callable[[], None] = lambda: None


def case(build: Case) -> Case:
    """Adds a training to the matrix."""
    CASES[build.__name__] = build
    return build


def arrays() -> tuple[Any, Any]:
    """The same samples in every process."""
    random = np.random.Generator(np.random.PCG64(5))
    x = random.normal(size=(SAMPLES, FEATURES)).astype("float32")
    return x, (np.abs(x.sum(axis=1)).astype(int) % CLASSES).astype("int32")


def network(*, built: bool = False, **compiling: Any) -> Any:
    """A model with every kind of variable: weights, moving averages, random streams, metrics."""
    layers = [
        tf_keras.layers.Dense(8, activation="relu"),
        tf_keras.layers.BatchNormalization(),
        tf_keras.layers.Dropout(0.3),
        tf_keras.layers.Dense(CLASSES, activation="softmax", dtype="float32"),
    ]
    model = tf_keras.Sequential(([tf_keras.Input((FEATURES,))] if built else []) + layers)
    compiling.setdefault("optimizer", "adam")
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], **compiling)
    return model


def lean() -> Any:
    """A model that is soon traced, where it is not the model that matters: random streams, momenta, metrics."""
    return lean_model(tf_keras, CLASSES)


def of_arrays(model: Any, callbacks: list[Any] | None = None, **fitting: Any) -> Program:
    """A program on the arrays."""
    x, y = arrays()
    return Program(model, {"x": x, "y": y, "epochs": 3, "batch_size": 8, **fitting}, callbacks or [])


def pipeline() -> Any:
    """The arrays as a `tf.data.Dataset`."""
    return tf.data.Dataset.from_tensor_slices(arrays())


def of_dataset(dataset: Any, **fitting: Any) -> Program:
    """A program on a `tf.data` pipeline."""
    return Program(lean(), {"x": dataset, "epochs": 3, **fitting})
