"""Small data, small models, and a callback that sees everything; shared by the programs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from manners.seen import plain

EVENTS = tuple(sorted(name for name in dir(keras.callbacks.Callback) if name.startswith("on_")))


def data(samples: int = 24) -> tuple[Any, Any]:
    """Samples of four numbers, in two classes."""
    random = np.random.Generator(np.random.PCG64(1))
    x = random.normal(size=(samples, 4)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int32")


def layers(units: int = 3) -> list[Any]:
    """Layers with weights, with random numbers, and with state that is not trained."""
    return [
        keras.layers.Dense(units),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(2, activation="softmax"),
    ]


def classifier(compiled: Any = "sgd", *, units: int = 3, eagerly: bool = True, **compiling: Any) -> Any:
    """A model that is not built yet.

    Args:
        compiled: The optimizer; None for a model that is not compiled.
        units: To tell models apart that a program trains one after another.
        eagerly: Whether its steps are run by Python, which is sooner done than to trace them.
        **compiling: More arguments of `compile`.
    """
    made = keras.Sequential(layers(units))
    if compiled is not None:
        made.compile(compiled, "sparse_categorical_crossentropy", run_eagerly=eagerly, **compiling)
    return made


FIT: dict[str, Any] = {"epochs": 2, "batch_size": 8, "verbose": 0}


class View(keras.callbacks.Callback):
    """Writes down what it is told, event by event."""

    def __init__(self, events: Any = EVENTS) -> None:
        super().__init__()
        self.told: list[Any] = []
        for event in events:
            setattr(self, event, self._teller(event, getattr(keras.callbacks.Callback, event)))

    def _teller(self, event: str, original: Any) -> Any:
        def tell(*args: Any, **kwargs: Any) -> Any:
            state = [self.model.stop_training, self.model.optimizer.iterations.numpy()] if self.model else None
            self.told.append([event, plain(args), plain(kwargs), plain(state)])
            return original(self, *args, **kwargs)

        return tell

    def set_params(self, params: Any) -> None:
        self.told.append(["set_params", plain(params)])
        super().set_params(params)

    def set_model(self, model: Any) -> None:
        self.told.append(["set_model", type(model).__name__])
        super().set_model(model)


class EveryEvent(View):
    """The same by methods of a class, which is how Keras tells that batches matter."""

    def __init__(self) -> None:
        super().__init__(())


def _method(event: str) -> Any:
    def tell(self: Any, *args: Any, **kwargs: Any) -> None:
        self.told.append([event, plain(args), plain(kwargs)])

    tell.__name__ = event
    return tell


for _event in EVENTS:
    setattr(EveryEvent, _event, _method(_event))
