"""Models that stand in Keras' way: with a `fit`, special methods or attributes of their own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from manners.programs import program
from manners.seen import Seen
from manners.small import FIT, data, layers


class Stepping(keras.Model):
    """A subclass that stands between the user and `fit`."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2, activation="softmax")
        self.log: list[str] = []

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def fit(self, *args: Any, note: str = "", **kwargs: Any) -> Any:
        """Trains, and says so."""
        self.log.append(f"fit {note}")
        history = super().fit(*args, **kwargs)
        self.log.append(f"{len(history.epoch)} epochs")
        return history

    def make_train_function(self, force: bool = False) -> Any:
        self.log.append(f"make_train_function {force}")
        return super().make_train_function(force)

    def reset_metrics(self) -> None:
        self.log.append("reset_metrics")
        super().reset_metrics()

    def train_step(self, batch: Any) -> Any:
        self.log.append("train_step")
        return super().train_step(batch)


@program
def subclass_with_its_own_fit(see: Seen) -> None:
    model = Stepping()
    model.compile("adam", "sparse_categorical_crossentropy")
    see.model(model, model.fit(*data(), **FIT, note="mine"))
    see.model(model, keras.Model.fit(model, *data(), **FIT), "by the class")
    see.note("log", list(model.log))


class Equal(keras.Sequential):
    """All of them are one and the same to whoever compares them."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    def __hash__(self) -> int:
        return 1


class WithoutHash(Equal):
    """Like what a dataclass is that may be changed."""

    __hash__ = None  # type: ignore[assignment]


class Long(keras.Sequential):
    """A model with a length, and not of length 0."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: int) -> Any:
        return self.layers[place]


class Empty(Long):
    """One of length 0, so that it counts as false; Keras forgets to set it on callbacks."""

    def __len__(self) -> int:
        return 0


@program
def models_with_special_methods(see: Seen) -> None:
    for kind in (Equal, WithoutHash, Long):
        for place in range(2):
            model = kind(layers())
            model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
            see.raising(
                f"{kind.__name__} {place} raised",
                lambda: see.model(model, model.fit(*data(), **FIT), f"{kind.__name__} {place}"),  # noqa: B023
            )


@program
def models_that_are_false(see: Seen) -> None:
    model = Empty(layers())
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    see.raising("raised", lambda: model.fit(*data(), **FIT))
    see.raising("evaluated", lambda: see.note("loss", model.evaluate(*data(), verbose=0)))


class Told(keras.Model):
    """A model that notes what is set on it, and what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2, activation="softmax")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def __setattr__(self, name: str, value: Any) -> None:
        SET.append(name)
        super().__setattr__(name, value)


SET: list[str] = []


@program
def a_model_that_notes_what_is_set_on_it(see: Seen) -> None:
    SET.clear()
    model = Told()
    model.compile("adam", "sparse_categorical_crossentropy")
    see.model(model, model.fit(*data(), **FIT))
    see.note("set", list(SET))


ASKED: list[str] = []


class Asked(keras.layers.Layer):
    """A layer that says when its configuration is asked for, and draws a number over it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2, activation="softmax")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def get_config(self) -> dict[str, Any]:
        """The configuration, loudly."""
        print("the configuration is asked for")
        np.random.rand()
        return {**super().get_config(), "time": len(ASKED)}


@program
def a_layer_that_says_when_it_is_asked(see: Seen) -> None:
    model = keras.Sequential([Asked()])
    model.compile("adam", "sparse_categorical_crossentropy")
    see.model(model, model.fit(*data(), **FIT))


@program
def layers_without_a_configuration(see: Seen) -> None:
    class Scale(keras.layers.Layer):
        def __init__(self, by: Any) -> None:
            super().__init__()
            self.by = by

        def call(self, inputs: Any) -> Any:
            return inputs * self.by

    model = keras.Sequential([Scale(np.float32(2)), *layers()])
    model.compile("adam", lambda truth, guess: keras.ops.mean((guess - 0.5) ** 2))
    model.add(keras.layers.Lambda(lambda value: value * 2))
    model.compile("adam", lambda truth, guess: keras.ops.mean((guess - 0.5) ** 2), metrics=[mean_guess])
    see.model(model, model.fit(*data(), **FIT))
    see.raising("config", model.get_config)


def mean_guess(truth: Any, guess: Any) -> Any:
    """A metric without a class."""
    return keras.ops.mean(guess)
