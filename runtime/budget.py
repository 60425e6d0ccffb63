"""How often snapshots and uploads are worth their cost: Young's intervals, within a budget and bounds. Pure.

J. W. Young, *A first order approximation to the optimum checkpoint interval*, CACM 17(9), 1974: with a cost C
and a mean time M between failures the interval is sqrt(2 C M). J. T. Daly, FGCS 22(3), 2006, says how good that
is: within a few per cent while C is much less than M. J. Mohan et al., *CheckFreq*, FAST 2021, measure C while
the training runs and keep a budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

KERNEL_SECONDS: Final = 4 * 3600.0
"""Mean time between two deaths of a kernel, where nothing is known: a few in a day of work."""

VM_SECONDS: Final = 12 * 3600.0
"""The same for the loss of a VM: Colab's shorter limit."""

PRIOR_FAILURES: Final = 2.0
"""How many failures seen weigh as much as these two numbers."""

SNAPSHOT_FLOOR: Final = 5.0
"""Snapshots do not follow each other faster, in seconds, unless the user wants them to."""

UPLOAD_FLOOR: Final = 90.0
"""Nor do uploads: stores want few, large objects, and what Drive deletes goes on counting for its quota."""

REST: Final = 2.0
"""An interval is at least so many times what writing takes: a disk and a network are for others too, and what
a snapshot costs is only seen beside time without one."""

NEGLIGIBLE: Final = 1e-4
"""Seconds below which a cost is taken for so much: none is nothing."""

LARGEST: Final = 86_400.0
"""Seconds above which a cost is taken for so much."""

TierName = Literal["snapshot", "upload"]
Part = Literal["writing", "step", "upload", "snapshots"]


@dataclass(frozen=True, slots=True)
class Past:
    """Failures that are known of before now.

    Attributes:
        kernel_deaths: How many kernels died.
        vm_losses: How many VMs were lost.
        seconds: For how long they had run.
    """

    kernel_deaths: int = 0
    vm_losses: int = 0
    seconds: float = 0.0


NO_PAST: Final = Past()


@dataclass(frozen=True, slots=True)
class Tier:
    """One of the two tiers: snapshots, which survive the kernel, or uploads, which survive the VM.

    Attributes:
        cost: Seconds of training that one takes; None where that is not known.
        takes: Seconds from the beginning of one until it counts.
        bound: Seconds of training that may be lost at the most.
        failures: Mean time in seconds between two failures that it is for.
        floor: Seconds between two at the least.
    """

    cost: float | None
    takes: float
    bound: float
    failures: float
    floor: float


@dataclass(frozen=True, slots=True)
class Clash:
    """A bound that cannot be kept.

    Attributes:
        tier: Which.
        bound: The most work that the user is ready to lose, in seconds.
        loses: What may be lost instead.
        needed: The budget, as a share of training time, that would keep it; None where none would, since
            too much may be lost beside the interval.
        least: What may be lost at the least, whatever the budget.
        longest: What takes longest of that beside the interval: writing a snapshot, the step that it waits for,
            the upload, or the time between two snapshots.
    """

    tier: TierName
    bound: float
    loses: float
    needed: float | None
    least: float
    longest: Part


@dataclass(frozen=True, slots=True)
class Plan:
    """The intervals chosen.

    Attributes:
        snapshot_seconds: Between the beginnings of two snapshots.
        persist_seconds: Between the beginnings of two uploads.
        overhead: Share of training time that both take, as far as their costs are known.
        clashes: Bounds that are not kept.
    """

    snapshot_seconds: float
    persist_seconds: float
    overhead: float = 0.0
    clashes: tuple[Clash, ...] = ()


def mean_time(prior: float, failures: float, seconds: float) -> float:
    """The mean time between failures, in seconds, after some time with so many of them.

    The mean of a gamma prior of `PRIOR_FAILURES` failures, updated by what was seen (Poisson).
    """
    return (PRIOR_FAILURES * prior + max(0.0, seconds)) / (PRIOR_FAILURES + failures)


def choose(snapshot: Tier, upload: Tier, budget: float, step: float = 0.0) -> Plan:
    """Chooses both intervals: those that lose least in the mean, within the budget, and within the bounds
    where the budget allows it.

    Args:
        snapshot: The tier of snapshots.
        upload: The tier of uploads.
        budget: Share of training time that both may take; 0 is no budget, and the bounds are the intervals.
        step: Seconds that a step takes; a snapshot waits for its end.
    """
    if budget <= 0 or snapshot.cost is None:
        return Plan(snapshot.bound, upload.bound)
    lag = snapshot.takes + step
    first = _Range.of(snapshot, lag)
    # What is uploaded is a snapshot that may be as old as the interval between two.
    second = _Range.of(upload, upload.takes + first.high + lag)
    seconds = _within((first, second), budget)
    losses = (seconds[0] + lag, seconds[1] + upload.takes + seconds[0] + lag)
    best = first.at(1.0, bounded=True), second.at(1.0, bounded=True)
    least = (best[0] + lag, best[1] + upload.takes + best[0] + lag)
    parts: dict[Part, float] = {"writing": snapshot.takes, "step": step}
    # Where their bound cannot be kept, it is their writing or the step that keeps snapshots apart.
    whole = parts | {"upload": upload.takes, "snapshots": best[0] if first.reachable else 0.0}
    longest = (max(parts, key=parts.__getitem__), max(whole, key=whole.__getitem__))
    needed = first.cost / first.high + second.cost / second.high
    names: tuple[TierName, TierName] = ("snapshot", "upload")
    clashes = tuple(
        Clash(name, tier.bound, loss, needed if one.reachable else None, at_best, part)
        for name, tier, one, loss, at_best, part in zip(
            names, (snapshot, upload), (first, second), losses, least, longest, strict=True
        )
        if loss > tier.bound * (1 + 1e-9) and (tier.cost is not None)
    )
    return Plan(*seconds, first.cost / seconds[0] + second.cost / seconds[1], clashes)


@dataclass(frozen=True, slots=True)
class _Range:
    """Between which seconds an interval lies, if the budget allows it.

    Attributes:
        low: Not below these in any case.
        high: With more its bound is not kept.
        young: Where the least is lost.
        cost: Of one, in seconds of training.
        reachable: Whether its bound can be kept at all.
    """

    low: float
    high: float
    young: float
    cost: float
    reachable: bool

    @classmethod
    def of(cls, tier: Tier, lag: float) -> _Range:
        """Of a tier, of which so many seconds more than the interval may be lost."""
        room = tier.bound - lag
        low = max(min(tier.floor, tier.bound), REST * tier.takes)
        reachable = room >= min(low, tier.bound / 2)
        high = room if reachable else low
        if tier.cost is None:
            return cls(high, high, 0.0, 0.0, reachable)
        cost = min(max(tier.cost, NEGLIGIBLE), LARGEST)
        return cls(min(low, high), high, math.sqrt(2 * cost * tier.failures), cost, reachable)

    def at(self, stretch: float, *, bounded: bool) -> float:
        """Its interval under a common stretch."""
        seconds = max(self.low, self.young * stretch)
        return min(seconds, self.high) if bounded else seconds


def _within(ranges: tuple[_Range, _Range], budget: float) -> tuple[float, float]:
    def spent(seconds: Sequence[float]) -> float:
        return sum(one.cost / interval for one, interval in zip(ranges, seconds, strict=True))

    def stretched(stretch: float, *, bounded: bool) -> tuple[float, float]:
        return ranges[0].at(stretch, bounded=bounded), ranges[1].at(stretch, bounded=bounded)

    best = stretched(1.0, bounded=True)
    if spent(best) <= budget:
        return best
    # By Lagrange's rule the budget stretches both intervals by one factor.
    bounded = spent((ranges[0].high, ranges[1].high)) <= budget
    low, high = 0.0, 1.0
    while spent(stretched(high, bounded=bounded)) > budget:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(stretched(middle, bounded=bounded)) > budget else (low, middle)
    first, second = stretched(high, bounded=bounded)
    if bounded:
        return first, second
    # Not both bounds can be kept: one that can stays where it is, and leaves the rest to the other.
    if first <= ranges[0].high:
        return ranges[0].high, ranges[1].cost / (budget - ranges[0].cost / ranges[0].high)
    if second <= ranges[1].high:
        return ranges[0].cost / (budget - ranges[1].cost / ranges[1].high), ranges[1].high
    return first, second
