"""A model for cases in which it is not the model that matters."""

from __future__ import annotations

from typing import Any


def lean_model(keras: Any, classes: int) -> Any:
    """Soon traced, and yet with random numbers, momenta and metrics.

    Args:
        keras: Keras 3, or Keras 2.
        classes: How many classes it tells apart.
    """
    layers = [
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(classes, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
