"""What a configuration is read from, and that nothing of the user's notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from holdfast.hooks import configuration, definition, random_state

CALLS: list[str] = []


def note(value: Any) -> Any:
    """A function of the user's own."""
    CALLS.append("noted")
    return value


class Plain(keras.layers.Layer):
    """As most are written."""

    def __init__(self, units: int = 2, activation: Any = "relu", start: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.activation = units, keras.activations.get(activation)
        self.start = keras.initializers.get(start)

    def get_config(self) -> Any:
        """The configuration."""
        config = super().get_config()
        config.update(
            {
                "units": int(self.units) + 0,
                "activation": keras.activations.serialize(self.activation),
                "start": keras.initializers.serialize(self.start) if self.start is not None else None,
            }
        )
        return config


class Merged(keras.layers.Dense):
    """One that is derived from a layer of Keras'."""

    def __init__(self, *args: Any, rate: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rate = rate

    def get_config(self) -> Any:
        """The configuration."""
        return {**super().get_config(), "rate": self.rate, "base": self.name}


class Loud(Plain):
    """One that notes when it is asked."""

    def get_config(self) -> Any:
        """The configuration, loudly."""
        CALLS.append("asked")
        return super().get_config()


class Drawing(Plain):
    """One that draws a number."""

    def get_config(self) -> Any:
        """The configuration, with a random number."""
        return {**super().get_config(), "number": np.random.rand()}


class Counting(Plain):
    """One that counts."""

    count = 0

    def get_config(self) -> Any:
        """The configuration, with a number."""
        self.count += 1
        return super().get_config()


class Calling(Plain):
    """One that calls a function, which may do anything."""

    def get_config(self) -> Any:
        """The configuration."""
        return {**super().get_config(), "noted": note(1)}


class Reading(Plain):
    """One with a property of its own, which may do anything."""

    @property
    def size(self) -> int:
        """A number."""
        CALLS.append("size")
        return 3

    def get_config(self) -> Any:
        """The configuration."""
        return {**super().get_config(), "size": self.size}


class Held(keras.initializers.Initializer):
    """An initializer that notes when it is asked, which a layer of Keras' asks."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return keras.ops.ones(shape, dtype) * self.scale

    def get_config(self) -> Any:
        """The configuration, loudly."""
        CALLS.append("asked")
        return {"scale": self.scale}


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that notes when it is asked."""

    def __init__(self, first: float) -> None:
        self.first = first

    def __call__(self, step: Any) -> Any:
        return self.first

    def get_config(self) -> Any:
        """The configuration, loudly."""
        CALLS.append("asked")
        return {"first": self.first}


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    CALLS.clear()


@pytest.mark.parametrize(
    "thing", [Plain(3), Plain(3, start="ones"), Merged(4, rate=0.1), keras.layers.Dense(2)]
)
def test_code_that_only_reads_is_called(thing: Any) -> None:
    assert configuration.is_harmless(thing)
    assert configuration.of(thing) == thing.get_config()


@pytest.mark.parametrize("kind", [Loud, Drawing, Counting, Calling, Reading])
def test_code_that_does_more_is_not_and_the_arguments_tell(kind: Any) -> None:
    state = random_state.capture_host()
    one, same, other = kind(3), kind(3), kind(4)
    found = [definition.layer_line(each, [], leaf=True) for each in (one, same, other)]
    assert found[0] == found[1] != found[2]
    assert '"units": 3' in found[0]
    assert (CALLS, vars(one).get("count"), random_state.capture_host()) == ([], None, state)


@pytest.mark.parametrize(
    "make",
    [
        lambda number: keras.layers.Dense(2, kernel_initializer=Held(number)),
        lambda number: Plain(start=Held(number)),
        lambda number: keras.optimizers.Adam(Rate(number)),
    ],
)
def test_what_keras_own_objects_hold_is_not_asked_either(make: Callable[[float], Any]) -> None:
    one, same, other = (definition.optimizer_definition(make(number)) for number in (1.0, 1.0, 2.0))
    assert one == same != other
    assert not CALLS


def test_a_learning_rate_is_told_where_the_optimizer_is_the_users_own() -> None:
    class Own(keras.optimizers.SGD):
        def get_config(self) -> Any:
            CALLS.append("asked")
            return super().get_config()

    one, other = (definition.optimizer_definition(Own(rate, momentum=0.5)) for rate in (0.25, 0.5))
    assert (one["learning_rate"], one["momentum"], other["learning_rate"]) == (0.25, 0.5, 0.5)
    assert not CALLS


def test_data_of_the_users_own_class_are_not_read() -> None:
    class Noting:
        shape, dtype = (3,), np.dtype("float32")

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            CALLS.append("array")
            return np.zeros(3, dtype)

    class Derived(np.ndarray[Any, Any]):
        def __array_finalize__(self, other: Any) -> None:
            CALLS.append("finalized")

        def __getitem__(self, index: Any) -> Any:
            CALLS.append("item")
            return super().__getitem__(index)

    derived = np.ones(3).view(Derived)
    CALLS.clear()
    found = definition.data_definition({"x": Noting(), "y": derived})
    assert found == {"x": "not checkable", "y": definition.array_hash(np.ones(3))}
    assert not CALLS
