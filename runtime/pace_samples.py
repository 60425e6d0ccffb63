"""What single snapshots and uploads cost, and what follows for the next ones. Pure."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

QUIET_BUCKETS: Final = 64
"""Of undisturbed steps, that tell how long one takes now: some 16 s of training."""

KNOWN_BUCKETS: Final = 4
"""With fewer nothing is compared."""

FAR: Final = 5.0
"""A bucket that is above the median by so many standard deviations has a hiccup in it, and is left out."""

SAMPLES: Final = 9
"""That the estimate is a median of: as many as change slowly enough, and steady it against noise."""

KEPT: Final = 256
"""Snapshots remembered: some of each size, where states of many sizes are trained in turn."""

WARM: Final = 2
"""Snapshots of a size that cost more than those that follow: their files are new."""

ALIKE: Final = 1.5
"""States whose sizes differ by no more than this factor cost about the same,"""

SMALL_BYTES: Final = 2**20
"""and so do all that are smaller than this: their bytes take no time beside what every snapshot takes."""

MEDIAN_ERROR: Final = 1.25
"""The standard error of a median beside that of a mean, for normal noise: sqrt(pi / 2)."""

FEW_UPLOADS: Final = 3
"""With fewer uploads measured their cost is a guess: one hiccup, or a first one that is whole, decides it."""

_DEVIATION: Final = 1.4826
"""The standard deviation beside the median absolute deviation, for normal noise."""


@dataclass(slots=True)
class Quiet:
    """How long undisturbed steps take, by the last buckets of them."""

    _buckets: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=QUIET_BUCKETS))
    _figures: tuple[float, float] | None = None

    def add(self, steps: int, seconds: float) -> None:
        """Adds a bucket."""
        self._buckets.append((steps, seconds))
        self._figures = None

    @property
    def count(self) -> int:
        """How many buckets there are."""
        return len(self._buckets)

    @property
    def known(self) -> bool:
        """Whether there are enough of them."""
        return self.count >= KNOWN_BUCKETS

    @property
    def rate(self) -> float:
        """Seconds a step; 0 where that is not known."""
        return self._known()[0]

    @property
    def variance(self) -> float:
        """Of a bucket's seconds, beside those that its steps would take by this rate."""
        return self._known()[1]

    def _known(self) -> tuple[float, float]:
        if self._figures is None:
            self._figures = _figures(self._buckets) if self._buckets else (0.0, 0.0)
        return self._figures


def _figures(buckets: Collection[tuple[int, float]]) -> tuple[float, float]:
    rates = [seconds / steps for steps, seconds in buckets]
    middle = statistics.median(rates)
    limit = middle + FAR * _DEVIATION * statistics.median(abs(rate - middle) for rate in rates)
    # A mean, since a median is below the mean of steps that scatter to one side, and the sum over any of
    # them would then exceed it by that alone; but without hiccups, which are no steps.
    kept = [one for one, rate in zip(buckets, rates, strict=True) if rate <= limit]
    rate = sum(seconds for _, seconds in kept) / sum(steps for steps, _ in kept)
    off = statistics.median(abs(seconds - steps * rate) for steps, seconds in buckets)
    return rate, (_DEVIATION * off) ** 2


@dataclass(frozen=True, slots=True)
class Sample:
    """What one snapshot cost.

    Attributes:
        stall: Seconds for which the training stood still.
        excess: Seconds by which the steps took longer until it was written, and shortly after.
        nbytes: Of its tensors.
        took: Seconds until it was written.
        noise: Standard deviation of the excess, in seconds, by the scatter of the steps.
        measured: Whether there were undisturbed steps to compare with; else the excess is what it may be at
            worst: training stood still while it was written.
    """

    stall: float
    excess: float
    nbytes: int
    took: float
    noise: float
    measured: bool = True


@dataclass(slots=True)
class Costs:
    """What snapshots and uploads cost here. A median of the last ones of about the newest one's size."""

    _snapshots: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT))
    _uploads: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add_snapshot(self, sample: Sample) -> None:
        """Adds one."""
        self._snapshots.append(replace(sample, nbytes=max(sample.nbytes, SMALL_BYTES)))

    def add_upload(self, excess: float, took: float, noise: float) -> None:
        """Adds an upload: by how much steps took longer, how long it took, and the former's deviation."""
        self._uploads.append((excess, took, noise))

    @property
    def settled(self) -> bool:
        """Whether the cost of a snapshot is known from more than the first ones of its size, or cannot be known
        better.
        """
        made = len(self._same_size())
        return made > WARM and (made > 3 * WARM or any(one.measured for one in self._alike()))

    @property
    def sure(self) -> bool:
        """Whether so from more than one: enough to speak of it."""
        return self.settled and len(self._same_size()) > WARM + 1

    def _same_size(self) -> list[Sample]:
        if not self._snapshots:
            return []
        size = self._snapshots[-1].nbytes
        return [one for one in self._snapshots if size <= one.nbytes * ALIKE and one.nbytes <= size * ALIKE]

    def _alike(self) -> list[Sample]:
        alike = self._same_size()
        alike = alike[WARM:] or alike  # the first ones are no measure for those that follow
        measured = [one for one in alike if one.measured]
        return (measured or alike)[-SAMPLES:]

    @property
    def stall(self) -> float | None:
        """For how many seconds a snapshot stops the training; None where that is not known."""
        alike = self._alike()
        return statistics.median(one.stall for one in alike) if alike else None

    @property
    def snapshot(self) -> float | None:
        """Seconds of training that a snapshot takes: the stall, and the excess of the steps."""
        alike = self._alike()
        if not alike:
            return None
        stall = statistics.median(one.stall for one in alike)
        return max(stall, _less_error([(one.stall + one.excess, one.noise) for one in alike]))

    @property
    def snapshot_takes(self) -> float:
        """Seconds until a snapshot is written; 0 where that is not known."""
        alike = self._alike()
        return statistics.median(one.took for one in alike) if alike else 0.0

    @property
    def uploads_settled(self) -> bool:
        """Whether the cost of an upload is known from enough of them."""
        return len(self._uploads) >= FEW_UPLOADS

    @property
    def upload(self) -> float | None:
        """Seconds of training that an upload takes, of the first ones the least; None where not known."""
        if not self._uploads:
            return None
        if not self.uploads_settled:
            return max(0.0, min(excess for excess, _, _ in self._uploads))
        return max(0.0, _less_error([(excess, noise) for excess, _, noise in self._uploads]))

    @property
    def upload_takes(self) -> float:
        """Seconds that an upload takes; 0 where that is not known."""
        return statistics.median(took for _, took, _ in self._uploads) if self._uploads else 0.0


def _less_error(samples: list[tuple[float, float]]) -> float:
    """The median of some values, less its standard error."""
    noise = statistics.median(noise for _, noise in samples)
    return statistics.median(value for value, _ in samples) - MEDIAN_ERROR * noise / math.sqrt(len(samples))
