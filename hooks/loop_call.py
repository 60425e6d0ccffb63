"""One outermost resumable loop as a training call: its snapshots, between two items."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from holdfast.hooks import capture, reads
from holdfast.hooks.data_position import iterator_state, state_array
from holdfast.hooks.loop_data import Saved, Stream
from holdfast.hooks.loop_interrupts import LoopShield
from holdfast.hooks.loop_level import Level
from holdfast.hooks.loop_match import Group, definition_of
from holdfast.hooks.loop_objects import Touched, global_variables
from holdfast.hooks.loop_past import LoopPast
from holdfast.hooks.loop_position import Key, hand_key
from holdfast.hooks.loop_random import Generators
from holdfast.hooks.loop_return import LoopReturn
from holdfast.hooks.loop_selection import select
from holdfast.hooks.saving import Piece
from holdfast.hooks.variables import underlying
from holdfast.runtime.exactness_notes import say_inexact
from holdfast.runtime.journal import TrainingCall, finish
from holdfast.runtime.manifest import Kind

if TYPE_CHECKING:
    from holdfast.hooks.loops import Loops

FIRST_ITEMS: Final = 2
"""A loop that had none in it for so many items is taken for an innermost one: the states of the generators at
each item, about 0.2 ms, are wanted only where the code around a loop is run again."""


class LoopCall:
    """A running outermost loop. Its methods are called at its levels' boundaries.

    Attributes:
        touched: What is moved in it.
        past: Its past.
        goes: Its way to its saved place.
        shield: Holds interrupts back to the next boundary.
        fresh: The states of pipelines' iterators when they were new, by the keys of their loops.
    """

    def __init__(self, loops: Loops, stream: Stream) -> None:
        self.loops, self.tracker, self.session = loops, loops.tracker, loops.tracker.session
        self.objects, self.stream = loops.objects, stream
        self.touched = Touched()
        self.shield = LoopShield(lambda: self.tracker.current is not None)
        self.fresh: dict[Key, dict[str, bytes]] = {}
        self._generators = Generators()
        self._by_hand: list[Level] = []
        self._group = Group()
        self._place = self.tracker.bound(self._group).place
        self.goes = LoopReturn(loops, self._generators)
        self.past = LoopPast(loops, self._group, self._place, stream, self.goes)
        self._begun = time.monotonic()
        self._progress = self._over = self._recorded = False

    # --- levels -----------------------------------------------------------------------------

    @property
    def _levels(self) -> list[Level]:
        return [level for level in self.loops.levels if level.call is self]

    def begin(self, level: Level) -> None:
        """A level begins: goes to its place."""
        if level.depth == 0:
            self.session.paused()
            new = [companion.loop_begins() for companion in self.tracker.saving.companions]
            if any(new):
                self.loops.groups.let_go_at(self._place)
            self.past.find()
            self._group = self.past.group
        saved = self.goes.place_of(level)
        if saved is None or (self.goes.ends and not self.goes.waiting):
            level.end()
        else:
            level.open(saved)
        self._note_seeds(level.key, level)

    def _note_seeds(self, key: Key, level: Level) -> None:
        seeds: dict[str, bytes] = {}
        level.stream.seeds(seeds)
        if seeds:
            self.fresh[key] = seeds

    def join(self, level: Level) -> None:
        """An iterator is asked for an item by hand: its place is part of the loop's."""
        if level in self._by_hand:
            return
        number = len(self._by_hand)
        self._by_hand.append(level)
        # A loop that is done takes a first step, if any, from the beginning: at its end there may be no item.
        saved = self.goes.position.by_hand(number) if not self.goes.ends else None
        if saved is not None or not level.is_open:
            level.open(saved or Saved())
        self._note_seeds(hand_key(number), level)

    def again_by_hand(self) -> None:
        """What was taken by hand in a first step is as if it were not."""
        for number, level in enumerate(self._by_hand):
            if level.stream.exact:
                level.open(self.goes.position.by_hand(number) or Saved())
            else:
                level.again()

    def boundary(self, level: Level) -> None:
        """Between two items of a level: restores, or saves what is due, and lets an interrupt through."""
        shield = self.shield
        if self.goes.waiting:
            self.goes.at(level)
        elif self._progress and self.session.active:
            due = self.tracker.saving.step_ended(epoch_ended=level.nested)
            if shield.pending:
                self._save("interrupted", level)
                self.tracker.interrupted(self._group)
            elif self.tracker.take_request():
                self._save("requested", level)
            elif due:
                self._save("scheduled", level)
        shield.step_ended()
        if not shield.is_installed:
            shield.install()

    def handed_out(self, level: Level) -> None:
        """An item is on its way to the user's code."""
        self._progress, level.item_at = True, self.objects.count
        level.place = self._counted()
        if level.nested or level.handed <= FIRST_ITEMS:
            level.place["random"] = self._generators.capture()
            level.drawn = reads.read_all([underlying(one) for _, one in global_variables()])
        else:
            level.drawn = []
        self.shield.in_step = True

    def _counted(self) -> dict[str, Any]:
        return {"ordinals": self.objects.ordinals(), "next": self.tracker.cells.ordinal}

    # --- the end ----------------------------------------------------------------------------

    def ended(self, *, broken_off: bool = False) -> None:
        """The outermost loop is over."""
        if self._over:
            return
        self._over = True
        level = self._levels[0]
        if self.goes.ends:
            self.goes.finish()
            self.again_by_hand()
            self.tracker.bound(self._group).next_call += 1
            return
        if (not self._progress and not self._recorded) or not self.session.active:
            return
        piece = self._take(level)
        bound = self.tracker.bound(self._group)
        if (call := piece.slot.call(bound.next_call)) is not None:
            early = broken_off and (level.stream.length is None or level.handed < level.stream.length)
            piece.slot.record(bound.next_call, finish(call, level.handed, stopped_early=early))
        self.tracker.saving.milestone(piece, time.monotonic() - self._begun)
        bound.next_call += 1

    def left(self) -> None:
        """The outermost loop is over, however it ended: lets go of the interrupts."""
        self._over = True
        self.shield.uninstall()

    # --- snapshots --------------------------------------------------------------------------

    def _save(self, kind: Kind, level: Level) -> None:
        self._progress = False
        self.tracker.saving.save(kind, self._take(level))

    def _take(self, level: Level) -> Piece:
        """Takes references of the whole state at a boundary of a level."""
        selection = select(self.objects, self.touched, lambda number: self._stays(number, level))
        self._group, slot = self.loops.groups.slot_for(selection, self._group, self.past.new_slot)
        number = self.tracker.bound(self._group).next_call
        done = self._levels[0].handed - (level.depth > 0)
        made = definition_of(selection, self.stream, self._place.cell)
        call = slot.call(number)
        if not self._recorded or call is None:
            self._recorded = True
            made = self.tracker.journal.same_definition(made)
            slot.record(number, TrainingCall(made, self.stream.length or 0, done))
        else:
            known = call.definition
            if len(made["optimizers"]) > len(known["optimizers"]):  # used for the first time since
                known = {**known, "optimizers": made["optimizers"]}
            if call.completed != done or known is not call.definition:
                slot.amend(number, TrainingCall(known, call.requested, done))
        begun_at = self._levels[0].begun_at
        state, sources = self.loops.groups.state_of(selection, self._generators, begun_at)
        arrays: dict[str, Any] = {}
        position = self._position(level, arrays)
        state |= {"call": number, "position": position, "fits": self.loops.groups.fits(begun_at)}
        return Piece(slot, sources + capture.array_sources(arrays), state)

    def _stays(self, number: int, level: Level) -> bool:
        """Whether an object is not made again by the code that goes on at a boundary of a level: nor is it left
        over from an earlier item.
        """
        around = self._levels[: level.depth]
        return number <= level.begun_at and all(
            number <= one.begun_at or number > one.item_at for one in around
        )

    def _position(self, level: Level, arrays: dict[str, Any]) -> dict[str, Any]:
        done = self._levels[0].handed - (level.depth > 0)
        return {
            "epoch": done,
            "executions": level.handed if level.depth else None,
            "levels": [self._level(one, one is level, arrays) for one in self._levels[: level.depth + 1]],
            "fresh": self._fresh(arrays),
            "by_hand": self._hands(arrays),
            "iterators": self._iterators(arrays),
        }

    def _level(self, level: Level, deepest: bool, arrays: dict[str, Any]) -> dict[str, Any]:
        saved = Saved(level.handed if deepest else level.handed - 1)
        if deepest:
            level.stream.capture(saved, self._max_bytes)
        else:
            level.stream.hosts(saved)
            for number, drawn in enumerate(level.drawn):
                arrays[f"drawn/{level.depth}/{number}"] = drawn.numpy()
        for name, state in saved.states.items():
            arrays[f"data/{level.depth}/{name}"] = state_array(state)
        counted = self._counted() if deepest else level.place
        return {"sibling": level.sibling, "done": saved.done, "host": saved.host, **counted}

    @property
    def _max_bytes(self) -> int:
        return self.session.settings.iterator_max_bytes

    def _fresh(self, arrays: dict[str, Any]) -> list[Any]:
        found: list[Any] = []
        for key, states in self.fresh.items():
            # One without `resumable` in the present item of the loop around it is begun again with that item.
            current = any(
                one.key == key[:-1] and 0 <= -1 - key[-1] < one.pipelines for one in self._levels if key
            )
            for name, state in states.items():
                arrays[f"seeds/{len(found)}"] = state_array(state)
                found.append([list(key), name, current])
        return found

    def _hands(self, arrays: dict[str, Any]) -> list[Any]:
        found = []
        for number, one in enumerate(self._by_hand):
            saved = Saved(one.handed)
            one.stream.capture(saved, self._max_bytes)
            for name, state in saved.states.items():
                arrays[f"data/hand-{number}/{name}"] = state_array(state)
            found.append({"done": saved.done, "host": saved.host})
        return found

    def _iterators(self, arrays: dict[str, Any]) -> list[Any]:
        """Iterators over pipelines that were made before the loop and are asked for items in it."""
        found: list[Any] = []
        for iterator, entry in self.objects.live("iterator"):
            if id(iterator) not in self.touched.iterators or entry.number > self._levels[0].begun_at:
                continue
            state = iterator_state(iterator)
            if state is None or len(state) > self._max_bytes:
                say_inexact(
                    "iterator by hand",
                    "data position",
                    "the place of a data iterator that was made before this loop cannot be kept: its state is "
                    "too large (iterator_max_bytes), or it has none; a resume begins it anew",
                )
                continue
            arrays[f"data/iterator-{len(found)}"] = state_array(state)
            found.append(list(entry.origin))
        return found
