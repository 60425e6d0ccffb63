"""The random numbers that a loop's code draws: from global generators, and from those in its variables."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from holdfast.hooks import plain, random_state

_OWN: Final = ("holdfast.", "tqdm.")
"""Modules whose code may stand between a loop's code and ours."""


class Generators:
    """The generators that a loop's code has in its variables, by their names: held only while the loop runs."""

    def __init__(self, variables: Iterable[tuple[str, Any]] | None = None) -> None:
        self._found: dict[str, Any] = {}
        seen: set[int] = set()
        for name, value in _variables() if variables is None else variables:
            if (
                isinstance(value, (np.random.Generator, np.random.RandomState, random.Random))
                and id(value) not in seen
            ):
                seen.add(id(value))
                self._found[name] = value

    def capture(self) -> dict[str, Any]:
        """The states of all generators, as JSON."""
        return {
            "host": random_state.capture_host(),
            "tensorflow": random_state.capture_tensorflow() if "tensorflow" in sys.modules else None,
            "own": {name: _state(value) for name, value in self._found.items()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Puts them where they were."""
        if saved["tensorflow"] is not None:
            random_state.restore_tensorflow(saved["tensorflow"])
        random_state.restore_host(saved["host"])
        for name, state in saved["own"].items():
            value = self._found.get(name)
            if value is not None and type(value).__name__ == state[0]:
                _restore(value, plain.decode(state[1], {}))


def _variables() -> Iterator[tuple[str, Any]]:
    """The variables of the code that runs the loop, and the attributes of its ``self``."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN):
        frame = frame.f_back
    held = frame.f_locals
    variables = dict(frame.f_globals) | dict(held)
    if sys.version_info < (3, 13) and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        held.clear()  # a copy, which Python keeps with the frame, and with it whatever the function lets go of
    for name, value in variables.items():
        yield name, value
    own = getattr(variables.get("self"), "__dict__", None)
    if isinstance(own, dict):
        for name, value in own.items():
            yield f"self.{name}", value


def _state(value: Any) -> list[Any]:
    if isinstance(value, np.random.Generator):
        state = value.bit_generator.state
    elif isinstance(value, np.random.RandomState):
        state = value.get_state(legacy=False)
    else:
        state = value.getstate()
    return [type(value).__name__, plain.encode(_listed(state), plain.Arrays("none"))]


def _listed(state: Any) -> Any:
    """Arrays as lists, so that a state is plain JSON."""
    if isinstance(state, dict):
        return {key: _listed(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def _restore(value: Any, state: Any) -> None:
    if isinstance(value, np.random.Generator):
        value.bit_generator.state = _arrays(state)
    elif isinstance(value, np.random.RandomState):
        value.set_state(_arrays(state))
    else:
        value.setstate(state)


def _arrays(state: Any) -> Any:
    """The reverse of `_listed`: NumPy takes lists for arrays, but for the words of a Mersenne twister."""
    if isinstance(state, dict):
        return {key: _arrays(value) for key, value in state.items()}
    if not isinstance(state, list):
        return state
    return np.asarray(state, dtype=np.uint64 if max(state, default=0) >> 32 else np.uint32)
