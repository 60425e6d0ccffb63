"""The TF1 sessions that live: what is known of each, and how their variables come to be saved."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.hooks import loops
from holdfast.hooks.loop_match import LOOP
from holdfast.hooks.saving import Piece
from holdfast.hooks.tf1_call import SessionCall
from holdfast.hooks.tf1_effects import Effect
from holdfast.hooks.tf1_origins import Origins
from holdfast.hooks.tracking import Tracker
from holdfast.hooks.weak import WeakIdentityMap
from holdfast.runtime.journal import Place
from holdfast.runtime.manifest import Kind

_AROUND: Final = frozenset(
    {__name__, *(f"holdfast.hooks.{name}" for name in ("tf1_session", "patching", "lookalike", "script"))}
)
"""Modules of ours that are around the user's code, and hold no lock meanwhile."""


@dataclass(slots=True, eq=False)
class Followed:
    """What is known of one session.

    Attributes:
        initialised: Variables that have a value in it.
        effects: What sets of fetches do, by the numbers of the fetches.
        call: Its training call; None before the first use of its variables.
        place: The place of its next training call, where a loop began before that.
        saver_at: Unix time in seconds of what the user's own Saver restored; None where it has not.
        late: Whether it is too late to restore it: it was initialised before Holdfast came, or run in parts.
        failure: The error of the last run, if it failed in its midst.
    """

    initialised: set[str] = field(default_factory=set)
    effects: dict[tuple[int, ...], Effect] = field(default_factory=dict)
    call: SessionCall | None = None
    place: Place | None = None
    saver_at: float | None = None
    late: bool = False
    failure: weakref.ref[BaseException] | None = None

    def whole(self) -> bool:
        """Whether the variables' state is one between two runs, as far as anybody can tell."""
        return self.failure is None or self.failure() is None


class _Own(threading.local):
    def __init__(self) -> None:
        self.running = self.deleting = False


class Sessions:
    """The sessions of this process. Keeps none alive.

    Attributes:
        tracker: The hooks' view of the session.
        own: Of the present thread: whether runs are our own, and whether a session is being deleted.
        origins: Which cell made which variables.
        used: Slots that this process has trained.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.own = _Own()
        self.origins = Origins()
        self.used: set[str] = set()
        self._sessions: WeakIdentityMap[Followed] = WeakIdentityMap()
        self._left: WeakIdentityMap[bool] = WeakIdentityMap()
        self._lock = threading.RLock()

    def follow(self, session: Any) -> Followed:
        """What is known of a session; followed from its first run on."""
        followed = self._sessions.get(session)
        if followed is None:
            followed = Followed()
            self._sessions[session] = followed
        return followed

    @contextmanager
    def ours(self) -> Iterator[None]:
        """While runs are our own."""
        with self._lock:
            before, self.own.running = self.own.running, True
            try:
                yield
            finally:
                self.own.running = before

    def save(self, session: Any, call: SessionCall, kind: Kind) -> None:
        """Takes a snapshot of a session's variables, and of what is saved along with them."""
        if call.ended:
            return
        with self.ours():
            try:
                call.save(session, kind, self.used)
            except Exception:
                call.ended = True  # what fails once would fail at every run
                raise

    def ending(self, session: Any, error: BaseException | None) -> None:
        """A session is about to be closed.

        Args:
            session: It.
            error: What ended its ``with`` block or is being handled just now; None for a normal end.
        """
        followed = self._sessions.get(session)
        if followed is None or session._closed or not self.tracker.session.active:
            return
        call = followed.call
        if call is None or call.ended or not call.begun:
            return
        if self.own.deleting and (self.own.running or _amid_our_own()):
            return
        with self.ours():
            followed.call = None
            if call.amid_item:
                return
            if error is None:
                call.end(session, self.used)
            elif call.unsaved and followed.whole():
                call.save(session, "interrupted", self.used)

    def in_loop(self) -> bool:
        """Whether a resumable loop runs, and not only its traceback is left of it."""
        level = loops.running()
        return level is not None and not self._left.get(level)

    def pieces(self, beside: Piece) -> list[Piece]:
        """As `Companion.pieces`: within an item, a loop's own snapshots only."""
        found = []
        by_loop = beside.slot.structure[:1] == (LOOP,)
        for session, followed in self._sessions.items():
            call = followed.call
            if call is None or not _to_save(session, followed) or (call.amid_item and not by_loop):
                continue
            with self.ours():
                piece = call.piece(session, self.used)
            if piece is not None and piece.slot is not beside.slot:
                found.append(piece)
        return found

    def loop_begins(self) -> bool:
        """As `Companion.loop_begins`."""
        unused = [one for one in self._sessions.values() if one.initialised and one.call is None]
        for followed in unused:
            followed.place = self.tracker.cells.next_place()
        return bool(unused)

    def went_back(self) -> None:
        """As `Companion.went_back`."""
        for session, followed in self._sessions.items():
            call = followed.call
            if call is not None and call.amid_item and _to_save(session, followed, whole=False):
                with self.ours():
                    call.go_back(session)
                followed.failure = None

    def cell_ended(self) -> None:
        """A cell has ended, or the runtime ends: what has changed is saved."""
        if self.own.running or not self.tracker.session.active:
            return
        if (level := loops.running()) is not None:
            self._left[level] = True  # an error has left it, and only its traceback still holds it
        cell = self.tracker.cells.cell
        graphs = {id(graph): graph for graph in _default_graphs()}
        for session, followed in self._sessions.items():
            graphs[id(session.graph)] = session.graph
            call = followed.call
            if _to_save(session, followed) and call is not None and not call.amid_item:
                self.save(session, call, "interrupted")
        for graph in graphs.values():
            self.origins.cell_ended(graph, cell)


def _to_save(session: Any, followed: Followed, *, whole: bool = True) -> bool:
    """Whether a session has changed its variables since they were saved, and is in a state to be saved."""
    call = followed.call
    if call is None or session._closed or call.ended or not (call.begun and call.unsaved):
        return False
    return followed.whole() or not whole


def _default_graphs() -> list[Any]:
    """The default graph, if there is one; asking TensorFlow for it would make one."""
    from tensorflow.python.framework import ops

    graph = getattr(ops._default_graph_stack, "_global_default_graph", None)
    return [] if graph is None else [graph]


def _amid_our_own() -> bool:
    """Whether code of ours, which may hold a lock, was stopped in its midst by the collector."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("holdfast.") and name not in _AROUND:
            return True
        frame = frame.f_back
    return sys.is_finalizing()
