"""The journal: slots and their training calls, and what the next call does with them. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.names import Stem, parse_stem

MAX_CALLS: Final = 200
"""Training calls remembered of one slot; older ones are forgotten, so a journal stays bounded."""

Definition = dict[str, Any]
"""What decides a call's outcome beside the structure: plain JSON, compared key by key."""


class Place(NamedTuple):
    """Where a model is first used: a cell, or a script, and which one of its models it is."""

    cell: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class TrainingCall:
    """One `fit` of a slot.

    Attributes:
        definition: What it trained, as `hooks.definition` describes it.
        requested: The number of epochs it was asked for, in all.
        completed: Whole epochs done.
        status: ``done`` once the call returned.
        stopped_early: It ended itself before ``requested``, as EarlyStopping does.
        milestone: The checkpoint at its end, if done.
    """

    definition: Definition
    requested: int
    completed: int = 0
    status: Literal["open", "done"] = "open"
    stopped_early: bool = False
    milestone: Stem | None = None


@dataclass(slots=True)
class Slot:
    """One root model of a run, across sessions.

    Attributes:
        name: Its name in manifests.
        fingerprint: Hash of its structure.
        structure: The structure in lines that people can read and compare.
        place: Where it was last matched.
        newest: Its newest checkpoint or snapshot.
        calls: Its training calls in order.
        first_call: Number of the first of ``calls``, where older ones were forgotten.
        retired: The user asked for a fresh one, or a changed experiment took its place.
    """

    name: str
    fingerprint: str
    structure: tuple[str, ...]
    place: Place
    newest: Stem | None = None
    calls: list[TrainingCall] = field(default_factory=list)
    first_call: int = 0
    retired: bool = False

    @property
    def end(self) -> int:
        """Number of the call that would come next."""
        return self.first_call + len(self.calls)

    def call(self, number: int) -> TrainingCall | None:
        """The call of that number, if it was made and is remembered."""
        index = number - self.first_call
        return self.calls[index] if 0 <= index < len(self.calls) else None

    def record(self, number: int, call: TrainingCall) -> None:
        """Writes the call of that number; calls after it are forgotten, since it changes them."""
        index = max(0, number - self.first_call)
        self.calls[index:] = [call]
        if (surplus := len(self.calls) - MAX_CALLS) > 0:
            del self.calls[:surplus]
            self.first_call += surplus


@dataclass(slots=True)
class Journal:
    """All slots of a run, oldest first."""

    slots: list[Slot] = field(default_factory=list)

    def slot(self, name: str) -> Slot | None:
        """The slot of that name."""
        return next((slot for slot in self.slots if slot.name == name), None)

    def match(self, fingerprint: str, place: Place, bound: Collection[str]) -> Slot | None:
        """Finds the slot of a model at its first use.

        Same place first, then same cell, then the oldest one unmatched.

        Args:
            fingerprint: The model's.
            place: Where it is used.
            bound: Names of slots that a live model of this session holds already.
        """
        alike = [slot for slot in self.slots if slot.fingerprint == fingerprint and not slot.retired]
        for slot in alike:
            if slot.place == place:
                return slot
        free = [slot for slot in alike if slot.name not in bound]
        for slot in free:
            if slot.place.cell == place.cell:
                return slot
        return free[0] if free else None

    def at(self, place: Place) -> Slot | None:
        """The newest slot in use at a place, whatever its structure."""
        return next((slot for slot in reversed(self.slots) if slot.place == place and not slot.retired), None)

    def add(self, fingerprint: str, structure: tuple[str, ...], place: Place) -> Slot:
        """Makes a new slot."""
        slot = Slot(f"slot-{len(self.slots):04d}", fingerprint, structure, place)
        self.slots.append(slot)
        return slot

    def stems(self) -> frozenset[Stem]:
        """Every checkpoint that the journal names."""
        found = {slot.newest for slot in self.slots} | {
            call.milestone for slot in self.slots for call in slot.calls
        }
        return frozenset(stem for stem in found if stem is not None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"slots": [_slot_to_dict(slot) for slot in self.slots]}


def _slot_to_dict(slot: Slot) -> dict[str, Any]:
    return {
        "name": slot.name,
        "fingerprint": slot.fingerprint,
        "structure": list(slot.structure),
        "place": [slot.place.cell, slot.place.ordinal],
        "newest": str(slot.newest) if slot.newest else None,
        "first_call": slot.first_call,
        "retired": slot.retired,
        "calls": [
            {
                "definition": call.definition,
                "requested": call.requested,
                "completed": call.completed,
                "status": call.status,
                "stopped_early": call.stopped_early,
                "milestone": str(call.milestone) if call.milestone else None,
            }
            for call in slot.calls
        ],
    }


def journal_from_dict(value: dict[str, Any]) -> Journal:
    """Reads a journal.

    Raises:
        FormatInvalid: It is not one.
    """
    try:
        return Journal([_slot_from_dict(entry) for entry in value["slots"]])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatInvalid(f"Not a journal: {error!r}") from None


def _slot_from_dict(entry: dict[str, Any]) -> Slot:
    cell, ordinal = entry["place"]
    return Slot(
        name=str(entry["name"]),
        fingerprint=str(entry["fingerprint"]),
        structure=tuple(str(line) for line in entry["structure"]),
        place=Place(str(cell), int(ordinal)),
        newest=parse_stem(entry["newest"]) if entry["newest"] else None,
        calls=[_call_from_dict(call) for call in entry["calls"]],
        first_call=int(entry["first_call"]),
        retired=bool(entry["retired"]),
    )


def _call_from_dict(entry: dict[str, Any]) -> TrainingCall:
    return TrainingCall(
        definition=dict(entry["definition"]),
        requested=int(entry["requested"]),
        completed=int(entry["completed"]),
        status="done" if entry["status"] == "done" else "open",
        stopped_early=bool(entry["stopped_early"]),
        milestone=parse_stem(entry["milestone"]) if entry["milestone"] else None,
    )


Action = Literal["train", "resume", "resume changed", "train on", "replay", "new experiment"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a training call does about its slot's past.

    Attributes:
        action: ``train`` from where the model stands; ``resume`` at the very batch; ``resume
            changed``, the weights under a new definition; ``train on`` from the end of a done
            call; ``replay`` it without a step; ``new experiment`` in a fresh slot.
        changes: What differs in the definition, for people.
    """

    action: Action
    changes: tuple[str, ...] = ()


def decide(
    past: TrainingCall | None,
    definition: Definition,
    epochs: int,
    *,
    same_object: bool,
    continue_changed: bool = False,
) -> Decision:
    """The resume table.

    Args:
        past: The matching call of the slot's past, None if there is none.
        definition: The present call's.
        epochs: How many epochs in all it asks for.
        same_object: Whether the model is the same live object that made ``past``.
        continue_changed: The user asked to go on with a done training under a new definition.
    """
    if past is None:
        return Decision("train")
    changes = differences(past.definition, definition)
    if past.status == "open":
        return Decision("resume changed", changes) if changes else Decision("resume")
    if same_object:
        return Decision("train")
    if changes and not continue_changed:
        return Decision("new experiment", changes)
    if changes:
        return Decision("resume changed", changes)
    # A training that ended itself, at an early stop, would end there with more epochs too.
    if epochs > past.completed and not past.stopped_early:
        return Decision("train on")
    return Decision("replay")


def differences(old: Definition, new: Definition) -> tuple[str, ...]:
    """The keys in which two definitions differ, each as ``key: old → new``."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines += [f"{key}.{line}" for line in differences(before, after)]
        else:
            lines.append(f"{key}: {_brief(before)} → {_brief(after)}")
    return tuple(lines)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def structure_difference(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of two structures that differ, ``-`` for the old and ``+`` for the new."""
    lines = difflib.unified_diff(old, new, lineterm="", n=0)
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))


def finish(call: TrainingCall, completed: int, *, stopped_early: bool, milestone: Stem) -> TrainingCall:
    """The call once it has returned."""
    return replace(call, completed=completed, status="done", stopped_early=stopped_early, milestone=milestone)
