"""From the state of slots to snapshots: now, or together with the next one where calls are short and many."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from holdfast.hooks import devices
from holdfast.runtime.journal import Slot
from holdfast.runtime.manifest import Kind
from holdfast.runtime.schedule import Burst
from holdfast.runtime.session import Session
from holdfast.runtime.snapshot import Snapshot, TensorSource

KEPT_BYTES: Final = 64 << 20
KEPT_SLOTS: Final = 128
"""Ends of short calls held back at the most, in memory: with more of them they are written."""

LONG_CALL_SECONDS: Final = 1.0
"""A call that took longer has its milestone written at its end: that costs little beside it."""

LONG_CALLS: Final = 50
"""With more calls than these in the journal, which goes into each checkpoint, a call must take longer in
proportion: the bytes of a thousand trainings one after another would grow with their square."""


@dataclass(slots=True)
class Piece:
    """The state of one slot at one moment.

    Attributes:
        slot: The slot.
        sources: Its tensors, by names within the slot.
        state: The Python state beside them, plain JSON; ``call`` is the number of the training call.
    """

    slot: Slot
    sources: list[TensorSource]
    state: dict[str, Any]

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(source.spec.nbytes for source in self.sources)

    @property
    def late(self) -> bool:
        """Whether it must be written before anything is trained, since memory is short."""
        return any(source.late for source in self.sources)


class Companion(Protocol):
    """What is saved along with others, since it has changed between the same two moments."""

    def pieces(self, beside: Piece) -> list[Piece]:
        """The slots that have changed since they were last saved."""

    def loop_begins(self) -> bool:
        """An outermost loop begins: what it will use for the first time has its place now.

        Returns:
            Whether there is such.
        """

    def went_back(self) -> None:
        """A loop goes back to where it was saved, and what was saved along with it goes back too."""


class Saving:
    """Makes snapshots of pieces, and hands them to the session.

    Milestones of short calls are written at once only while there are few of them. Loops of thousands
    have theirs kept, the newest of each slot, until the schedule wants a snapshot anyway.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.RLock()
        self._kept: dict[str, Piece] = {}
        self._burst = Burst()
        self.companions: list[Companion] = []

    @property
    def active(self) -> bool:
        """Whether snapshots are to be taken."""
        return self.session.active

    def step_ended(self, *, epoch_ended: bool = False) -> bool:
        """Notes that a step has ended, and tells whether the schedule wants a snapshot."""
        return self.session.step_ended(epoch_ended=epoch_ended)

    def save(self, kind: Kind, piece: Piece) -> bool:
        """Submits a snapshot of a piece, and of what was kept.

        Returns:
            False where another session has taken the run over, and nothing was done.
        """
        with self._lock:  # trainings may run in several threads
            return self._save(kind, piece)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other thread makes a snapshot; a companion that locks its own objects enters this before."""
        with self._lock:
            yield

    def _save(self, kind: Kind, piece: Piece) -> bool:
        after_step = kind in ("scheduled", "requested")
        along = self._along(piece)
        kept = self._kept.pop(piece.slot.name, None)
        if kept is not None and kept.state["call"] != piece.state["call"]:
            kept = None  # an older call's end: the newer state takes its place
        if kept is not None and kind != "milestone":
            kind = "milestone"
        if self._kept:
            kind = "milestone"
        return self._submit(kind, [*self._kept.values(), piece, *along], after_step=after_step)

    def milestone(self, piece: Piece, seconds: float) -> None:
        """Saves the end of a training call: now, or, where such ends come thick and fast, a little later.

        Args:
            piece: The state at the end.
            seconds: How long the call took.
        """
        with self._lock:
            self._milestone(piece, seconds)

    def _milestone(self, piece: Piece, seconds: float) -> None:
        long = LONG_CALL_SECONDS * max(1.0, self.session.journal.remembered / LONG_CALLS)
        if seconds >= long or piece.late or self.session.due() or self._burst.take(time.monotonic()):
            self.save("milestone", piece)
            return
        for one in (piece, *self._along(piece)):  # what is along is read already, so it can be kept
            self._kept.pop(one.slot.name, None)
            self._kept[one.slot.name] = one
        if len(self._kept) >= KEPT_SLOTS or sum(one.nbytes for one in self._kept.values()) > KEPT_BYTES:
            self.flush()

    def _along(self, piece: Piece) -> list[Piece]:
        """What is saved along with a piece; what was kept of the same slots is older."""
        along = [one for companion in self.companions for one in companion.pieces(piece)]
        for one in along:
            self._kept.pop(one.slot.name, None)
        return along

    def flush(self) -> None:
        """Writes what was kept."""
        with self._lock:
            if self._kept:
                self._submit("milestone", list(self._kept.values()))

    def _submit(self, kind: Kind, pieces: list[Piece], *, after_step: bool = False) -> bool:
        self._kept.clear()
        if not self.session.active:
            return False
        stem = self.session.next_stem()
        before = [(piece.slot, piece.slot.newest) for piece in pieces]
        for piece in pieces:
            piece.slot.newest = stem
            number = piece.state["call"]
            call = piece.slot.call(number)
            if kind == "milestone" and call is not None and call.status == "done":
                piece.slot.amend(number, replace(call, milestone=stem))
        snapshot = Snapshot(
            kind,
            tuple(piece.slot.name for piece in pieces),
            _sources(pieces),
            time.time(),
            self.session.journal.to_dict(),
            _states(pieces),
        )
        if self.session.submit(snapshot, after_step=after_step):
            return True
        for slot, newest in before:
            slot.newest = newest
        return False


def _sources(pieces: list[Piece]) -> list[TensorSource]:
    if len(pieces) == 1:
        return pieces[0].sources
    return [
        replace(source, spec=replace(source.spec, name=f"{piece.slot.name}/{source.spec.name}"))
        for piece in pieces
        for source in piece.sources
    ]


def _states(pieces: list[Piece]) -> dict[str, Any]:
    here = {devices.KEY: devices.accelerators()}
    states: Mapping[str, Any] = {piece.slot.name: {**piece.state, **here} for piece in pieces}
    return states[pieces[0].slot.name] if len(pieces) == 1 else dict(states)
