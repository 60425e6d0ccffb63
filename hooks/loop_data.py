"""The place in what a loop iterates over, and getting there again.

`tf.data` pipelines by the state of their iterator; what can be indexed by its index; anything else by taking as
many items again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.hooks import random_state
from holdfast.hooks.data_position import SHUFFLE, iterator_state, pull, say_too_large, with_state
from holdfast.hooks.loop_seeds import Seeds

INDEXED: Final = (list, tuple, range, str, bytes)


@dataclass(slots=True)
class Saved:
    """The saved place in one iterable.

    Attributes:
        done: Items handed out.
        current: Whether ``fresh`` is of the very iteration that goes on, not of one before it.
        states: The states of its iterators, by their names within it.
        fresh: Their states when they were new.
        host: The states of Python's and NumPy's generators when it began, by such names.
        seeds: The shuffles whose seeds are right already.
    """

    done: int = 0
    current: bool = False
    states: dict[str, bytes] = field(default_factory=dict)
    fresh: dict[str, bytes] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    seeds: Seeds = field(default_factory=Seeds)


class Stream:
    """An iterable whose place can be saved: here one of which nothing is known but its order.

    Attributes:
        kind: What it is, for the definition of a training call.
        length: How many items it has; None where that is not known.
        exact: Whether its place is in a state, so that no item is taken again.
    """

    exact = False

    def __init__(self, iterable: Iterable[Any], name: str) -> None:
        self.iterable, self.name = iterable, name
        self.kind = "generator" if isinstance(iterable, Iterator) else type(iterable).__name__
        try:
            self.length: int | None = len(iterable)  # type: ignore[arg-type]
        except Exception:  # a user's __len__ may raise anything
            self.length = None
        self._host: Any = None

    def open(self, saved: Saved) -> Iterator[Any]:
        """An iterator that stands at the saved place."""
        self._host = saved.host.get(self.name) if saved.current else None
        if self._host is not None:
            random_state.restore_host(self._host)
        else:
            self._host = random_state.capture_host()
        iterator = iter(self.iterable)
        pull(iterator, saved.done, "fast-forward")
        return iterator

    def capture(self, into: Saved, max_bytes: int) -> None:
        """Adds what it takes to come back to this place; no state of more than ``max_bytes``."""
        del max_bytes
        self.hosts(into)

    def hosts(self, into: Saved) -> None:
        """Adds the states of the host's generators when this iteration began, where they may matter."""
        into.host[self.name] = self._host

    def any_item(self, default: Any) -> Any:
        """Some item, where no more are left; the default where there is none to be had."""
        return default if isinstance(self.iterable, Iterator) else next(iter(self.iterable), default)

    def reseed(self, saved: Saved) -> None:
        """Puts the seeds of shuffles where they were when this iteration had begun; none is begun."""

    def seeds(self, into: dict[str, bytes]) -> None:
        """Adds the states that the iterators had when they were new."""


class Indexed(Stream):
    """A list, a range, an array: by index."""

    exact = True

    def open(self, saved: Saved) -> Iterator[Any]:
        iterable: Any = self.iterable
        if not saved.done:
            return iter(iterable)
        if type(iterable) in INDEXED:
            begun: Any = iter(iterable)
            begun.__setstate__(saved.done)
            return iter(begun)
        rest: Iterator[Any] = (iterable[index] for index in range(saved.done, len(iterable)))
        return rest

    def capture(self, into: Saved, max_bytes: int) -> None:
        """There is nothing to add to the number of items."""

    def hosts(self, into: Saved) -> None:
        """Nor to its beginning."""


class Pipeline(Stream):
    """A `tf.data` pipeline, or an iterator over one."""

    def __init__(self, iterable: Any, name: str) -> None:
        super().__init__(iterable, name)
        self.kind = f"tf.data {iterable.element_spec}"
        self._made = isinstance(iterable, Iterator)
        self._iterator: Any = None
        self._fresh: bytes | None = None
        self.exact = True

    def open(self, saved: Saved) -> Iterator[Any]:
        fresh, state = saved.fresh.get(self.name), saved.states.get(self.name)
        self._iterator = self.iterable if self._made else self._new()
        if not saved.current:
            if fresh is not None:
                saved.seeds.draw_on(self._iterator, self._dataset, fresh)
            self._fresh = iterator_state(self._iterator)
        elif state is not None:
            with_state(self._iterator, state)
            self._fresh = fresh
            # One near its end has its shuffles' seeds no longer in its state.
            if fresh is not None and len(SHUFFLE.findall(state)) < len(SHUFFLE.findall(fresh)):
                with_state(self._new(), fresh)
            saved.seeds.are_right(self._dataset)
        else:
            if fresh is not None:
                with_state(self._iterator, fresh)
                saved.seeds.are_right(self._dataset)
            self._fresh = fresh or iterator_state(self._iterator)
            pull(self._iterator, saved.done, "fast-forward")
        made: Iterator[Any] = self._iterator
        return made

    @property
    def _dataset(self) -> Any:
        iterable: Any = self.iterable
        return iterable._dataset if self._made else iterable

    def _new(self) -> Any:
        from tensorflow.python.data.ops.iterator_ops import OwnedIterator

        return OwnedIterator(self._dataset)

    def capture(self, into: Saved, max_bytes: int) -> None:
        state = iterator_state(self._iterator)
        if state is not None and len(state) <= max_bytes:
            into.states[self.name] = state
        elif state is not None:
            self.exact = False
            say_too_large(max_bytes)

    def hosts(self, into: Saved) -> None:
        """What a pipeline draws, it draws itself."""

    def reseed(self, saved: Saved) -> None:
        if (fresh := saved.fresh.get(self.name)) is not None:
            self._fresh = fresh
            with_state(self._new(), fresh)
            saved.seeds.are_right(self._dataset)

    def any_item(self, default: Any) -> Any:
        item = next(self._new(), default)
        if self._fresh is not None:
            with_state(self._new(), self._fresh)
        return item

    def seeds(self, into: dict[str, bytes]) -> None:
        if self._fresh is not None:
            into[self.name] = self._fresh
