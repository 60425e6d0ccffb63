"""A training call of a TF1 graph: what one session does with its variables, from first use to end."""

from __future__ import annotations

import time
from typing import Any, Final

from holdfast.hooks import capture, tf1_variables
from holdfast.hooks.definition import fingerprint
from holdfast.hooks.saving import Piece
from holdfast.hooks.tf1_past import Past, values_of
from holdfast.hooks.tf1_variables import Variables
from holdfast.hooks.tracking import Tracker
from holdfast.runtime import report
from holdfast.runtime.journal import Place, Slot, TrainingCall, finish
from holdfast.runtime.manifest import Kind

DEFINITION: Final[dict[str, Any]] = {"kind": "tf1 session"}
"""What is trained, and how, is the graph's business; nothing of it decides whether a call goes on."""


class SessionCall:
    """One session's training call. Holds the graph's variables, never the session.

    Attributes:
        variables: What it follows.
        begun: Whether a step has changed them.
        restored: Whether the past has been seen to, since they were last set up.
        unsaved: Whether they have changed since they were last saved.
        amid_item: Whether they have changed within an item of a resumable loop that is not over; only the
            loop's own snapshots, between two items, have them then.
        ended: Whether nothing is saved any more.
        before_loop: Whether a resumable loop, which knows its place, has begun before its first use.
    """

    def __init__(self, tracker: Tracker, variables: Variables, place: Place | None) -> None:
        self.tracker = tracker
        self.variables = variables
        self.begun = self.restored = self.unsaved = self.amid_item = self.ended = False
        self.before_loop = place is not None
        self.settled: set[int] = set()
        self._begun_at = 0.0
        self._slot = ""
        self._past: Past | None = None
        ordinal = tracker.cells.ordinal
        bound = tracker.bound(self)  # its place is that of its first use, or one kept for it
        if place is not None:
            bound.place, tracker.cells.ordinal = place, ordinal

    @property
    def names(self) -> frozenset[str]:
        """Names of the ops that hold its variables."""
        return frozenset(self.variables)

    def moves_here(self) -> bool:
        """Makes the running cell its place, if another was: it counts where it is trained.

        Returns:
            Whether that is another cell.
        """
        bound, cells = self.tracker.bound(self), self.tracker.cells
        if bound.place.cell == cells.cell:
            return False
        bound.place, self._past = cells.next_place(), None
        return True

    def restore(
        self, session: Any, used: set[str], saver_at: float | None, *, updating: bool, in_loop: bool
    ) -> None:
        """Gives the variables the newest state of their slot, if they have a past.

        Args:
            session: Where they live.
            used: Slots that this process has trained already; they are no past of another session.
            saver_at: Unix time in seconds of what the user's own Saver has restored; None where it has not.
            updating: Whether a step comes next, rather than only a look at the values.
            in_loop: Whether this is within a resumable loop, which knows its place.
        """
        self._past = self._past or Past(self.tracker, self, used)
        found = self._past.find(here_only=saver_at is not None and not updating) is not None
        self.restored = found or updating or saver_at is None
        if found:
            self._past.restore(session, saver_at, in_loop=in_loop)

    def begin(self, used: set[str]) -> None:
        """The first step comes: the slot is this call's, and the call is open."""
        slot = self._past.find(here_only=False) if self._past is not None else None
        self.begun, self._begun_at, self._past = True, time.monotonic(), None
        self.tracker.session.paused()
        if slot is None:
            return
        self._take(slot, used)
        bound, last = self.tracker.bound(self), slot.call(slot.end - 1)
        bound.next_call = slot.end - 1 if last is not None and last.status == "open" else slot.end
        slot.record(bound.next_call, TrainingCall(DEFINITION, 0))

    def _take(self, slot: Slot, used: set[str]) -> None:
        self.tracker.bind(self, slot)
        self._slot = slot.name
        used.add(slot.name)

    def save(self, session: Any, kind: Kind, used: set[str]) -> None:
        """Takes a snapshot now."""
        piece = self.piece(session, used)
        if piece is not None:
            self.tracker.saving.save(kind, piece)

    def go_back(self, session: Any) -> None:
        """Gives the variables their slot's newest state, as a loop goes back to the item that it was in."""
        slot = self.tracker.slot_of(self)
        checkpoint = self.tracker.session.newest_of(slot.name) if slot is not None else None
        if slot is not None and checkpoint is not None:
            tf1_variables.write(session, self.variables, values_of(checkpoint.part(slot.name), self.variables))
            self.unsaved = self.amid_item = False

    def end(self, session: Any, used: set[str]) -> None:
        """The session is closed, or its variables are initialised anew: the milestone."""
        if self.ended or not self.begun:
            return
        self.ended = True
        piece = self.piece(session, used)
        if piece is None:
            return
        number = piece.state["call"]
        call = piece.slot.call(number) or TrainingCall(DEFINITION, 0)
        piece.slot.record(number, finish(call, 0, stopped_early=False))
        self.tracker.saving.milestone(piece, time.monotonic() - self._begun_at)

    def piece(self, session: Any, used: set[str]) -> Piece | None:
        """The variables' state now; None where a newer session has taken their place."""
        slot = self._ensure_slot(used)
        if slot is None:
            return None
        values = tf1_variables.read(session, self.variables)
        self.unsaved = self.amid_item = False
        named = {tensor_name(place): value for place, value in enumerate(values)}
        labels = {tensor_name(place): name for place, name in enumerate(self.variables)}
        state = {
            "call": self.tracker.bound(self).next_call,
            "labels": labels,
            "global_step": self._global_step(values),
        }
        return Piece(slot, capture.array_sources(named), state)

    def _global_step(self, values: list[Any]) -> int | None:
        first = next(iter(self.variables.values()), None)
        step = tf1_variables.global_step(first.graph) if first is not None else ""
        return int(values[0]) if step and step == next(iter(self.variables)) else None

    def _ensure_slot(self, used: set[str]) -> Slot | None:
        slot, bound = self.tracker.slot_of(self), self.tracker.bound(self)
        if slot is not None:
            return slot
        before = self.tracker.journal.slot(self._slot) if self._slot else None
        if before is not None and not before.retired:
            report.say_once(
                f"tf1 superseded {self._slot}",
                "a newer TF1 session trains in the place of one that still lives; only the newer one is saved",
            )
            self.ended = True
            return None
        structure = tf1_variables.lines(self.variables)
        slot = self.tracker.journal.add(fingerprint(structure), structure, bound.place)
        self._take(slot, used)
        slot.first_call = bound.next_call
        slot.record(bound.next_call, TrainingCall(DEFINITION, 0))
        return slot


def tensor_name(place: int) -> str:
    """Name of a variable's tensor within its slot."""
    return f"variables/{place:05d}"
