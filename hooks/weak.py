"""A mapping by identity that keeps nothing alive: for models that compare equal, or cannot be hashed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class WeakIdentityMap(Generic[V]):
    """Values by the objects they belong to, each for as long as its object lives."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], V]] = {}

    def get(self, thing: Any) -> V | None:
        """The value of an object; None where it has none."""
        entry = self._entries.get(id(thing))
        # A dead object's number may have been given again before its entry was taken away.
        return entry[1] if entry is not None and entry[0]() is thing else None

    def __setitem__(self, thing: Any, value: V) -> None:
        key = id(thing)

        def gone(reference: weakref.ref[Any]) -> None:
            entry = self._entries.get(key)
            if entry is not None and entry[0] is reference:
                del self._entries[key]

        self._entries[key] = (weakref.ref(thing, gone), value)

    def discard(self, thing: Any) -> None:
        """Takes an object's value away, if it has one."""
        if self.get(thing) is not None:
            del self._entries[id(thing)]

    def items(self) -> Iterator[tuple[Any, V]]:
        """The objects that live, with their values, oldest first."""
        for reference, value in list(self._entries.values()):
            thing = reference()
            if thing is not None:
                yield thing, value

    def values(self) -> Iterator[V]:
        """The values of the objects that live."""
        return (value for reference, value in list(self._entries.values()) if reference() is not None)

    def __len__(self) -> int:
        return len(self._entries)
