"""The journal: slots and their training calls, and what the next call does with them. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Final, Literal, NamedTuple

from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.names import Stem, parse_stem
from holdfast.runtime.resumptions import MAX_RESUMPTIONS, Resumption, resumptions_from_list

MAX_CALLS: Final = 200
"""Training calls remembered of one slot; older ones are forgotten, so a journal stays bounded."""

MAX_SLOTS: Final = 1000
"""Slots remembered; the oldest are forgotten."""

FEW_CALLS: Final = 8
"""Training calls remembered of a slot while there are many of them."""

MANY_SLOTS: Final = 50

STREAM_CALLS: Final = 20
"""From so many calls of one slot on, its data are a stream: they differ from call to call by nature, as in
reinforcement learning, and decide nothing."""

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
        milestone: The checkpoint at its end, if done and if there is one of its own.
        history: What `fit` returned in its History, where that is short: for calls without a milestone.
        slot: The slot that the milestone is of, where that is another one: the training before this experiment.
    """

    definition: Definition
    requested: int
    completed: int = 0
    status: Literal["open", "done"] = "open"
    stopped_early: bool = False
    milestone: Stem | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    slot: str = ""


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
        retired: 0 while it is in use. Else the how-manieth it was of the run to be put aside, since the user
            asked for a fresh one, or a changed experiment took its place.
        early: Cells in which its model was used before its first training call.
    """

    name: str
    fingerprint: str
    structure: tuple[str, ...]
    place: Place
    newest: Stem | None = None
    calls: list[TrainingCall] = field(default_factory=list)
    first_call: int = 0
    retired: int = 0
    early: tuple[str, ...] = ()

    @property
    def is_stream(self) -> bool:
        """Whether it is trained call by call in a loop, each with other data."""
        return self.end >= STREAM_CALLS

    @property
    def end(self) -> int:
        """Number of the call that would come next."""
        return self.first_call + len(self.calls)

    def call(self, number: int) -> TrainingCall | None:
        """The call of that number, if it was made and is remembered."""
        index = number - self.first_call
        return self.calls[index] if 0 <= index < len(self.calls) else None

    def inherit(self, other: Slot, number: int) -> None:
        """Takes over another slot's calls before that one, with which a changed experiment begins."""
        self.calls = [
            replace(call, slot=call.slot or other.name) for call in other.calls[: number - other.first_call]
        ]
        self.first_call = other.first_call

    def amend(self, number: int, call: TrainingCall) -> None:
        """Writes the call of that number again, where it is remembered; those after it stay."""
        if self.call(number) is not None:
            self.calls[number - self.first_call] = call

    def record(self, number: int, call: TrainingCall) -> None:
        """Writes the call of that number; calls after it are forgotten, since it changes them."""
        index = max(0, number - self.first_call)
        self.calls[index:] = [call]
        self.forget(MAX_CALLS)

    def forget(self, keep: int) -> None:
        """Forgets all but the newest calls."""
        if (surplus := len(self.calls) - keep) > 0:
            del self.calls[:surplus]
            self.first_call += surplus


@dataclass(slots=True)
class Journal:
    """All slots of a run, oldest first, and the newest notes of where their calls went on from."""

    slots: list[Slot] = field(default_factory=list)
    resumptions: list[Resumption] = field(default_factory=list)

    def slot(self, name: str) -> Slot | None:
        """The slot of that name."""
        return next((slot for slot in self.slots if slot.name == name), None)

    def match(
        self, fingerprint: str, place: Place, bound: Collection[str], held: Collection[str] = ()
    ) -> Slot | None:
        """Finds the slot of a model at its first use.

        Same place first, then same cell, then the oldest one unmatched.

        Args:
            fingerprint: The model's.
            place: Where it is used.
            bound: Names of slots that a live model of this session holds already.
            held: Names of slots that the program itself still uses: not even the same place gives one.
        """
        alike = [
            slot
            for slot in self.slots
            if slot.fingerprint == fingerprint and not slot.retired and slot.name not in held
        ]
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
        number = int(self.slots[-1].name.rpartition("-")[2]) + 1 if self.slots else 0
        same = next((slot for slot in reversed(self.slots) if slot.structure == structure), None)
        slot = Slot(f"slot-{number:04d}", fingerprint, same.structure if same else structure, place)
        self.slots.append(slot)
        if len(self.slots) > MANY_SLOTS:
            self.slots[-MANY_SLOTS - 1].forget(FEW_CALLS)
        while len(self.slots) > MAX_SLOTS:  # first of all those that hold nothing: loops that only looked
            self.slots.remove(next((one for one in self.slots[:-1] if len(one.structure) < 2), self.slots[0]))
        return slot

    def in_use(self) -> list[Slot]:
        """The slots that are not put aside."""
        return [slot for slot in self.slots if not slot.retired]

    def note(self, resumption: Resumption) -> None:
        """Notes where a call went on from; of too many notes the oldest go."""
        self.resumptions = [*self.resumptions, resumption][-MAX_RESUMPTIONS:]

    def retire(self, slot: Slot) -> None:
        """Puts a slot aside: nothing is matched to it any more; its checkpoints stay."""
        slot.retired = 1 + max((one.retired for one in self.slots), default=0)

    def revive(self, slots: Collection[Slot]) -> list[Slot]:
        """Goes back to what was put aside last, and puts aside what took its place.

        Args:
            slots: Those whose places it is done for; of several of one structure at one place it is done once.

        Returns:
            The slots that are in use again.
        """
        revived = []
        for fingerprint, place in {(slot.fingerprint, slot.place): None for slot in slots}:
            alike = [slot for slot in self.slots if (slot.fingerprint, slot.place) == (fingerprint, place)]
            aside = max(alike, key=lambda slot: slot.retired)
            if aside.retired:
                for slot in alike:
                    if not slot.retired:
                        self.retire(slot)
                aside.retired = 0
                revived.append(aside)
        return revived

    def same_definition(self, definition: Definition) -> Definition:
        """The definition, or one equal to it that the newest calls have already, so that it is kept once."""
        for slot in self.slots[-2:]:
            if slot.calls and slot.calls[-1].definition == definition:
                return slot.calls[-1].definition
        return definition

    @property
    def remembered(self) -> int:
        """How many training calls it holds, of all slots."""
        return sum(len(slot.calls) for slot in self.slots)

    def stems(self) -> frozenset[Stem]:
        """Every checkpoint that the journal names."""
        found = {slot.newest for slot in self.slots} | {
            call.milestone for slot in self.slots for call in slot.calls
        }
        return frozenset(stem for stem in found if stem is not None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        shared = _Shared()
        slots = [_slot_to_dict(slot, shared) for slot in self.slots]
        value = {
            "slots": slots,
            "structures": shared.structures,
            "definitions": shared.definitions,
            "bases": shared.bases,
        }
        if self.resumptions:
            value["resumptions"] = [one.to_dict() for one in self.resumptions]
        return value


class _Shared:
    """What many slots and calls have in common, written once."""

    def __init__(self) -> None:
        self.structures: list[list[str]] = []
        self.definitions: list[Definition] = []
        self.bases: list[int | None] = []
        self._places: dict[int, int] = {}
        self._whole = 0

    def structure(self, lines: tuple[str, ...]) -> int:
        """The number of a structure."""
        if id(lines) not in self._places:
            self._places[id(lines)] = len(self.structures)
            self.structures.append(list(lines))
        return self._places[id(lines)]

    def definition(self, definition: Definition) -> int:
        """The number of a definition; of one like the last whole one, only the difference is written."""
        number = self._places.setdefault(id(definition), len(self.definitions))
        if number == len(self.definitions):
            whole = self.definitions[self._whole] if self.definitions else None
            if whole is not None and whole.keys() == definition.keys():
                self.bases.append(self._whole)
                definition = {key: value for key, value in definition.items() if value != whole[key]}
            else:
                self._whole = len(self.definitions)
                self.bases.append(None)
            self.definitions.append(definition)
        return number


def _slot_to_dict(slot: Slot, shared: _Shared) -> dict[str, Any]:
    return {
        "name": slot.name,
        "fingerprint": slot.fingerprint,
        "structure": shared.structure(slot.structure),
        "place": [slot.place.cell, slot.place.ordinal],
        "newest": str(slot.newest) if slot.newest else None,
        "first_call": slot.first_call,
        "retired": slot.retired,
        "early": list(slot.early),
        "calls": [
            {
                "definition": shared.definition(call.definition),
                "requested": call.requested,
                "completed": call.completed,
                "status": call.status,
                "stopped_early": call.stopped_early,
                "milestone": str(call.milestone) if call.milestone else None,
                **({"history": call.history} if call.history else {}),
                **({"slot": call.slot} if call.slot else {}),
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
        structures = [tuple(str(line) for line in lines) for lines in value.get("structures", ())]
        definitions = _whole_definitions(value.get("definitions", ()), value.get("bases", ()))
        slots = [_slot_from_dict(entry, structures, definitions) for entry in value["slots"]]
        return Journal(slots, resumptions_from_list(value.get("resumptions")))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatInvalid(f"Not a journal: {error!r}") from None


def _whole_definitions(entries: Iterable[Definition], bases: Iterable[int | None]) -> list[Definition]:
    """The definitions in full: each has what its base has, but for what it says itself."""
    whole: list[Definition] = []
    for entry, base in zip_longest(entries, bases):
        whole.append({**(whole[int(base)] if base is not None else {}), **entry})
    return whole


def _slot_from_dict(
    entry: dict[str, Any], structures: list[tuple[str, ...]], definitions: list[Definition]
) -> Slot:
    cell, ordinal = entry["place"]
    int(str(entry["name"]).rpartition("-")[2])  # the next one's name is counted from it
    return Slot(
        name=str(entry["name"]),
        fingerprint=str(entry["fingerprint"]),
        structure=structures[int(entry["structure"])],
        place=Place(str(cell), int(ordinal)),
        newest=parse_stem(entry["newest"]) if entry["newest"] else None,
        calls=[_call_from_dict(call, definitions) for call in entry["calls"]],
        first_call=int(entry["first_call"]),
        retired=max(0, int(entry["retired"])),
        early=tuple(str(cell) for cell in entry["early"]),
    )


def _call_from_dict(entry: dict[str, Any], definitions: list[Definition]) -> TrainingCall:
    history = dict(entry.get("history", {}))
    return TrainingCall(
        definition=definitions[int(entry["definition"])],
        requested=int(entry["requested"]),
        completed=int(entry["completed"]),
        status="done" if entry["status"] == "done" else "open",
        stopped_early=bool(entry["stopped_early"]),
        milestone=parse_stem(entry["milestone"]) if entry["milestone"] else None,
        history={str(key): [float(value) for value in values] for key, values in history.items()},
        slot=str(entry.get("slot", "")),
    )


Action = Literal["train", "resume", "resume changed", "train on", "replay", "skip", "new experiment"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a training call does about its slot's past.

    Attributes:
        action: ``train`` from where the model stands; ``resume`` at the very batch; ``resume
            changed``, the weights under a new definition; ``train on`` from the end of a done
            call; ``replay`` it without a step; ``skip`` it, as one of many that have no milestone of their own;
            ``new experiment`` in a fresh slot.
        changes: What differs in the definition, for people.
    """

    action: Action
    changes: tuple[str, ...] = ()


def decide(
    past: TrainingCall | None,
    definition: Definition,
    epochs: int,
    *,
    stream: bool = False,
    continue_changed: bool = False,
) -> Decision:
    """The resume table.

    Args:
        past: The matching call of the slot's past, None if there is none.
        definition: The present call's.
        epochs: How many epochs in all it asks for.
        stream: Whether the slot is trained call by call, each with other data, which then decide nothing.
        continue_changed: The user asked to go on with a done training under a new definition.
    """
    if past is None:
        return Decision("train")
    old, new = past.definition, definition
    if stream:
        old, new = ({key: one[key] for key in one if key != "data"} for one in (old, new))
    changes = differences(old, new)
    if past.status == "open":
        return Decision("resume changed", changes) if changes else Decision("resume")
    if changes and not continue_changed:
        return Decision("new experiment", changes)
    if changes:
        return Decision("resume changed", changes)
    if past.milestone is None:
        return Decision("skip")
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


def finish(
    call: TrainingCall, completed: int, *, stopped_early: bool, history: dict[str, list[float]] | None = None
) -> TrainingCall:
    """The call once it has returned; its milestone is noted when there is one."""
    return replace(call, completed=completed, status="done", stopped_early=stopped_early, history=history or {})
