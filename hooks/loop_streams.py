"""What keeps the place in any iterable, also inside of `enumerate`, `zip` and tqdm's bars."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from holdfast.hooks.loop_data import INDEXED, Indexed, Pipeline, Saved, Stream

_NO_ITEM: Final = object()


class Wrapped(Stream):
    """Something around other iterables: its place is theirs.

    Args:
        iterable: What it is.
        name: Its name among the streams of one loop.
        inner: What it is around.
    """

    def __init__(self, iterable: Iterable[Any], name: str, inner: list[Any]) -> None:
        super().__init__(iterable, name)
        self._inner = [stream_of(one, f"{name}.{place}") for place, one in enumerate(inner)]
        lengths = [one.length for one in self._inner if one.length is not None]
        self.length = min(lengths) if len(lengths) == len(self._inner) > 0 else None
        self.exact = all(one.exact for one in self._inner)
        self.kind = f"{type(iterable).__name__} {', '.join(one.kind for one in self._inner)}"

    def capture(self, into: Saved, max_bytes: int) -> None:
        for one in self._inner:
            one.capture(into, max_bytes)

    def hosts(self, into: Saved) -> None:
        for one in self._inner:
            one.hosts(into)

    def reseed(self, saved: Saved) -> None:
        for one in self._inner:
            one.reseed(saved)

    def seeds(self, into: dict[str, bytes]) -> None:
        for one in self._inner:
            one.seeds(into)


class Enumerated(Wrapped):
    """An `enumerate` that was made already."""

    def __init__(self, iterable: Any, name: str) -> None:
        inner, self._start = iterable.__reduce__()[1]
        super().__init__(iterable, name, [inner])

    def open(self, saved: Saved) -> Iterator[Any]:
        return enumerate(self._inner[0].open(saved), self._start + saved.done)


class Zipped(Wrapped):
    """A `zip` that was made already."""

    def __init__(self, iterable: Any, name: str) -> None:
        parts = iterable.__reduce__()
        self._strict = len(parts) > 2 and bool(parts[2])
        super().__init__(iterable, name, list(parts[1]))

    def open(self, saved: Saved) -> Iterator[Any]:
        return zip(*[one.open(saved) for one in self._inner], strict=self._strict)


class Bar(Wrapped):
    """A progress bar of tqdm around something."""

    def __init__(self, iterable: Any, name: str) -> None:
        super().__init__(iterable, name, [iterable.iterable])
        self.kind = self._inner[0].kind

    def open(self, saved: Saved) -> Iterator[Any]:
        bar: Any = self.iterable
        items = self._inner[0].open(saved)
        if saved.done:
            bar.initial = bar.n = saved.done
        return _shown(bar, items)


def _shown(bar: Any, items: Iterator[Any]) -> Iterator[Any]:
    """A bar over other items; what it was made for is its own again as soon as it has begun."""
    own, bar.iterable = bar.iterable, items
    iterator = iter(bar)
    try:
        first = next(iterator, _NO_ITEM)
    finally:
        bar.iterable = own
    if first is not _NO_ITEM:
        yield first
        yield from iterator


def stream_of(iterable: Iterable[Any], name: str = "0") -> Stream:
    """What keeps the place in an iterable."""
    kind = type(iterable)
    if kind is enumerate:
        return Enumerated(iterable, name)
    if kind is zip:
        return Zipped(iterable, name)
    if kind in INDEXED or (kind.__module__ == "numpy" and hasattr(iterable, "__getitem__")):
        return Indexed(iterable, name)
    if not hasattr(kind, "__iter__") and hasattr(kind, "__getitem__") and hasattr(kind, "__len__"):
        return Indexed(iterable, name)
    if any(one.__name__ == "tqdm" and hasattr(iterable, "iterable") for one in kind.__mro__):
        return Bar(iterable, name)
    if "tensorflow" in sys.modules:
        from tensorflow.python.data.ops.dataset_ops import DatasetV2
        from tensorflow.python.data.ops.iterator_ops import OwnedIterator

        if isinstance(iterable, (DatasetV2, OwnedIterator)):
            return Pipeline(iterable, name)
    return Stream(iterable, name)
