"""When the next snapshot and the next upload are due, by what they cost here. Pure: given the time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.runtime import budget, schedule
from holdfast.runtime.budget import (
    KERNEL_SECONDS,
    NO_PAST,
    SNAPSHOT_FLOOR,
    UPLOAD_FLOOR,
    VM_SECONDS,
    Past,
    Plan,
    Tier,
)
from holdfast.runtime.pace import Pace, Window

LEARNING: Final = 2.0
"""While only the first snapshots' or uploads' costs are known, which are higher than those that follow, their
interval is stretched to so many times its bound at the most,"""

PAID_BACK_SECONDS: Final = 3600.0
LEAST_SHARE: Final = 0.5
"""What was spent above the budget, while the costs were learned, is paid back within so long, by a budget
that is lower by no more than this factor."""

LEARNING_SHARE: Final = 0.1
"""unless they would take more than this share of the training even then."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asks for.

    Attributes:
        snapshot_seconds: The most training that a killed kernel may lose.
        persist_seconds: The most that a lost VM may lose.
        share: The share of training time that keeping to both may take; 0 is no such budget.
    """

    snapshot_seconds: float
    persist_seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of the costs, and what follows from it.

    Attributes:
        plan: The intervals.
        stall: For how many seconds a snapshot stops the training; None where that is not known.
        snapshot_cost: Seconds of training that one takes in all.
        snapshot_takes: Seconds until one is written.
        upload_cost: Seconds of training that an upload takes.
        upload_takes: Seconds until it is over.
        step: Seconds that a step takes.
        overhead: Share of the training so far that both took, as measured; None before anything was.
        sure: Whether that is known well enough to speak of it.
    """

    plan: Plan
    stall: float | None = None
    snapshot_cost: float | None = None
    snapshot_takes: float = 0.0
    upload_cost: float | None = None
    upload_takes: float = 0.0
    step: float = 0.0
    overhead: float | None = None
    sure: bool = False


@dataclass(slots=True)
class Scheduler:
    """Chooses the intervals of one session.

    Attributes:
        wishes: What the user asks for.
        began: When the session began, in seconds of the clock that all methods are given.
        past: Failures before it.
        measured: What is known now.
    """

    wishes: Wishes
    began: float
    past: Past = NO_PAST
    pace: Pace = field(default_factory=Pace)
    measured: Measured = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: float | None = None
    _first: bool = True
    _interval: float = 0.0
    _epoch_interval: float = 0.0

    def __post_init__(self) -> None:
        if self.wishes.share <= 0:
            self._last = self.began  # else the first one comes soon after the first step
        self.measured = Measured(Plan(self.wishes.snapshot_seconds, self.wishes.persist_seconds))
        self.replan(self.began)

    # --- on the training thread ---------------------------------------------------------------

    def step_ended(self, now: float, *, epoch_ended: bool = False) -> bool:
        """Counts a step; at the end of an epoch the last one is counted already.

        Returns:
            Whether a snapshot is due.
        """
        if self._last is None:
            self._last = now
        if epoch_ended:
            self.pace.epoch_ended(now)
        else:
            self.pace.step_ended(now)
        return now - self._last >= (self._epoch_interval if epoch_ended else self._interval)

    def due(self, now: float) -> bool:
        """Whether a snapshot is due, were there anything to take one of."""
        return self._last is not None and now - self._last >= self._interval

    def snapshot_begun(self, now: float, ended: float | None, nbytes: int) -> Window:
        """A snapshot is about to be handed to the writer; see `Pace.snapshot_begun`."""
        self._last = now
        window = self.pace.snapshot_begun(now, ended, nbytes)
        if self._first:
            self._first = False  # measured or not: else a loop of short calls would save at this pace for ever
            self._set_intervals(self.measured.plan.snapshot_seconds)
        return window

    # --- on others -----------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Takes into account what was measured up to a time; up to then all uploads are known to `pace`."""
        with self._lock:
            self.pace.look(now)
            self._plan(now)

    def replan(self, now: float, wishes: Wishes | None = None) -> None:
        """Chooses the intervals anew, for other wishes where there are."""
        with self._lock:
            self.wishes = wishes or self.wishes
            self._plan(now)

    def _plan(self, now: float) -> None:
        wishes, costs = self.wishes, self.pace.costs
        exposed = self.past.seconds + max(0.0, now - self.began)
        kernel = budget.mean_time(KERNEL_SECONDS, self.past.kernel_deaths, exposed)
        vm = budget.mean_time(VM_SECONDS, self.past.vm_losses, exposed)
        step = self.pace.step_seconds
        snapshot = Tier(costs.snapshot, costs.snapshot_takes, wishes.snapshot_seconds, kernel, SNAPSHOT_FLOOR)
        upload = Tier(costs.upload, costs.upload_takes, wishes.persist_seconds, vm, UPLOAD_FLOOR)
        plan = budget.choose(snapshot, upload, self._share_left(), step)
        if not costs.uploads_settled:
            plan = self._learning_uploads(plan, snapshot, upload, step)
        trained = self.pace.trained
        self.measured = Measured(
            plan,
            costs.stall,
            costs.snapshot,
            costs.snapshot_takes,
            costs.upload,
            costs.upload_takes,
            step,
            max(0.0, self.pace.spent) / trained if trained and costs.stall is not None else None,
            costs.sure,
        )
        self._set_intervals(self._next_interval(plan))

    def _learning_uploads(self, plan: Plan, snapshot: Tier, upload: Tier, step: float) -> Plan:
        """While an upload's cost is a guess it stretches no interval of snapshots, and its own only so far."""
        if upload.cost is None:
            return plan
        alone = budget.choose(snapshot, replace(upload, cost=None), self._share_left(), step)
        longest = max(alone.persist_seconds, LEARNING * upload.bound, upload.cost / LEARNING_SHARE)
        seconds = min(plan.persist_seconds, longest)
        return replace(alone, persist_seconds=seconds, overhead=alone.overhead + upload.cost / seconds)

    def _share_left(self) -> float:
        share, pace = self.wishes.share, self.pace
        left = (share * (pace.trained + PAID_BACK_SECONDS) - pace.spent) / PAID_BACK_SECONDS
        return min(max(left, LEAST_SHARE * share), share)

    def _next_interval(self, plan: Plan) -> float:
        wishes, cost = self.wishes, self.pace.costs.snapshot
        if wishes.share <= 0:
            return plan.snapshot_seconds
        if cost is None:
            return min(SNAPSHOT_FLOOR, plan.snapshot_seconds) if self._first else plan.snapshot_seconds
        if self.pace.costs.settled:
            return plan.snapshot_seconds
        longest = max(LEARNING * wishes.snapshot_seconds, cost / LEARNING_SHARE)
        return min(plan.snapshot_seconds, longest)

    def _set_intervals(self, seconds: float) -> None:
        self._interval = seconds
        share = self.wishes.share
        # Sooner at an epoch's end is more often: only where that is within the budget too.
        early = share <= 0 or self.measured.plan.overhead <= share * schedule.NEARLY_DUE
        self._epoch_interval = seconds * (schedule.NEARLY_DUE if early else 1.0)
