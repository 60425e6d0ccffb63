"""When to take a snapshot and when to persist one. Pure: every function is given the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.runtime.manifest import Kind
from holdfast.runtime.names import Stem

BURST: Final = 50.0
"""Milestones of short calls that are written one after another."""

REFILL_SECONDS: Final = 15.0
"""Seconds for one more of them."""

NEARLY_DUE: Final = 0.75
"""At the end of an epoch a snapshot is taken from this share of its interval on: an epoch's end
is the cheapest place to resume from, and the work lost stays within the interval."""


@dataclass(slots=True)
class Burst:
    """How many milestones of short calls may be written at once: a bucket of them, slowly filled again.

    A notebook with a handful of short trainings has the end of each; a loop of thousands has them at the
    schedule's pace.

    Attributes:
        left: How many may be written now.
        at: When that was, in seconds of any steady clock; None before the first.
    """

    left: float = BURST
    at: float | None = None

    def take(self, now: float) -> bool:
        """Takes one of them, if there is one left."""
        passed = 0.0 if self.at is None else max(0.0, now - self.at)
        self.left = min(BURST, self.left + passed / REFILL_SECONDS)
        self.at = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Waiting:
    """A committed snapshot in the spool that the store does not have."""

    stem: Stem
    kind: Kind
    slots: tuple[str, ...]


def superseded(waiting: Sequence[Waiting]) -> set[Stem]:
    """The snapshots that nobody needs: a newer one has the same slots, and they are no milestone."""
    covered: set[str] = set()
    stale = set()
    for snapshot in sorted(waiting, key=lambda snapshot: snapshot.stem, reverse=True):
        if snapshot.kind != "milestone" and covered.issuperset(snapshot.slots):
            stale.add(snapshot.stem)
        covered.update(snapshot.slots)
    return stale


def next_to_persist(
    waiting: Sequence[Waiting], now: float, last_persisted: float, interval: float, *, draining: bool
) -> Waiting | None:
    """The snapshot to upload now, oldest first, or None.

    Args:
        waiting: The snapshots that the store does not have.
        now: Time in seconds, of any steady clock.
        last_persisted: When the last upload was begun, by the same clock.
        interval: Seconds between two scheduled uploads.
        draining: Whether the kernel is gone, so that what is left goes out at once.
    """
    stale = superseded(waiting)
    due = draining or now - last_persisted >= interval
    # What was asked for, and was superseded while another upload ran, is owed by what superseded it.
    owed = [one for one in waiting if one.stem in stale and one.kind != "scheduled"]

    def urgent(one: Waiting) -> bool:
        return one.kind != "scheduled" or any(
            other.stem < one.stem and not set(other.slots).isdisjoint(one.slots) for other in owed
        )

    wanted = [one for one in waiting if one.stem not in stale and (due or urgent(one))]
    return min(wanted, key=lambda one: one.stem, default=None)
