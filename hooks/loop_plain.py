"""Loops without `resumable`: the state of what they move is saved and restored, their place is not."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from holdfast.hooks.definition import fingerprint
from holdfast.hooks.loop_match import LOOP, Group, definition_of
from holdfast.hooks.loop_objects import Selection
from holdfast.hooks.loop_random import Generators
from holdfast.hooks.loop_restore import Restoring
from holdfast.hooks.loop_selection import match, select
from holdfast.hooks.saving import Piece
from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, FormatInvalid
from holdfast.runtime.journal import Place, Slot, TrainingCall, differences
from holdfast.runtime.manifest import Kind

if TYPE_CHECKING:
    from holdfast.hooks.loops import Loops

ORDINAL = -1
"""Of the place of such a loop in its cell: where it begins in there cannot be told."""

ONE_AFTER_ANOTHER: Final = (
    "models of one structure were trained here one after another; which of them this is cannot be told without "
    "`for ... in resumable(...)`, so nothing is restored. Their checkpoints stay in the store"
)

HELD: Final = (
    "a checkpoint of this cell holds a model that was trained in it just now together with others; nothing of "
    "it is restored, so that this training is not undone. It stays in the store"
)


class PlainLoops:
    """Follows them in the main thread, at their safe points: when a pipeline is asked for an item, and when a
    `tf.function` or an optimizer has returned that no such item was asked for.
    """

    def __init__(self, loops: Loops) -> None:
        self.loops, self.tracker, self.session = loops, loops.tracker, loops.tracker.session
        self._running = loops.running
        self._asked = False
        self._whole = True
        self._unsaved = False
        self._group: Group | None = None
        self._idle: frozenset[int] | None = None
        self._tried_at = -1
        self._waiting: dict[str, Restoring] = {}
        self._refused: dict[str, Restoring] = {}

    @property
    def _off(self) -> bool:
        from tensorflow.python.eager import context

        if not self._running.is_main or self.tracker.current is not None or not self.session.active:
            return True
        return not context.executing_eagerly()  # a graph is being made

    # --- safe points ------------------------------------------------------------------------

    def item_asked(self) -> None:
        """A pipeline's iterator is asked for an item, in no resumable loop."""
        self._asked = True
        self._safe_point()

    def begins(self) -> None:
        """A `tf.function` or an optimizer is called, or a model under a tape: what it needs is restored before
        the first step, if it is there.
        """
        if self._tried_at != self.loops.objects.count and not self._off:
            self._restore(last=False)

    def returned(self, *, whole: bool) -> None:
        """It returned, or raised."""
        self._whole = whole
        asked, self._asked = self._asked, False
        if not self._off and not self._unsaved:
            self._unsaved, self._group = True, self._new_group()
        if whole and not asked:
            self._safe_point()

    def _safe_point(self) -> None:
        if self._off:
            return
        if self._tried_at != self.loops.objects.count:
            self._restore(last=False)
        if not self._unsaved:
            self._unsaved, self._group = True, self._new_group()
        if self._waiting:
            self._restore(last=True)
        if self.tracker.saving.step_ended():
            self._save("scheduled")
        elif self.tracker.take_request() and not self._save("requested"):
            self.tracker.request_checkpoint()

    # --- saving -----------------------------------------------------------------------------

    def _save(self, kind: Kind) -> bool:
        """Saves what was moved, if there was a step: an optimizer, or a variable of nobody's, has moved."""
        moved = frozenset(self._running.plain.live())
        if moved == self._idle:
            return False
        selection = self._selection()
        if not _is_step(selection):
            self._idle = moved  # looked at, or evaluated
            return False
        self._unsaved = False
        return self.tracker.saving.save(kind, self._take(selection))

    def _selection(self) -> Selection:
        return select(self.loops.objects, self._running.plain, lambda _: True)

    def _take(self, selection: Selection) -> Piece:
        cells = self.tracker.cells
        group, slot = self.loops.groups.slot_for(selection, self._group or self._new_group(), self._new_slot)
        number = self.tracker.bound(group).next_call
        if slot.call(number) is None:
            made = self.tracker.journal.same_definition(definition_of(selection, None, cells.cell))
            slot.record(number, TrainingCall(made, 0))
        state, sources = self.loops.groups.state_of(selection, Generators(()))
        return Piece(slot, sources, {**state, "call": number, "position": {}})

    def _new_group(self) -> Group:
        cells, group = self.tracker.cells, Group()
        ordinal = cells.ordinal
        self.tracker.bound(group).place = Place(cells.cell, ORDINAL)
        cells.ordinal = ordinal  # when it is made depends on the time
        return group

    def _new_slot(self, lines: tuple[str, ...]) -> Slot:
        return self.tracker.journal.add(fingerprint(lines), lines, Place(self.tracker.cells.cell, ORDINAL))

    def cell_ended(self) -> None:
        """The end of a cell: what was moved since the last snapshot is saved, unless a step failed."""
        if self._unsaved and self._whole and self.session.active:
            self._save("scheduled")
        self._unsaved = self._asked = False
        self._whole, self._idle, self._tried_at = True, None, -1
        self._waiting, self._refused = {}, {}

    # --- restoring --------------------------------------------------------------------------

    def _restore(self, *, last: bool) -> None:
        """Restores what an earlier process, or an earlier run of the cell, moved here, once.

        Args:
            last: Whether a first step was taken, that has made whatever was not made yet.
        """
        self._tried_at = self.loops.objects.count
        self.loops.note_definitions()
        slots = self._free_slots()
        if not slots:
            self._waiting = {}
            return
        self._running.ours += 1
        try:
            stepped = last and _is_step(self._selection())
            for slot in slots:
                self._restore_slot(slot, stepped=stepped)
        finally:
            self._running.ours -= 1
        self._tried_at = self.loops.objects.count

    def _restore_slot(self, slot: Slot, *, stepped: bool) -> None:
        restoring = self._waiting.pop(slot.name, None) or self._refused.get(slot.name) or self._read(slot)
        if restoring is None:
            return
        restoring.changes = self._changes(slot, restoring)
        try:
            fits = restoring.prepare(last=stepped) and restoring.selection.live and restoring.told_by_place()
        except CheckpointDamaged as error:
            self.session.reject(error)
            return
        if not fits:
            (self._refused if stepped else self._waiting)[slot.name] = restoring
        elif self._is_held(restoring):
            self._refused[slot.name] = restoring
            report.say_once(f"held {slot.name}", HELD)
        else:
            self._put_back(slot, restoring)

    def _changes(self, slot: Slot, restoring: Restoring) -> tuple[str, ...]:
        """How the optimizers differ from the saved ones, as the code has them now."""
        found = match(self.loops.objects, restoring.state["objects"], self.loops.objects.count)
        if found is None:
            return ()
        past = slot.calls[-1].definition.get("optimizers", {})
        made = past | definition_of(found.selection, None, "")["optimizers"]
        return differences({"optimizers": past}, {"optimizers": made})

    def _is_held(self, restoring: Restoring) -> bool:
        """Whether a model in it was restored, or trained, with other objects in this execution of the cell."""
        models = {id(root.thing) for root in restoring.selection.roots if root.kind == "model"}
        for group in self.loops.groups.all:
            slot = self.tracker.slot_of(group)
            held = {id(thing) for reference in group.members if (thing := reference()) is not None}
            if slot is not None and self.tracker.taken_now(slot) and held & models:
                return True
        return False

    def _free_slots(self) -> list[Slot]:
        cell = self.tracker.cells.cell
        slots = self.tracker.journal.slots
        alike = [slot for slot in slots if slot.structure[:1] == (LOOP,) and slot.place.cell == cell]
        if not any(not slot.retired for slot in alike):
            return []
        self.loops.groups.prune()
        bound = self.tracker.bound_slots()
        # One of this execution of the cell belongs to objects that the same code has let go of: a fold, say.
        free = [
            slot
            for slot in alike
            if not (slot.retired or slot.name in bound or self.tracker.taken_now(slot)) and _is_plain(slot)
        ]
        times = Counter(slot.fingerprint for slot in free)
        if any(count > 1 for count in times.values()):
            report.say_once(f"one after another {cell}", ONE_AFTER_ANOTHER)
        return [slot for slot in free if times[slot.fingerprint] == 1]

    def _read(self, slot: Slot) -> Restoring | None:
        while True:
            checkpoint = self.session.newest_of(slot.name)
            if checkpoint is None:
                return None
            try:
                part = checkpoint.part(slot.name)
                return Restoring(self.loops.objects, part) if "objects" in part.state else None
            except CheckpointDamaged as error:
                self.session.reject(error)
            except FormatInvalid:
                return None

    def _put_back(self, slot: Slot, restoring: Restoring) -> None:
        restoring.assign()
        group = self._new_group()
        self.tracker.bind(group, slot)
        self.loops.groups.remember(group, restoring.selection)
        self.loops.moved(restoring.variables)
        self.loops.leftovers.forget()
        part = restoring.part
        changed = f", under a changed definition ({'; '.join(restoring.changes)})" if restoring.changes else ""
        report.say(
            f"the state of this loop is restored{changed} ({part.stem} from the {part.origin}, "
            f"{report.ago(time.time() - part.taken_at)} old), its place is not: it runs its whole range again. "
            "`for ... in resumable(...)` keeps the place too. To begin anew: "
            f"{self.tracker.wishes.line('fresh', slot)}"
        )


def _is_step(selection: Selection) -> bool:
    """Whether that was moved by a training: an optimizer, or a variable of nobody's."""
    return bool(selection.loose) or any(root.kind == "optimizer" for root in selection.roots)


def _is_plain(slot: Slot) -> bool:
    """Whether its last call had no `resumable`."""
    return bool(slot.calls) and slot.calls[-1].definition.get("over") is None
