"""One of the nested loops that run, or an iterator that their code asks for items by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from holdfast.hooks.loop_data import Saved, Stream
from holdfast.hooks.loop_position import Key
from holdfast.hooks.loop_wrappers import move
from holdfast.runtime import report

if TYPE_CHECKING:
    from holdfast.hooks.loop_call import LoopCall

NOTHING: Final = object()


class Level:
    """A loop that runs.

    Attributes:
        call: The training call of the outermost one.
        stream: What it iterates over.
        is_loop: Whether it is one; else its items are asked for by hand in the loops of the call.
        key: The ordinals, among their siblings, of the loops from the outermost to this one.
        begun_at: How many objects had been made when it began.
        item_at: How many had been when the present item was handed out.
        handed: Items handed out.
        children: Loops begun within the present item.
        pipelines: Pipelines iterated over within it without `resumable`.
        nested: Whether there was ever a loop in it.
        resuming: Whether the call was resumed in it.
        tried: Whether an item was handed out only for a first step.
        place: What is counted in a cell, as it was when the present item was handed out.
        drawn: The variables of the global generators then.
        shift: By how many items what stands around the iterator is to be moved.
    """

    def __init__(self, call: LoopCall, stream: Stream, parent: Level | None, *, is_loop: bool = True) -> None:
        self.call, self.stream, self.is_loop = call, stream, is_loop
        self.handed = self.shift = 0
        self.nested = self.resuming = self.tried = False
        self.children = 0
        self.pipelines = 0
        self.key: Key = ()
        if parent is not None:
            self.key = (*parent.key, parent.children)
            parent.children += 1
            parent.nested = True
        self.begun_at = self.item_at = call.objects.count
        self.place: dict[str, Any] = {}
        self.drawn: list[Any] = []
        self._iterator: Iterator[Any] | None = None
        self._held: Any = NOTHING
        self._last: Any = NOTHING
        self._ends = self._spent = False

    @property
    def depth(self) -> int:
        """How many loops are around it."""
        return len(self.key)

    @property
    def sibling(self) -> int:
        """Which loop it is in the present item of the one around it."""
        return self.key[-1] if self.key else 0

    @property
    def is_open(self) -> bool:
        """Whether it has begun to iterate."""
        return self._iterator is not None

    def open(self, saved: Saved) -> None:
        """Goes to a place in its iterable."""
        self._iterator = self.stream.open(saved)
        self.handed = self.shift = saved.done

    def next_item(self) -> Any:
        """The next item.

        Raises:
            StopIteration: There is none.
        """
        if self._held is not NOTHING:
            item, self._held = self._held, NOTHING
        elif self._ends or self._iterator is None:
            raise StopIteration
        else:
            item = next(self._iterator)
        self._last = item if self.call.goes.waiting else NOTHING
        self.handed += 1
        self.children = self.pipelines = 0
        return item

    def again(self) -> None:
        """Has the present item handed out once more."""
        if self._last is NOTHING:
            return
        self.handed -= 1
        if not self._spent:
            self._held, self._last = self._last, NOTHING
            self.shift = -1

    def end(self) -> None:
        """Has it end at its next item."""
        self._ends, self._held = True, NOTHING

    def try_first_item(self) -> bool:
        """Makes sure that there is an item for a first step; False where there is none to be had."""
        self.tried = True
        item = NOTHING if self._iterator is None else next(self._iterator, NOTHING)
        if item is NOTHING:
            item, self._spent = self.stream.any_item(NOTHING), True
        self._held = item
        return item is not NOTHING

    def move_around(self, iterator: Iterator[Any]) -> None:
        """Moves an `enumerate` or a `zip` around the iterator to its place; else begins over."""
        count, self.shift = self.shift, 0
        if move(iterator, count):
            return
        report.say(
            "the loop begins over, with the restored state: what is zipped with resumable cannot be moved. "
            "Write resumable(zip(...)) to have its place restored too"
        )
        self.open(Saved(current=True))
        self.shift = 0
