"""Which checkpoints a store keeps, and which objects go with those that leave. Pure.

The newest few of each slot are kept, every milestone, and a thinned history: of the last so many hours and
days that have one, the newest, as the backup program restic's ``forget`` does it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.runtime.manifest import Kind
from holdfast.runtime.names import Stem, parse_object_name

HOUR: Final = 3600
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user wants kept.

    Attributes:
        last: Newest checkpoints of each slot.
        hourly: Hours of each slot's history of which the newest checkpoint is kept.
        daily: Days of the same.
        max_bytes: Bytes that the objects may take, 0 for no bound. What nobody may need again goes first,
            then older milestones; the newest checkpoint of each slot never goes.
    """

    last: int = 3
    hourly: int = 6
    daily: int = 7
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint in the store, as far as retention needs to know it.

    Attributes:
        stem: Its name.
        kind: Why it was made.
        slots: Slots whose state it holds.
        taken_at: Unix time in seconds, by the clock of the machine that made it; only thins the history.
        objects: Names of the objects it needs, each with the bytes it needs of it.
        sound: Whether it can be restored, as far as is known. One that cannot goes first, once ``Policy.last``
            sound ones are newer.
    """

    stem: Stem
    kind: Kind
    slots: tuple[str, ...]
    taken_at: float
    objects: Mapping[str, int]
    sound: bool = True


@dataclass(frozen=True, slots=True)
class Deletions:
    """What to delete, manifests first: an object goes only when no manifest names it.

    Attributes:
        manifests: Checkpoints to delete, oldest first.
        objects: Objects to delete after them.
        bytes_kept: Bytes of the objects that stay.
        over: ``max_bytes`` cannot be kept: what is protected alone takes more.
    """

    manifests: tuple[Stem, ...]
    objects: tuple[str, ...]
    bytes_kept: int
    over: bool


def choose_deletions(
    stored: Iterable[Stored],
    objects: Mapping[str, int],
    policy: Policy,
    *,
    needed: Collection[Stem] = (),
    retired: Collection[str] = (),
) -> Deletions:
    """Decides what leaves the store.

    Args:
        stored: Every checkpoint of the run.
        objects: Every object of the run, orphans of broken uploads included, with its size in bytes.
        policy: What the user wants kept.
        needed: Checkpoints that the journal names, kept whatever their age while there is room.
        retired: Slots that no training goes on with; under ``max_bytes`` they are not protected.
    """
    everything = sorted(stored, key=lambda one: one.stem, reverse=True)
    checkpoints = [one for one in everything if one.sound]
    recent, history = _recent(checkpoints, policy.last), _history(checkpoints, policy)
    outlived = checkpoints[policy.last - 1].stem if len(checkpoints) >= policy.last else None
    kept = {
        one.stem: one
        for one in checkpoints
        if one.stem in recent or one.stem in history or one.kind == "milestone" or one.stem in needed
    }
    kept |= {one.stem: one for one in everything if not one.sound and (outlived is None or one.stem > outlived)}

    def rank(one: Stored) -> tuple[int, Stem]:
        """The least wanted first."""
        if not one.sound:
            return -1, one.stem
        if one.stem in needed:
            return 3, one.stem
        if one.kind == "milestone":
            return 2, one.stem
        return int(one.stem in recent), one.stem

    used: dict[str, int] = {}
    for one in kept.values():
        for name in one.objects:
            used[name] = used.get(name, 0) + 1
    total = sum(objects.get(name, 0) for name in used)
    over = policy.max_bytes and total > policy.max_bytes
    protected = _recent(checkpoints, 1, but=retired) | {one.stem for one in checkpoints[:1]} if over else ()
    for one in sorted(kept.values(), key=rank) if over else ():
        if total <= policy.max_bytes:
            break
        if one.stem in protected:
            continue
        del kept[one.stem]
        for name in one.objects:
            used[name] -= 1
            if not used[name]:
                del used[name]
                total -= objects.get(name, 0)
    newest = max(kept, default=None)
    # An object as new as every manifest may belong to an upload whose manifest is still to come.
    dead = [
        name for name in objects if name not in used and newest is not None and parse_object_name(name) < newest
    ]
    gone = sorted(one.stem for one in everything if one.stem not in kept)
    return Deletions(
        tuple(gone), tuple(sorted(dead)), total, bool(policy.max_bytes) and total > policy.max_bytes
    )


def reasons(
    stored: Iterable[Stored], policy: Policy, *, needed: Collection[Stem] = ()
) -> dict[Stem, tuple[str, ...]]:
    """Why each checkpoint would be kept, ``max_bytes`` aside; for people. No reason: it would go.

    Args:
        stored: Every readable checkpoint of the run.
        policy: What the user wants kept.
        needed: Checkpoints that the journal names.
    """
    everything = sorted(stored, key=lambda one: one.stem, reverse=True)
    checkpoints = [one for one in everything if one.sound]
    kept = (
        (f"one of the newest {policy.last} of a slot", _recent(checkpoints, policy.last)),
        ("milestone", {one.stem for one in checkpoints if one.kind == "milestone"}),
        ("named by the journal", set(needed)),
        ("newest of an hour or a day", _history(checkpoints, policy)),
    )
    return {one.stem: tuple(reason for reason, stems in kept if one.stem in stems) for one in everything}


def _recent(newest_first: Iterable[Stored], count: int, but: Collection[str] = ()) -> set[Stem]:
    """The newest ``count`` checkpoints of each slot."""
    seen: dict[str, int] = {}
    found = set()
    for one in newest_first:
        slots = [slot for slot in one.slots if slot not in but]
        if any(seen.get(slot, 0) < count for slot in slots):
            found.add(one.stem)
        for slot in slots:
            seen[slot] = seen.get(slot, 0) + 1
    return found


def _history(newest_first: Iterable[Stored], policy: Policy) -> set[Stem]:
    """The newest checkpoint of each of a slot's last hours and days."""
    seen: set[tuple[str, int, int]] = set()
    left: dict[tuple[str, int], int] = {}
    found = set()
    for one in newest_first:
        for slot in one.slots:
            for seconds, count in ((HOUR, policy.hourly), (DAY, policy.daily)):
                bucket = (slot, seconds, int(one.taken_at // seconds))
                if bucket not in seen and left.setdefault((slot, seconds), count) > 0:
                    seen.add(bucket)
                    left[slot, seconds] -= 1
                    found.add(one.stem)
    return found


def mostly_dead(stored: Iterable[Stored], objects: Mapping[str, int]) -> frozenset[str]:
    """The objects of which no checkpoint needs even half.

    The next checkpoint writes what it needs of them anew, so that they can go with the older ones.
    """
    live: dict[str, int] = {}
    for one in stored:
        for name, count in one.objects.items():
            live[name] = max(count, live.get(name, 0))
    return frozenset(name for name, count in live.items() if 2 * count < objects.get(name, 0))
