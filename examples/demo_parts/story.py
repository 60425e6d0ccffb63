"""The demo's course: one training undisturbed, the same one interrupted twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

from demo_parts.errors import DemoFailed
from demo_parts.kernel import Cell, Kernel
from demo_parts.layout import Layout, newest_taken_at
from demo_parts.steps import Step, StepLog

KILLS_AT: Final = (0.3, 0.65)
"""Shares of the training after which the kernel and the machine are killed, at the next good moment."""
PATIENCE: Final = 0.15
"""Share of the training after which a lesser moment will do."""
SPOOL_AGE_SECONDS: Final = 0.6
"""How old the newest snapshot must be when the kernel is killed, so that work is lost."""
STORE_AGE_SECONDS: Final = 1.5
"""How old the newest checkpoint in the store must be when the machine is lost."""

_SITUATION: Final = re.compile(r"first run|kernel restart|runtime reset|takeover|rerun")
_RESUMED: Final = re.compile(r"resuming .*?(\d{8}-\d{6})\S* from the (\w+)")


class Audience(Protocol):
    """Who is told how the demo gets on."""

    def stage(self, title: str, total: int | None) -> None:
        """A stage begins; ``total`` steps are in the whole training."""

    def cell(self, name: str) -> None:
        """A cell begins."""

    def steps(self, done: int) -> None:
        """So many steps of it are done."""

    def heard(self, line: str) -> None:
        """A line that the runtime said."""


@dataclass(slots=True)
class Part:
    """One kernel's part in a training.

    Attributes:
        steps: What it trained.
        said: What the runtime said.
        start_seconds: Time that ``colab_bootstrap.start()`` took.
        fit_seconds: Time from the call of ``fit`` to the end of its first step.
    """

    steps: list[Step] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    start_seconds: float = 0.0
    fit_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Interruption:
    """One interruption, and how it was overcome.

    Attributes:
        what: What was done to the kernel.
        situation: What the runtime took it for.
        checkpoint: What it restored.
        origin: Where that came from: spool or store.
        killed: The last step before.
        resumed: The first step after.
        lost_steps: Steps to be trained again.
        lost_seconds: Time that they had taken.
        restore_seconds: Time from the call of ``fit`` to the end of its first step, and that of ``start()``.
    """

    what: str
    situation: str
    checkpoint: str
    origin: str
    killed: Step
    resumed: Step
    lost_steps: int
    lost_seconds: float
    restore_seconds: float


def undisturbed(layout: Layout, cells: list[Cell], audience: Audience) -> Part:
    """Trains without the runtime, in a kernel of its own."""
    audience.stage("undisturbed, without the runtime", None)
    plain = [cell for cell in cells if "colab_bootstrap" not in cell.code]
    return _play(layout, plain, audience, log_name="steps", interrupted=False)


def interrupted(layout: Layout, cells: list[Cell], plain: Part, audience: Audience) -> list[Part]:
    """Trains with the runtime, kills the kernel, then the machine, and trains to the end."""
    total = plain.steps[-1].step
    batches, patience = max(one.batch for one in plain.steps) + 1, round(PATIENCE * total)
    first, second = (round(share * total) for share in KILLS_AT)
    audience.stage("with the runtime, until its kernel is killed", total)
    moment = _Moment(layout.spool, first, patience, batches, SPOOL_AGE_SECONDS)
    parts = [_play(layout, cells, audience, "steps-1", kill=Kernel.kill, when=moment)]
    audience.stage("new kernel, until the machine is lost", total)
    moment = _Moment(layout.store, second, patience, batches, STORE_AGE_SECONDS)
    parts.append(_play(layout, cells, audience, "steps-2", kill=Kernel.kill_with_machine, when=moment))
    layout.lose_vm()
    audience.stage("new machine, to the end", total)
    parts.append(_play(layout, cells, audience, "steps-3"))
    return parts


@dataclass(frozen=True, slots=True)
class _Moment:
    """When to kill: in mid-epoch, with a checkpoint from mid-epoch to restore, and work to lose.

    Attributes:
        tier: Where that checkpoint has to be.
        target: The step from which on to look for the moment.
        patience: Steps after which a checkpoint from an epoch's end will do as well.
        batches: Batches in an epoch.
        age: Seconds that the checkpoint must be old.
    """

    tier: Path
    target: int
    patience: int
    batches: int
    age: float

    def __call__(self, steps: list[Step]) -> bool:
        if not steps or steps[-1].step < self.target or not self._inside(steps[-1], 0.2, 0.9):
            return False
        taken_at = newest_taken_at(self.tier)
        if not steps[0].time < taken_at < time.time() - self.age:
            return False
        saved = max((one for one in steps if one.time <= taken_at), key=lambda one: one.step)
        return steps[-1].step > self.target + self.patience or self._inside(saved, 0.05, 0.95)

    def _inside(self, step: Step, low: float, high: float) -> bool:
        return low < (step.batch + 1) / self.batches < high


def _play(
    layout: Layout,
    cells: list[Cell],
    audience: Audience,
    log_name: str,
    *,
    interrupted: bool = True,
    kill: Callable[[Kernel], None] | None = None,
    when: Callable[[list[Step]], bool] = lambda _: False,
) -> Part:
    """Runs all cells in a new kernel, until the end or until it is to be killed."""
    part, folder = Part(), layout.results(interrupted=interrupted)
    log = StepLog(folder / f"{log_name}.jsonl")

    def heard(line: str) -> None:
        if line.startswith("holdfast: "):
            part.said.append(line.removeprefix("holdfast: "))
            audience.heard(line)

    def stop() -> bool:
        part.steps = log.read_on()
        if part.steps:
            audience.steps(part.steps[-1].step)
        return when(part.steps)

    environment = layout.environment(interrupted=interrupted, log=log.path)
    kernel = Kernel(layout.vm, environment, folder / f"{log_name}.output.txt", heard)
    try:
        for cell in cells:
            audience.cell(cell.name)
            began = time.time()
            ended = kernel.run(cell, stop)
            if "colab_bootstrap" in cell.code:
                part.start_seconds = time.time() - began
            if part.steps and not part.fit_seconds:
                part.fit_seconds = part.steps[0].time - began
            if not ended and kill is not None:
                kill(kernel)
                part.steps = log.read_on()
                return part
        kernel.shut_down()
    finally:
        kernel.close()
    stop()
    if kill is not None or not part.steps:
        raise DemoFailed(
            "The training ended before its kernel could be killed; its output is in " + str(folder)
        )
    return part


def interruptions(parts: list[Part]) -> list[Interruption]:
    """What happened between each two parts.

    Raises:
        DemoFailed: The runtime did not say what it restored.
    """
    names = ("kernel killed", "machine and its disk lost")
    return [_between(name, *pair) for name, pair in zip(names, pairwise(parts), strict=True)]


def _between(what: str, before: Part, after: Part) -> Interruption:
    situation = _SITUATION.search(" ".join(after.said[:1]))
    restored = _RESUMED.search("\n".join(after.said))
    if situation is None or restored is None:
        said = "\n  ".join(after.said) or "nothing"
        raise DemoFailed(f"Nothing was restored after: {what}. The runtime said:\n  {said}")
    killed, resumed = before.steps[-1], after.steps[0]
    lost = [one for one in before.steps if one.step >= resumed.step]
    began = max((one.time for one in before.steps if one.step < resumed.step), default=before.steps[0].time)
    return Interruption(
        what,
        situation[0],
        restored[1],
        restored[2],
        killed,
        resumed,
        len(lost),
        killed.time - began,
        after.start_seconds + after.fit_seconds,
    )
