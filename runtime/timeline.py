"""When things happened in a run, and what they take, as coordinates for a page. Pure."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Final

from holdfast.runtime.curves import moment
from holdfast.runtime.history import SessionStory, Story
from holdfast.runtime.history_text import stamp
from holdfast.runtime.names import parse_object_name

WIDTH: Final = 900.0
"""Units of the pictures' width."""

LANE: Final = 34.0
NEWEST: Final = 30
"""Sessions drawn; the older ones are in the table."""

STEPS: Final = 500
"""Steps of the storage's curve; of more, evenly chosen ones."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One session of the timeline: a bar from its beginning to the newest state known of it."""

    session: SessionStory
    y: float
    begin: float
    end: float
    ticks: tuple[float, ...]
    diamonds: tuple[float, ...]
    resumed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Sessions above one another, on one axis of time."""

    lanes: tuple[Lane, ...]
    height: float
    first: str
    last: str
    left_out: int


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes of the objects that are there now, by when they were written at the latest."""

    points: str
    most: int
    first: str
    last: str


def timeline_of(story: Story) -> Timeline | None:
    """The sessions of which a time is known; None where there is none."""
    moments = [time for one in story.sessions for time in (one.begun, one.last_at) if time is not None]
    moments += [one.taken_at for one in story.checkpoints if one.taken_at is not None]
    moments += [one.at for one in story.resumptions if moment(one.at) is not None]
    if not moments:
        return None
    low, high = min(moments), max(moments)

    def x(time: float) -> float:
        return round(8 + (WIDTH - 16) * (time - low) / ((high - low) or 1.0), 1)

    timed = [one for one in story.sessions if one.begun is not None or one.last_at is not None]
    lanes = []
    for place, one in enumerate(timed[-NEWEST:]):
        mine = [
            made
            for made in story.checkpoints
            if (made.stem.incarnation, made.stem.session) == (one.incarnation, one.session)
        ]
        times = [time for time in (one.begun, one.last_at) if time is not None]
        resumed = [note.at for note in story.resumptions if note.incarnation == one.incarnation]
        ends = [*times, *resumed]
        lanes.append(
            Lane(
                one,
                14 + LANE * place,
                x(min(times)),
                x(max(ends)),
                tuple(
                    x(made.taken_at) for made in mine if made.taken_at is not None and made.kind != "milestone"
                ),
                tuple(
                    x(made.taken_at) for made in mine if made.taken_at is not None and made.kind == "milestone"
                ),
                tuple(x(at) for at in resumed[-100:]),
            )
        )
    return Timeline(tuple(lanes), 14 + LANE * len(lanes), stamp(low), stamp(high), max(0, len(timed) - NEWEST))


def storage_of(story: Story, height: float = 120.0) -> Storage | None:
    """How the storage grew; None where there is nothing, or no time is known."""
    times = sorted((one.stem, one.taken_at) for one in story.checkpoints if one.taken_at is not None)
    stems = [stem for stem, _ in times]
    written: list[tuple[float, int]] = []
    for name, nbytes in story.objects.items():
        # One whose checkpoint is gone was written before the next one.
        place = bisect.bisect_left(stems, parse_object_name(name))
        if times:
            written.append((times[min(place, len(times) - 1)][1], nbytes))
    if not written:
        return None
    written.sort()
    low, high, total = written[0][0], written[-1][0], 0
    grown = []
    for time, nbytes in written:
        total += nbytes
        grown.append((time, total))
    step = -(-len(grown) // STEPS)
    points, before = [f"0,{height:.1f}"], height
    for time, so_far in grown[::-1][::step][::-1]:
        x = WIDTH * (time - low) / ((high - low) or 1.0)
        y = height * (1 - so_far / (total or 1))
        points += [f"{x:.1f},{before:.1f}", f"{x:.1f},{y:.1f}"]
        before = y
    points.append(f"{WIDTH:.1f},{before:.1f}")
    return Storage(" ".join(points), total, stamp(low), stamp(high))
