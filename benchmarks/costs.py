"""From the turns of a block to what a checkpoint of each variant costs. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from plan import NONE, PEERS, Block, Sample, State
from sections import Figure


@dataclass(frozen=True, slots=True)
class Cost:
    """What one checkpoint costs. Times in seconds.

    Attributes:
        stall: How long the training was held at the end of a step.
        excess: How much longer the following steps took in all.
        both: The sum of the two.
        cpu: CPU time of the training's process beyond that of the training.
        daemon_cpu: CPU time of the daemon.
        written: Bytes written by the training's process.
        stored: Bytes written by the daemon.
    """

    stall: Figure
    excess: Figure
    both: Figure
    cpu: Figure
    daemon_cpu: Figure
    written: Figure
    stored: Figure


@dataclass(frozen=True, slots=True)
class Result:
    """A block's outcome.

    Attributes:
        block: What was measured.
        state: What of.
        step: Time of an undisturbed step in seconds.
        costs: By variant.
    """

    block: Block
    state: State
    step: Figure
    costs: dict[str, Cost]

    def best(self, peers: Collection[str] = PEERS) -> str:
        """The peer whose stall and excess are the least; empty where none was measured."""
        there = [name for name in peers if name in self.costs]
        return min(there, key=lambda name: self.costs[name].both.median, default="")

    def ratio(self, name: str, peer: str) -> float | None:
        """Stall and excess as a share of a peer's; None where that is not above the noise."""
        if not peer:
            return None
        base, noise = self.costs[peer].both.median, self.costs[NONE].both
        return self.costs[name].both.median / base if base > abs(noise.median) + noise.spread else None


def evaluate(block: Block, state: State, samples: Sequence[Sample]) -> Result:
    """The figures of a block from its turns in their order.

    Raises:
        ValueError: A variant had no turn that counts.
    """
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in block.variants}
    for place, sample in enumerate(samples):
        if sample.round >= 0:
            rows[sample.variant].append(_costs(sample, samples[max(0, place - 1) : place + 2]))
    if not all(rows.values()):
        raise ValueError(f"{block.name} ended before every variant had its turn")
    costs = {
        name: Cost(*(Figure.of(column) for column in zip(*found, strict=True))) for name, found in rows.items()
    }
    steps = [time for sample in samples if sample.round >= 0 for time in sample.quiet]
    return Result(block, state, Figure.of(steps), costs)


def _costs(sample: Sample, near: Sequence[Sample]) -> tuple[float, ...]:
    """The values of a `Cost`, against the quiet steps just before and after."""
    # Means: a sum of steps of which some take long by themselves is no multiple of their median.
    step = statistics.mean(time for one in near for time in one.quiet)
    step_cpu = statistics.median(one.quiet_cpu for one in near)
    stall = sample.gap - sample.quiet_gap
    excess = sum(sample.following) - step * len(sample.following)
    cpu = sample.cpu - step_cpu * len(sample.following)
    return stall, excess, stall + excess, cpu, sample.daemon_cpu, float(sample.written), float(sample.stored)
