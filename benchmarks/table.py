"""From samples to figures, goals and tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from plan import HOLDFAST, NONE, PEERS, REGIME_TITLES, TITLES, UPLOADED, VARIANTS, Block, Sample

STALL_SECONDS: Final = 0.010
SHARE_OF_PEER: Final = {"saturated": 0.5, "free": 0.1}
"""Goals: the longest stall, and the largest share of the best peer's stall and excess."""

STALL_GROWTH: Final = 2.0
"""Goal: a stall that does not depend on the size grows by no more, from the smallest state to the largest."""

HEADS: Final = (
    "variant",
    "stall ms",
    "excess ms",
    "both ms",
    "of best peer",
    "CPU s",
    "daemon CPU s",
    "written MB",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A median and the median absolute deviation from it."""

    median: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of several checkpoints."""
        middle = statistics.median(values)
        return cls(middle, statistics.median(abs(value - middle) for value in values))

    def text(self, factor: float = 1.0, digits: int = 0) -> str:
        """For people."""
        return f"{self.median * factor:.{digits}f} ± {self.spread * factor:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one checkpoint costs. Times in seconds.

    Attributes:
        stall: How long the training was held at the end of a step.
        excess: How much longer the following steps took in all.
        both: The sum of the two.
        cpu: CPU time of the training's process beyond that of the training.
        daemon_cpu: CPU time of the daemon.
        written: Bytes written by both.
        ratio: ``both`` as a share of the best peer's; None where that is not above the noise.
    """

    stall: Figure
    excess: Figure
    both: Figure
    cpu: Figure
    daemon_cpu: Figure
    written: Figure
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """A block's outcome.

    Attributes:
        block: What was measured.
        step: Time of an undisturbed step in seconds.
        costs: By variant.
    """

    block: Block
    step: Figure
    costs: dict[str, Cost]


def evaluate(block: Block, samples: Sequence[Sample]) -> Result:
    """The figures of a block from its turns in their order."""
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in VARIANTS}
    for place, sample in enumerate(samples):
        if sample.round >= 0:
            rows[sample.variant].append(_costs(sample, samples[max(0, place - 1) : place + 2]))
    both = {name: statistics.median(row[2] for row in found) for name, found in rows.items()}
    best = min(both[name] for name in PEERS)
    usable = best > abs(both[NONE])
    costs = {}
    for name, found in rows.items():
        stall, excess, total, cpu, daemon, written = (Figure.of(column) for column in zip(*found, strict=True))
        ratio = both[name] / best if usable else None
        costs[name] = Cost(stall, excess, total, cpu, daemon, written, ratio)
    steps = [time for sample in samples if sample.round >= 0 for time in sample.quiet]
    return Result(block, Figure.of(steps), costs)


def _costs(sample: Sample, near: Sequence[Sample]) -> tuple[float, ...]:
    """Stall, excess, both, CPU, daemon's CPU and bytes, against the quiet steps just before and after."""
    step = statistics.median(time for one in near for time in one.quiet)
    step_cpu = statistics.median(one.quiet_cpu for one in near)
    stall = sample.gap - sample.quiet_gap
    excess = sum(sample.following) - step * len(sample.following)
    cpu = sample.cpu - step_cpu * len(sample.following)
    return stall, excess, stall + excess, cpu, sample.daemon_cpu, float(sample.written)


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to reach, and whether it was."""

    text: str
    reached: bool

    def __str__(self) -> str:
        return f"{'reached' if self.reached else 'MISSED'}: {self.text}"


def goals(results: Iterable[Result]) -> list[Goal]:
    """All goals over the results."""
    found = []
    results = list(results)
    for result in results:
        share = SHARE_OF_PEER[result.block.regime]
        ratio = result.costs[HOLDFAST].ratio
        where = f"{result.block.megabytes} MB, {REGIME_TITLES[result.block.regime]}"
        if ratio is not None:
            text = f"stall and excess {ratio:.2f} of the best peer's, at most {share} ({where})"
            found.append(Goal(text, ratio <= share))
    for regime in dict.fromkeys(result.block.regime for result in results):
        same = sorted(
            (one for one in results if one.block.regime == regime), key=lambda one: one.block.megabytes
        )
        found += _stall_goals(same[0], same[-1])
    return found


def _stall_goals(small: Result, large: Result) -> list[Goal]:
    found = []
    where = f"{large.block.megabytes} MB, {REGIME_TITLES[large.block.regime]}"
    for name in (HOLDFAST, UPLOADED):
        stall = large.costs[name].stall.median
        text = f"stall {stall * 1e3:.1f} ms, at most {STALL_SECONDS * 1e3:.0f} ms ({TITLES[name]}; {where})"
        found.append(Goal(text, stall <= STALL_SECONDS))
    if small is not large:
        growth = large.costs[HOLDFAST].stall.median / small.costs[HOLDFAST].stall.median
        text = (
            f"stall {growth:.1f} times that at {small.block.megabytes} MB, at most {STALL_GROWTH:.0f} ({where})"
        )
        found.append(Goal(text, growth <= STALL_GROWTH))
    return found


def markdown(results: Sequence[Result], machine: dict[str, Any]) -> str:
    """The tables of all blocks and the goals."""
    lines = [
        "# What a checkpoint costs",
        "",
        f"Measured on {_machine(machine)}. Medians ± median absolute deviation.",
    ]
    for result in results:
        lines += [
            "",
            f"## {_title(result)}",
            "",
            f"| {' | '.join(HEADS)} |",
            "|---" + "|---:" * (len(HEADS) - 1) + "|",
        ]
        lines += [f"| {' | '.join(row)} |" for row in _rows(result)]
    lines += ["", "## Goals", ""]
    lines += [f"- {goal}" for goal in goals(results)]
    return "\n".join(lines) + "\n"


def show(results: Sequence[Result], console: Console) -> None:
    """Prints the same with rich."""
    for result in results:
        table = Table(*HEADS, title=_title(result), title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in _rows(result):
            table.add_row(*row)
        console.print(table)
    for goal in goals(results):
        console.print(str(goal), style="green" if goal.reached else "bold red", highlight=False)


def _title(result: Result) -> str:
    regime = REGIME_TITLES[result.block.regime]
    return f"{result.block.megabytes} MB of state, {regime}; a step takes {result.step.text(1e3, 1)} ms"


def _rows(result: Result) -> list[tuple[str, ...]]:
    return [
        (
            TITLES[name],
            cost.stall.text(1e3, 1),
            cost.excess.text(1e3, 1),
            cost.both.text(1e3, 1),
            "-" if cost.ratio is None or name == NONE else f"{cost.ratio:.2f}",
            cost.cpu.text(digits=2),
            cost.daemon_cpu.text(digits=2),
            f"{cost.written.median / 1e6:.1f}",
        )
        for name, cost in result.costs.items()
    ]


def _machine(machine: dict[str, Any]) -> str:
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, {machine['versions']}"
    )
