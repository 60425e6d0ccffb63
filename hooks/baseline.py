"""An attribute as a call began: whether it has changed since, and how to put it back."""

from __future__ import annotations

import json
import random
import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from holdfast.hooks import plain

ARRAY_MAX_BYTES: Final = 16 << 20
"""Arrays that were there at the beginning and are larger are taken for data, and let be."""


class First:
    """A value from when a call began.

    Args:
        value: The value.
        may_be_data: Whether large arrays in it are taken for data: known by their identity, and never copied.
        is_shared: Whether others may hold the object too, and look into it.

    Attributes:
        digest: Of the value; empty where it has no plain form, or is data.
    """

    def __init__(self, value: Any, *, may_be_data: bool, is_shared: bool) -> None:
        self.digest = ""
        self._is_shared = is_shared and type(value) in _FILLED
        # Of an array there must be no other reference, or its owner could not resize it.
        self._held = value if self._is_shared and type(value) is not np.ndarray else None
        self._identity = id(value)
        self._data: tuple[weakref.ref[Any], ...] | None = None
        self._outline = ""
        self._form: Any = None
        self._arrays: Copies | None = None
        arrays = plain.Arrays("first", copy=False)
        try:
            self._form = plain.encode(value, arrays)
        except plain.NotPlain:
            return
        self._outline = json.dumps(self._form)
        if arrays.nbytes <= ARRAY_MAX_BYTES:
            self.digest = self._outline + arrays.hashes()
            self._arrays = Copies({name: array.copy() for name, array in arrays.items()})
            return
        self._is_shared, self._held = False, None
        if may_be_data:
            self._data = tuple(map(weakref.ref, arrays.owners))
        else:
            self.digest = self._outline + arrays.hashes()

    @property
    def is_plain(self) -> bool:
        """Whether it has a plain form."""
        return bool(self._outline)

    def is_same_object(self, value: Any) -> bool:
        """Whether that is the same object, as far as can be told of one that nobody holds."""
        return id(value) == self._identity

    def is_shared_object(self, value: Any) -> bool:
        """Whether that is the same object, and one that others may hold and look into."""
        return self._is_shared and self.is_same_object(value)

    def is_data_in(self, value: Any) -> bool:
        """Whether the value is data, and consists of the very same arrays still."""
        if self._data is None:
            return False
        arrays = plain.Arrays("first", copy=False)
        try:
            outline = json.dumps(plain.encode(value, arrays))
        except plain.NotPlain:
            return False
        return outline == self._outline and all(
            known() is owner for known, owner in zip(self._data, arrays.owners, strict=True)
        )

    def put_back(self, thing: Any, name: str) -> None:
        """Gives an object this value again, where it has another one or another object."""
        if self._arrays is None:
            return
        present = vars(thing).get(name)
        if not self._is_shared or self.is_same_object(present):
            try:
                if plain.digest(present) == self.digest:
                    return
            except plain.NotPlain:
                pass
        value = plain.decode(self._form, self._arrays)
        set_attribute(thing, name, self.filled(value, present))

    def filled(self, value: Any, present: Any) -> Any:
        """That value in the object that was there at first, where it can take it; else as it is.

        Args:
            value: The value.
            present: The attribute's present object.
        """
        first = present if self.is_shared_object(present) else self._held
        return first if first is not None and fill(first, value) else value


class Copies(dict[str, "np.ndarray[Any, Any]"]):
    """Arrays that are handed out as copies, since whoever gets them may write into them."""

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return super().__getitem__(name).copy()


def set_attribute(thing: Any, name: str, value: Any) -> None:
    """Sets an attribute, unless it is a property without a setter."""
    if vars(thing).get(name) is value and value is not None:
        return
    try:
        setattr(thing, name, value)
    except AttributeError:
        return


def fill(live: Any, value: Any) -> bool:
    """Makes an object equal to a value in place, so that all who hold it see it.

    Returns:
        False where it cannot: the two are not of one kind.
    """
    if type(live) is not type(value) or type(live) not in _FILLED:
        return False
    if isinstance(live, np.ndarray) and (
        live.dtype != value.dtype or live.shape != value.shape or not live.flags.writeable
    ):
        return False
    if isinstance(live, np.random.Generator) and type(live.bit_generator) is not type(value.bit_generator):
        return False
    _FILLED[type(live)](live, value)
    return True


def _fill_list(live: list[Any], value: list[Any]) -> None:
    live[:] = value


def _fill_keys(live: Any, value: Any) -> None:
    live.clear()
    live.update(value)


def _fill_array(live: np.ndarray[Any, Any], value: np.ndarray[Any, Any]) -> None:
    live[...] = value


def _fill_generator(live: np.random.Generator, value: np.random.Generator) -> None:
    live.bit_generator.state = value.bit_generator.state


def _fill_random_state(live: np.random.RandomState, value: np.random.RandomState) -> None:
    live.set_state(value.get_state(legacy=False))


def _fill_random(live: random.Random, value: random.Random) -> None:
    live.setstate(value.getstate())


_FILLED: Final[dict[type, Callable[[Any, Any], None]]] = {
    list: _fill_list,
    dict: _fill_keys,
    set: _fill_keys,
    np.ndarray: _fill_array,
    np.random.Generator: _fill_generator,
    np.random.RandomState: _fill_random_state,
    random.Random: _fill_random,
}
