"""Puts a loop's state back at the item where it was taken."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from holdfast.hooks.loop_data import Saved
from holdfast.hooks.loop_match import Group
from holdfast.hooks.loop_position import SavedPosition
from holdfast.hooks.loop_random import Generators
from holdfast.hooks.loop_restore import Restoring, tensor_of
from holdfast.runtime import report

if TYPE_CHECKING:
    from holdfast.hooks.loop_level import Level
    from holdfast.hooks.loops import Loops


class LoopReturn:
    """The way of one loop to its saved place.

    Attributes:
        position: Where to go.
        ends: Whether the loop is done already, and ends at once.
    """

    def __init__(self, loops: Loops, generators: Generators) -> None:
        self.loops, self.tracker, self.generators = loops, loops.tracker, generators
        self.position = SavedPosition({}, {}, exact=True)
        self.ends = False
        self._group = Group()
        self._restoring: Restoring | None = None
        self._trying: Level | None = None
        self._passed: list[Level] = []

    def begin(self, group: Group, restoring: Restoring) -> None:
        """A checkpoint was read, to be put back into the objects of a group."""
        self._group, self._restoring = group, restoring
        state = restoring.state.get("position") or {}
        self.position = SavedPosition(state, restoring.beside, exact=restoring.exact)

    @property
    def waiting(self) -> bool:
        """Whether the state is still to be put back."""
        return self._restoring is not None

    def place_of(self, level: Level) -> Saved | None:
        """Where a level that begins is to stand; None where it was over before, and hands out nothing."""
        saved, levels = self.position.beginning(level.key), self.position.levels
        if not self.waiting or self.ends or level.depth >= len(levels):
            return saved
        if level.depth and not (self._passed and self._passed[-1].key == level.key[:-1]):
            return saved
        sibling = levels[level.depth]["sibling"] - level.sibling
        if sibling > 0:
            level.stream.reseed(saved)
            return None
        if sibling == 0:
            level.resuming = True
            self.position.go_on(level.depth, saved)
        return saved

    def at(self, level: Level) -> None:
        """A boundary of a level while a state is to be put back."""
        if self.ends:
            self._at_end(level)
        elif self._trying is not None:
            self._after_first_step(level)
        elif level in self._passed:  # the loop within it was never begun
            self._restoring = None
        elif level.resuming or not self.position.levels:
            self._at_place(level)

    def _at_end(self, level: Level) -> None:
        if self._prepare(last=level.tried):
            self._assign(None)
            level.end()
        elif not level.tried:
            level.try_first_item()
        elif level.depth:
            level.end()
        else:
            self._give_up()

    def finish(self) -> None:
        """A loop that was done is over: its end is restored, also where the code broke off a first step."""
        if self._restoring is not None and self._prepare(last=True):
            self._assign(None)
        self._restoring = None

    def _at_place(self, level: Level) -> None:
        self._passed.append(level)
        assert self._restoring is not None
        ready = self._prepare(last=False)
        if level.depth < len(self.position.levels) - 1:
            if ready or self._restoring.prepare(partly=True):
                self._assign(level)  # what the code before the loop in it needs, as far as it is made
            return
        if ready:
            self._assign(level)
            self._restoring = None
        elif level.try_first_item():
            self._trying = level

    def _after_first_step(self, level: Level) -> None:
        """An item was handed out for a step that makes what is not made yet; it is handed out again."""
        tried, self._trying = self._trying, None
        if not self._prepare(last=True):
            self._give_up()
            return
        self._assign(level)
        level.again()
        level.call.again_by_hand()
        if tried is level:
            self._restoring = None
        else:  # the code left the loop in it: its item comes once more, and that loop with it
            self._passed = [one for one in self._passed if one.depth <= level.depth]

    def _give_up(self) -> None:
        report.say(
            "what this loop trains does not fit its checkpoint; it goes on as it is, and is recorded as a new "
            "one. The old one stays in the store"
        )
        self.ends, self._restoring = False, None
        bound = self.tracker.bound(self._group)
        bound.slot, bound.next_call = "", 0

    def _prepare(self, *, last: bool) -> bool:
        assert self._restoring is not None
        if not self._restoring.prepare(last=last):
            return False
        self.loops.groups.remember(self._group, self._restoring.selection)
        return True

    def _assign(self, level: Level | None) -> None:
        """Puts the state back; before the deepest level, with the random numbers as they were there."""
        restoring = self._restoring
        assert restoring is not None
        for companion in self.tracker.saving.companions:
            companion.went_back()
        restoring.assign()
        self.loops.moved(restoring.variables)
        self.loops.leftovers.forget()
        if not restoring.exact:
            return
        for iterator in self.position.put_iterators(self.loops.objects):
            self.loops.current.iterators[id(iterator)] = weakref.ref(iterator)
        state, levels = restoring.state, self.position.levels
        if level is None or not level.resuming:
            self.generators.restore(state["random"])
            return
        one = levels[level.depth]
        if level.depth == 0:
            self.loops.groups.restore_fits(state.get("fits", ()))
        self.loops.objects.go_to(one["ordinals"])
        self.tracker.cells.ordinal = int(one["next"])
        if level.depth == len(levels) - 1:
            self.generators.restore(state["random"])
            return
        self.generators.restore(one.get("random", state["random"]))
        beside = restoring.beside
        for variable in restoring.variables:
            # What the code around the inner loop draws, it draws again.
            group, _, number = variable.name.partition("/")
            drawn = beside.get(f"drawn/{level.depth}/{int(number)}") if group == "random" else None
            if drawn is not None:
                variable.variable.assign(tensor_of(drawn, variable.variable))
