"""Where trainings went on from: what the journal notes of each restore, for people. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, get_args

from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.manifest import Kind
from holdfast.runtime.names import Stem, parse_stem

MAX_RESUMPTIONS: Final = 100
"""Notes that a journal keeps, about 200 bytes each; older ones are in older manifests, while there are such."""

_TEXT: Final = 100
"""Letters read of a name or a word."""

_MOST: Final = 2**53


@dataclass(frozen=True, slots=True)
class Resumption:
    """A training call that went on from a checkpoint.

    Attributes:
        at: Unix time in seconds at which it did, by the clock of its machine.
        incarnation: Of the session that did.
        slot: The slot.
        call: Number of the training call.
        action: The decision, as `journal.Decision` has it: ``resume``, ``replay`` and so on.
        stem: The checkpoint.
        kind: Why that was taken.
        taken_at: Unix time in seconds of its snapshot, by the clock of the machine that took it.
        epoch: Whole epochs, or items of a loop, that were done at it.
        batch: Batches after these; of a loop, items of the loop in it.
    """

    at: float
    incarnation: int
    slot: str
    call: int
    action: str
    stem: Stem
    kind: Kind
    taken_at: float
    epoch: int
    batch: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "at": self.at,
            "incarnation": self.incarnation,
            "slot": self.slot,
            "call": self.call,
            "action": self.action,
            "checkpoint": str(self.stem),
            "kind": self.kind,
            "taken_at": self.taken_at,
            "epoch": self.epoch,
            "batch": self.batch,
        }


def resumptions_from_list(values: Any) -> list[Resumption]:
    """Reads the notes of a journal. What is none is passed over: no checkpoint is lost for a note's sake."""
    found = []
    for value in values[-MAX_RESUMPTIONS:] if isinstance(values, list) else ():
        with suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError, FormatInvalid):
            found.append(_from_dict(value))
    return found


def _from_dict(value: dict[str, Any]) -> Resumption:
    if value["kind"] not in get_args(Kind):
        raise ValueError(value["kind"])
    return Resumption(
        at=_time(value["at"]),
        incarnation=_count(value["incarnation"]),
        slot=str(value["slot"])[:_TEXT],
        call=_count(value["call"]),
        action=str(value["action"])[:_TEXT],
        stem=parse_stem(value["checkpoint"]),
        kind=value["kind"],
        taken_at=_time(value["taken_at"]),
        epoch=_count(value["epoch"]),
        batch=_count(value["batch"]),
    )


def _time(value: Any) -> float:
    seconds = float(value)
    if not math.isfinite(seconds) or not 0 <= seconds <= _MOST:
        raise ValueError(value)
    return seconds


def _count(value: Any) -> int:
    count = int(value)
    if not 0 <= count <= _MOST:
        raise ValueError(value)
    return count


def together(lists: Iterable[Iterable[Resumption]]) -> list[Resumption]:
    """The notes of several journals of one run, each once, oldest first."""
    found = {one for notes in lists for one in notes}
    return sorted(found, key=lambda one: (one.incarnation, one.at, one.slot, one.call))
