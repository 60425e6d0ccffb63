"""A year of one training on a machine that fails: simulated, with the schedule that the runtime has."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from holdfast.runtime.scheduler import Scheduler, Wishes

YEAR: Final = 365 * 86_400.0

LEARNED_SECONDS: Final = (900.0, 4 * 3600.0)
LEARNED_STEPS: Final = 5000
"""The first part of each session is simulated step by step, so many and so long: by its end the schedule
knows its costs."""

LATER: Final = 4.0
"""After it intervals change with the failures that do not come: the schedule is asked at times that grow by so
much."""

GROUP_SECONDS: Final = 0.1
"""Shorter steps are simulated in groups of so long."""

LOOK_SECONDS: Final = 5.0
"""Between two looks of the session at what was measured."""

SCATTER: Final = 0.1
"""The standard deviation of the logarithm of a step's seconds."""

HICCUP_SECONDS: Final = 0.3
HICCUPS_EVERY: Final = 60.0
"""Once in so many seconds a step takes so much longer."""

NEW_FILES: Final = 2.0
"""The first two snapshots of a process cost so many times what those that follow do."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A training and its machine.

    Attributes:
        megabytes: Of the state.
        saturated: Whether the training uses all of the CPU.
        step: Seconds of a step.
        bandwidth: To the store, in MB/s.
        kernel_hours: Mean time between two deaths of the kernel.
        vm_hours: Mean time between two losses of the VM.
        shape: Of the Weibull distribution of both; 1 is exponential, less than 1 comes in bursts.
    """

    megabytes: float
    saturated: bool
    step: float
    bandwidth: float = 100.0
    kernel_hours: float = 4.0
    vm_hours: float = 12.0
    shape: float = 1.0

    @property
    def learned(self) -> float:
        """Seconds of each session that are simulated step by step."""
        least, most = LEARNED_SECONDS
        return min(max(LEARNED_STEPS * self.step, least), most)

    @property
    def stall(self) -> float:
        """Seconds for which a snapshot stops the training: 4 ms, 8 for 2 GB."""
        return 0.004 + 0.002 * self.megabytes / 1000

    @property
    def snapshot(self) -> float:
        """Seconds of training that a snapshot takes, as measured on the machine that this was written on."""
        return self.stall + (1.1 if self.saturated else 0.9) * self.megabytes / 1000

    @property
    def writing(self) -> float:
        """Seconds until one is written."""
        return 0.02 + 1.3 * self.snapshot

    @property
    def upload(self) -> float:
        """Seconds of training that an upload takes."""
        return 1.3 * self.megabytes / 1000

    @property
    def uploading(self) -> float:
        """Seconds until one is over."""
        return 0.3 + 1.5 * self.upload + self.megabytes / self.bandwidth


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of a year: how long each ran, and whether its end was the VM's."""

    seconds: Any
    with_vm: Any

    @classmethod
    def of(cls, scenario: Scenario, seed: int) -> Sessions:
        """Draws them."""
        source, found = random.Random(seed), []
        scale = 3600.0 / math.gamma(1 + 1 / scenario.shape)

        def draw(hours: float) -> float:
            return source.weibullvariate(hours * scale, scenario.shape)

        passed = 0.0
        while passed < YEAR:
            left = draw(scenario.vm_hours)
            passed += left
            while left > 0:
                ran = draw(scenario.kernel_hours)
                found.append((min(ran, left), ran >= left))
                left -= ran
        seconds, with_vm = zip(*found, strict=True)
        return cls(np.array(seconds), np.array(with_vm))


@dataclass(frozen=True, slots=True)
class Record:
    """What a session has saved by when.

    Attributes:
        written: When each snapshot was written.
        kept: Seconds of training in each, without what saving took.
        uploaded: When each upload was over.
        kept_there: Seconds of training in each.
        spent: Beginnings and costs of snapshots and uploads, in order.
    """

    written: Any
    kept: Any
    uploaded: Any
    kept_there: Any
    spent: tuple[Any, Any]

    @classmethod
    def of(cls, scenario: Scenario, begun: Any, uploads: Any) -> Record:
        """A session whose snapshots and uploads begin at these times."""
        costs = np.full(len(begun), scenario.snapshot)
        costs[:2] *= NEW_FILES
        at = np.concatenate([begun, uploads])
        order = np.argsort(at, kind="stable")
        at, cost = at[order], np.concatenate([costs, np.full(len(uploads), scenario.upload)])[order]
        before = np.concatenate([[0.0], np.cumsum(cost)])
        kept = np.concatenate([[0.0], begun - before[np.searchsorted(at, begun, "left")]])
        written = begun + scenario.writing
        kept_there = kept[np.searchsorted(written, uploads, "right")]
        return cls(written, kept, uploads + scenario.uploading, kept_there, (at, before))

    def useful(self, sessions: Sessions) -> float:
        """Seconds of training in these sessions that were not lost."""
        at_kernel = self.kept[np.searchsorted(self.written, sessions.seconds, "right")]
        there = np.concatenate([[0.0], self.kept_there])
        at_vm = there[np.searchsorted(self.uploaded, sessions.seconds, "right")]
        return float(np.sum(np.where(sessions.with_vm, at_vm, at_kernel)))

    def share_spent(self, sessions: Sessions) -> float:
        """The share of these sessions that saving took."""
        at, before = self.spent
        return float(np.sum(before[np.searchsorted(at, sessions.seconds, "left")]) / np.sum(sessions.seconds))


def fixed(scenario: Scenario, snapshot: float, upload: float, horizon: float) -> Record:
    """A session with fixed intervals."""
    begun = np.arange(snapshot, horizon, max(snapshot, scenario.writing))
    return Record.of(scenario, begun, np.arange(upload, horizon, max(upload, scenario.uploading)))


@dataclass(slots=True)
class Session:
    """A session that the runtime's scheduler times.

    Attributes:
        scheduler: It.
        begun: When snapshots began.
        uploads: When uploads began.
    """

    scenario: Scenario
    scheduler: Scheduler
    source: random.Random
    begun: list[float]
    uploads: list[float]
    now: float = 0.0
    writing: tuple[float, float] = (0.0, 0.0)
    uploading: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def learned(cls, scenario: Scenario, wishes: Wishes, seed: int) -> Session:
        """One that has learned what saving costs."""
        made = cls(scenario, Scheduler(wishes, 0.0), random.Random(seed), [], [])
        for due in made._steps():
            if due and made.now >= made.writing[0]:
                made._snapshot()
        return made

    def record(self, horizon: float) -> Record:
        """What it saves until then, with what it has learned."""
        begun, uploads = [np.array(self.begun)], [np.array(self.uploads)]
        last, last_upload = self.begun[-1], self.uploads[-1] if self.uploads else 0.0
        end = self.scenario.learned
        costs, chosen = (self.scenario.snapshot, self.scenario.upload), (begun, uploads)
        while end < horizon:
            at, end = end, min(end * LATER, horizon)
            self.scheduler.pace.trained = at
            self.scheduler.pace.spent = sum(
                cost * sum(map(len, times)) for cost, times in zip(costs, chosen, strict=True)
            )
            self.scheduler.replan(at)
            plan = self.scheduler.measured.plan
            # A snapshot waits for the end of a step.
            every = math.ceil(plan.snapshot_seconds / self.scenario.step) * self.scenario.step
            begun.append(np.arange(last + every, end, every))
            uploads.append(np.arange(last_upload + plan.persist_seconds, end, plan.persist_seconds))
            last, last_upload = (
                before if not len(made) else float(made[-1])
                for before, made in ((last, begun[-1]), (last_upload, uploads[-1]))
            )
        return Record.of(self.scenario, np.concatenate(begun), np.concatenate(uploads))

    def _steps(self) -> Iterator[bool]:
        group = max(1, round(GROUP_SECONDS / self.scenario.step))
        seconds, scatter = group * self.scenario.step, SCATTER / math.sqrt(group)
        looked = 0.0
        while self.now < self.scenario.learned:
            left = seconds * self.source.lognormvariate(0.0, scatter)
            if self.source.random() < seconds / HICCUPS_EVERY:
                left += HICCUP_SECONDS
            self._run(left)
            yield self.scheduler.step_ended(self.now)
            if self.now - looked >= LOOK_SECONDS:
                looked = self.now
                self._look()

    def _run(self, left: float) -> None:
        """Trains for so long, while writing and uploading take their share of the machine."""
        while left > 1e-9:
            until = [end for end, _ in (self.writing, self.uploading) if end > self.now]
            share = sum(share for end, share in (self.writing, self.uploading) if end > self.now)
            share = min(share, 0.95)
            run = min([left / (1 - share), *(end - self.now for end in until)])
            self.now += max(run, 1e-9)
            left -= run * (1 - share)

    def _snapshot(self) -> None:
        scenario, ended = self.scenario, self.now
        cost = scenario.snapshot - scenario.stall
        if len(self.begun) < 2:
            cost = NEW_FILES * scenario.snapshot - scenario.stall
        takes = max(scenario.writing, cost / 0.9)
        window = self.scheduler.snapshot_begun(self.now, ended, int(scenario.megabytes * 1e6))
        self.now += scenario.stall
        self.scheduler.pace.snapshot_handed(self.now)
        self.begun.append(ended)
        self.writing = (self.now + takes, cost / takes)
        # In the future, which a bucket is compared with only once it has come.
        self.scheduler.pace.snapshot_over(window, self.now + takes, written=True)

    def _look(self) -> None:
        scenario, pace = self.scenario, self.scheduler.pace
        last = self.uploads[-1] if self.uploads else 0.0
        if self.uploads:
            pace.upload(last, self.uploading[0] if self.uploading[0] <= self.now else None)
        self.scheduler.look(self.now)
        written = any(at + scenario.writing <= self.now for at in self.begun[-2:])
        due = self.now - last >= self.scheduler.measured.plan.persist_seconds
        if written and due and self.now >= self.uploading[0]:
            self.uploads.append(self.now)
            self.uploading = (self.now + scenario.uploading, scenario.upload / scenario.uploading)


def useful(records: Sequence[Record], sessions: Sessions) -> tuple[float, float]:
    """The share of a year that is useful, and the share that saving took, where sessions differ by chance."""
    parts = [
        Sessions(sessions.seconds[at :: len(records)], sessions.with_vm[at :: len(records)])
        for at in range(len(records))
    ]
    total = float(np.sum(sessions.seconds))
    pairs = list(zip(records, parts, strict=True))
    kept = sum(record.useful(part) for record, part in pairs) / total
    spent = sum(record.share_spent(part) * float(np.sum(part.seconds)) for record, part in pairs) / total
    return kept, spent
