"""What stands for a function looks like it, fails like it, and is no frame of a traceback."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.hooks.lookalike import lookalike


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """As Keras decorates its methods."""

    @functools.wraps(function)
    def handler(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return handler


class Base:
    """Methods with every kind of parameters."""

    def plain(self, x: int, y: int = 2) -> Any:
        """Documented."""
        return [x, y]

    def by_place(self, x: int, /, y: int = 2, *rest: int) -> Any:
        return [x, y, rest]

    def by_name(self, x: int, *, y: int = 2, **rest: int) -> Any:
        return [x, y, rest]

    def everything(self, x: int = 1, /, y: int = 2, *args: int, z: int = 3, **kwargs: int) -> Any:
        return [x, y, args, z, kwargs]

    @decorated
    def handled(self, x: int, y: int = 2) -> Any:
        return [x, y]

    @decorated
    def failing(self, x: int = 0) -> Any:
        return 1 / x


METHODS = ("plain", "by_place", "by_name", "everything", "handled")
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 5), {}),
    ((1, 5, 6, 7), {}),
    ((1,), {"y": 4}),
    ((), {"x": 1, "y": 4}),
    ((1,), {"z": 4, "w": 5}),
    ((1,), {"nonsense": 4}),
]


class Derived(Base):
    """One of whose objects ours may be called alone."""


def stand_in(name: str, **more: Any) -> tuple[Any, Any, list[Any]]:
    """The original, what stands for it, and what ours was called for."""
    original: Any = vars(Base)[name]
    called: list[Any] = []

    def ours(thing: Any, /, *args: Any, **kwargs: Any) -> Any:
        called.append(thing)
        return original(thing, *args, **kwargs)

    return original, lookalike(original, ours, **more), called


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call returns, or its error with its frames but for those of this file's own wrapper."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        frames = [(one.name, one.lineno) for one in traceback.extract_tb(error.__traceback__)]
        frames = [one for one in frames if one[0] != "ours"]
        return type(error), str(error), frames


@pytest.mark.parametrize("name", METHODS)
def test_it_looks_like_the_original(name: str) -> None:
    original, made, _ = stand_in(name)
    assert inspect.getfullargspec(made) == inspect.getfullargspec(original)
    for follow in (True, False):
        assert inspect.signature(made, follow_wrapped=follow) == inspect.signature(
            original, follow_wrapped=follow
        )
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__"):
        assert getattr(made, attribute) == getattr(original, attribute)
    assert made.__code__.co_name == original.__code__.co_name or name == "handled"


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_it_returns_and_fails_as_the_original_does(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    original, made, called = stand_in(name)
    thing = Base()
    expected = outcome(original, thing, *args, **kwargs)
    assert outcome(made, thing, *args, **kwargs) == expected
    assert not isinstance(expected, list) or called == [thing]


@pytest.mark.parametrize("name", METHODS)
def test_the_object_may_be_given_by_its_name_where_the_original_takes_it(name: str) -> None:
    original, made, called = stand_in(name)
    thing = Base()
    expected = outcome(original, self=thing, x=3)
    assert outcome(made, self=thing, x=3) == expected
    assert called == ([thing] if isinstance(expected, list) else [])
    assert outcome(made) == outcome(original)
    assert outcome(made, x=1) == outcome(original, x=1)


@pytest.mark.parametrize("name", METHODS)
def test_ours_is_called_for_the_class_alone_that_is_named(name: str) -> None:
    original, made, called = stand_in(name, only=Derived)
    for thing in (Base(), Derived()):
        assert made(thing, 1) == original(thing, 1)
    assert [type(one) for one in called] == [Derived]


def test_an_error_is_raised_as_from_the_original() -> None:
    original, made, _ = stand_in("failing")
    assert outcome(made, Base()) == outcome(original, Base())
    assert outcome(lookalike(made, made), Base()) == outcome(original, Base())


def test_a_function_that_is_none_of_pythons_is_wrapped_as_it_is() -> None:
    made = lookalike(len, lambda thing: len(thing) + 1, method=False)
    assert made([1]) == 2
    assert made.__name__ == "len"
