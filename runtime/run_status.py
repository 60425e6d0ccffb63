"""Where a run stands: what `handle.status()` gives, and what the panel is made from."""

from __future__ import annotations

import time
from dataclasses import dataclass

from holdfast.runtime.scheduler import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a run stands. Times are Unix times in seconds, 0 for never or not known.

    Attributes:
        run: Name of the run.
        store: URL of the store.
        situation: What happened before this session began.
        found: What the session's start found to restore from, in words.
        snapshot: Newest snapshot of this session in the local spool; empty for none.
        snapshot_at: When it was taken.
        written: Newest checkpoint written to the store; empty for none.
        written_at: When that was done.
        confirmed: Newest checkpoint known to be safe there; empty for none.
        confirmed_at: When that was known.
        confirmed_taken_at: When its snapshot was taken.
        confirmed_here: Whether it is one of this session's.
        last_step_at: When a step of any training ended last in this session.
        persist_seconds: Seconds between two checkpoints, as chosen.
        schedule: The intervals in force and the costs behind them; None where these are not told.
        schedule_problem: Which bound of the user's they cannot keep, and why; empty for none.
        unconfirmed: Why what is written is not confirmed; empty where it is, or soon will be.
        warning: What to know of the room that is left; empty for nothing.
        problem: What fails at present; empty for nothing that is known.
        problem_since: When that began.
        snapshot_problem: Why the last snapshot could not be written; empty where it was.
        memory_short: Why the training waited while the last snapshot was written; empty where it did not.
        fenced: Whether another session has taken the run over, so that nothing more is saved.
        ended: Whether the session has ended.
        uploading: The checkpoint being uploaded; empty for none.
        uploading_bytes: Bytes it has so far.
        uploading_total: Bytes to be written for it.
        uploading_since: When that began.
        space_used: Bytes of the run in the store; 0 where not known yet.
        space_free: Bytes that the store still takes; -1 where it does not tell.
        cell: What became of the last cell: ``running``, ``done``, ``interrupted``, ``failed``, or nothing.
        cell_again: Whether it had been run before.
        inexact: Parts of the state that cannot be exact, each with why.
        said: The last lines said, oldest first, each with when.
    """

    run: str
    store: str
    situation: str
    snapshot: str
    snapshot_at: float
    written: str
    written_at: float
    confirmed: str
    confirmed_at: float
    unconfirmed: str
    warning: str
    problem: str
    found: str = ""
    confirmed_taken_at: float = 0.0
    confirmed_here: bool = False
    last_step_at: float = 0.0
    persist_seconds: float = 120.0
    schedule: Measured | None = None
    schedule_problem: str = ""
    problem_since: float = 0.0
    snapshot_problem: str = ""
    memory_short: str = ""
    fenced: bool = False
    ended: bool = False
    uploading: str = ""
    uploading_bytes: int = 0
    uploading_total: int = 0
    uploading_since: float = 0.0
    space_used: int = 0
    space_free: int = -1
    cell: str = ""
    cell_again: bool = False
    inexact: tuple[tuple[str, str], ...] = ()
    said: tuple[tuple[float, str], ...] = ()

    def __str__(self) -> str:
        from holdfast.runtime.panel_text import as_text
        from holdfast.runtime.panel_view import view

        return as_text(view(self, time.time()))
