"""The schedule on a session's clock: what its steps, snapshots and uploads tell, and the intervals in force."""

from __future__ import annotations

import math
import time
from typing import Final

from holdfast.runtime import report, schedule_text
from holdfast.runtime.budget import Past
from holdfast.runtime.names import Stem
from holdfast.runtime.pace import Window
from holdfast.runtime.scheduler import Measured, Scheduler, Wishes
from holdfast.runtime.status import DaemonStatus

RETRY_SECONDS: Final = 0.25
"""How long after a snapshot was asked for, and none came of it, it is asked for again."""

CHANGED: Final = 0.1
"""The daemon is told of another interval where that differs by more than this share."""


class Timing:
    """When snapshots and uploads are due in one session.

    Attributes:
        scheduler: What chooses the intervals.
        persist_seconds: Between two uploads, as the daemon is to be told.
    """

    def __init__(self, wishes: Wishes, past: Past) -> None:
        """Begins now.

        Args:
            wishes: What the user asks for.
            past: Failures before.
        """
        self.scheduler = Scheduler(wishes, time.monotonic(), past)
        self.persist_seconds = self.measured.plan.persist_seconds
        self._news = schedule_text.News()
        self._step_end: float | None = None
        self._asked_at = -math.inf
        self._windows: dict[Stem, Window] = {}  # of the snapshots that are not written yet

    @property
    def measured(self) -> Measured:
        """The intervals in force, and what is known of the costs behind them."""
        return self.scheduler.measured

    def problem(self) -> str:
        """Which of the user's bounds cannot be kept, and why; empty for none."""
        return schedule_text.problem(self.measured, self.scheduler.wishes)

    def change(self, wishes: Wishes) -> None:
        """Chooses the intervals anew, for other wishes."""
        self.scheduler.replan(time.monotonic(), wishes)
        self.persist_seconds = self.measured.plan.persist_seconds

    # --- on the training thread ---------------------------------------------------------------

    def step_ended(self, *, epoch_ended: bool = False) -> bool:
        """Counts a step; whether a snapshot is due. See `Scheduler.step_ended`."""
        self._step_end = now = time.monotonic()
        return self.scheduler.step_ended(now, epoch_ended=epoch_ended)

    def ask(self) -> bool:
        """Whether one that is due after a step is to be asked for: not at once again where none came of it."""
        now = time.monotonic()
        if now - self._asked_at < RETRY_SECONDS:
            return False
        self._asked_at = now
        return True

    def due(self) -> bool:
        """Whether a snapshot is due, were there anything to take one of."""
        return self.scheduler.due(time.monotonic())

    def paused(self) -> None:
        """A training call begins, or a cell has ended: what passes until the next step's end is no step."""
        self._step_end = None
        self.scheduler.pace.paused()

    def snapshot_begun(self, stem: Stem, nbytes: int, *, after_step: bool) -> None:
        """A snapshot is about to be handed to the writer.

        Args:
            stem: Its name.
            nbytes: Of its tensors.
            after_step: Whether nothing else than a step has ended, so that its cost can be measured.
        """
        self._asked_at = -math.inf
        ended, self._step_end = self._step_end, None
        self._windows[stem] = self.scheduler.snapshot_begun(
            time.monotonic(), ended if after_step else None, nbytes
        )

    def snapshot_handed(self) -> None:
        """It was: the training goes on."""
        self.scheduler.pace.snapshot_handed(time.monotonic())

    # --- on others -----------------------------------------------------------------------------

    def snapshot_over(self, stem: Stem, *, written: bool) -> None:
        """The writer is done with one."""
        window = self._windows.pop(stem, None)
        if window is not None:
            self.scheduler.pace.snapshot_over(window, time.monotonic(), written=written)

    def look(self, status: DaemonStatus, now: float) -> bool:
        """Chooses the intervals by what was measured up to a time, and says which bound cannot be kept.

        Args:
            status: What the daemon said at that time or later: it tells of all uploads before.
            now: That time, of the monotonic clock.

        Returns:
            Whether the daemon is to be told of another interval.
        """
        pace, offset = self.scheduler.pace, time.monotonic() - time.time()
        if status.uploaded_from:
            pace.upload(status.uploaded_from + offset, status.uploaded_to + offset)
        if status.uploading:
            pace.upload(status.uploading_since + offset, None)
        else:
            pace.no_upload(now)
        self.scheduler.look(now)
        if self._news.is_new(self.measured, self.scheduler.wishes):
            report.say(self.problem())
        chosen = self.measured.plan.persist_seconds
        if abs(chosen - self.persist_seconds) <= CHANGED * self.persist_seconds:
            return False
        self.persist_seconds = chosen
        return True
