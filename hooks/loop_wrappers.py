"""What Python puts around a loop's iterator, `enumerate` and `zip`, and moving it to the same place.

An `enumerate` that was made around an iterator counts from its own beginning, and a `zip` takes from the
others at theirs; where the iterator begins in its midst, they are to be moved as far.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from types import FrameType, GeneratorType
from typing import Any, Final

_DEPTH: Final = 4
"""Things around one another that are looked through."""


def move(iterator: Iterator[Any], count: int) -> bool:
    """Moves what stands around an iterator on by so many items, or back; called while these ask it for an item.

    Returns:
        False where something cannot be moved.
    """
    inner: Any = iterator
    for _ in range(_DEPTH):
        around = _around(inner) or (_running_bar() if inner is iterator else None)
        if around is None:
            return True
        if isinstance(around, enumerate):
            if not _count_on(around, count):
                return False
        elif isinstance(around, zip) and not _move_others(around, inner, count):
            return False
        inner = around
    return True


def _around(inner: Any) -> Any:
    for one in gc.get_referrers(inner):
        if isinstance(one, (enumerate, map, filter)):
            return one
        if type(one) is tuple:
            for other in gc.get_referrers(one):
                if isinstance(other, zip) and any(member is inner for member in other.__reduce__()[1]):
                    return other
    return None


def _running_bar() -> Any:
    """The generator of tqdm that asks for the item; what runs is not among an object's referrers."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("holdfast."):
        frame = frame.f_back
    if frame is None or not str(frame.f_globals.get("__name__", "")).startswith("tqdm."):
        return None
    return next((one for one in gc.get_objects() if type(one) is GeneratorType and one.gi_frame is frame), None)


def _count_on(counter: Any, count: int) -> bool:
    """Sets an `enumerate`'s count, which has no setter, in its memory: where its fields are seen to be what
    they are taken for.
    """
    inner, index = counter.__reduce__()[1]
    place = id(counter) + object.__basicsize__
    field = ctypes.c_ssize_t.from_address(place)
    behind = ctypes.c_void_p.from_address(place + ctypes.sizeof(ctypes.c_ssize_t))
    if field.value != index or behind.value != id(inner):
        return False
    field.value = index + count
    return bool(counter.__reduce__()[1][1] == index + count)


def _move_others(around: Any, inner: Any, count: int) -> bool:
    others = list(around.__reduce__()[1])
    if others[0] is not inner:  # the ones before have been asked for this item already
        return False
    for other in others[1:]:
        if hasattr(other, "__setstate__") and len(parts := other.__reduce__()) > 2:
            other.__setstate__(parts[2] + count)
        elif count < 0:
            return False
        else:
            for _ in range(count):
                next(other, None)
    return True
