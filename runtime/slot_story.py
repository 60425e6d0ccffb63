"""The story of a slot: its training calls, their losses stitched across sessions, its interruptions. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal

from holdfast.runtime.curves import MOST, Place, Values, by_epoch, history_of, place_of
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.journal import Journal, Slot, TrainingCall, journal_from_dict
from holdfast.runtime.manifest import Manifest
from holdfast.runtime.names import Stem
from holdfast.runtime.resumptions import Resumption
from holdfast.runtime.retention import Stored

Key = tuple[str, int]
"""A slot's name and the number of one of its training calls."""


class Trail:
    """What manifests say, taken newest first.

    Attributes:
        journal: The newest journal.
        notes: The notes of every journal.
        stored: What is in the store, as retention sees it.
        spooled: What is only known from the local spool.
        places: The places of checkpoints in each training call.
        values: The loss and the metrics of each epoch of each call; a newer checkpoint's word counts.
    """

    def __init__(self) -> None:
        self.journal: Journal | None = None
        self._journal_of: Stem | None = None
        self.notes: list[list[Resumption]] = []
        self.stored: list[Stored] = []
        self.spooled: list[Manifest] = []
        self.places: dict[Key, dict[Stem, Place]] = defaultdict(dict)
        self.values: dict[Key, dict[int, tuple[Stem, Values]]] = defaultdict(dict)

    def take(self, manifest: Manifest, *, written: bool = True) -> None:
        """Takes a manifest in."""
        stem = manifest.stem
        try:
            journal = journal_from_dict(manifest.journal)
        except HoldfastError:
            return
        self.notes.append(journal.resumptions)
        if self._journal_of is None or self._journal_of < stem:
            self.journal, self._journal_of = journal, stem
        if written:
            sums: dict[str, int] = {}
            for name, nbytes, _ in {place for one in manifest.tensors for place in one.places}:
                sums[name] = sums.get(name, 0) + nbytes
            self.stored.append(Stored(stem, manifest.kind, manifest.slots, manifest.taken_at, sums))
        else:
            self.spooled.append(manifest)
        for name in manifest.slots:
            self._take_state(name, stem, manifest.part(name).state)

    def _take_state(self, slot: str, stem: Stem, state: dict[str, Any]) -> None:
        place = place_of(state)
        if place is None:
            return
        key = slot, place.call
        self.places[key][stem] = place
        known = self.values[key]
        for epoch, values in history_of(state).items():
            if epoch not in known or known[epoch][0] < stem:
                known[epoch] = stem, values

    def described(self, stem: Stem) -> str:
        """Where a checkpoint was taken, for people."""
        words = []
        for (slot, call), places in sorted(self.places.items()):
            if stem in places:
                one = places[stem]
                within = f" + {one.executions}" if one.executions else ""
                words.append(f"{slot}, call {call + 1}: {one.epoch}{within}")
        return "; ".join(words[:4]) + (f"; and {len(words) - 4} more" if len(words) > 4 else "")


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint on the axis of epochs.

    Attributes:
        x: Epochs since the slot's first call, with the part of one that was done.
        stem: Its name.
        milestone: Whether it is the end of a call.
        logs: Running means at it.
    """

    x: float
    stem: Stem
    milestone: bool
    logs: Values


@dataclass(slots=True)
class Return:
    """A call that went on from a checkpoint, and what is known of the work lost before it did.

    Attributes:
        note: The journal's note.
        x: Epochs since the slot's first call.
        saved_epochs: Whole epochs of this call, or items of a loop, that were not trained again.
        saved_batches: Batches after these.
        lost_epochs: Whole epochs that a newer, unused checkpoint had more: trained again at the least.
        lost: ``nothing``; ``at least`` so many epochs; ``not known``, for whatever came after the checkpoint.
        end_x: The furthest place that is known to have been reached before; ``x`` where nothing more is.
    """

    note: Resumption
    x: float = 0.0
    saved_epochs: int = 0
    saved_batches: int = 0
    lost_epochs: float = 0.0
    lost: Literal["nothing", "at least", "not known"] = "not known"
    end_x: float = 0.0

    @property
    def interrupted(self) -> bool:
        """Whether it was another session that trained before."""
        return self.note.incarnation > self.note.stem.incarnation


@dataclass(slots=True)
class CallStory:
    """One training call.

    Attributes:
        number: Its number, from 0.
        call: The journal's record of it.
        start: Epochs of the slot before it.
        first_epoch: Number of its first epoch.
        values: The loss and the metrics by epoch.
        marks: Its checkpoints.
        per_epoch: Executions of the training function in an epoch; None where that is not known.
    """

    number: int
    call: TrainingCall
    start: int
    first_epoch: int
    values: dict[int, Values]
    marks: list[Mark] = field(default_factory=list)
    per_epoch: int | None = None

    @property
    def done(self) -> int:
        """Whole epochs done in it."""
        return max(0, min(self.call.completed, MOST) - self.first_epoch)

    def x(self, epoch: int, executions: int = 0) -> float:
        """The place of a state on the axis of epochs."""
        part = min(1.0, executions / self.per_epoch) if self.per_epoch else 0.0
        return self.start + max(0, epoch - self.first_epoch) + part

    @property
    def last(self) -> Values:
        """The last values that are known."""
        return self.values[max(self.values)] if self.values else {}


@dataclass(slots=True)
class SlotStory:
    """One slot: its calls in order, and where they went on from."""

    slot: Slot
    calls: list[CallStory]
    returns: list[Return] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The slot's name."""
        return self.slot.name

    @property
    def newest(self) -> Stem:
        """Its newest checkpoint; one lower than any where it has none."""
        return self.slot.newest or Stem(0, 0, "")

    @property
    def metrics(self) -> list[str]:
        """Names of what is drawn, training and validation under one: the loss first, then in their order."""
        names: dict[str, None] = {}
        for call in self.calls:
            for values in [*call.values.values(), *(mark.logs for mark in call.marks)]:
                names |= dict.fromkeys(name.removeprefix("val_") for name in values)
        return sorted(names, key=lambda name: name != "loss")

    def call(self, number: int) -> CallStory | None:
        """The call of that number, if it is known."""
        return next((one for one in self.calls if one.number == number), None)


def slot_stories(trail: Trail) -> list[SlotStory]:
    """The slots of the newest journal with all that is known of them."""
    return [] if trail.journal is None else [_slot_story(slot, trail) for slot in trail.journal.slots]


def _slot_story(slot: Slot, trail: Trail) -> SlotStory:
    calls: list[CallStory] = []
    start = 0
    for number, call in enumerate(slot.calls, max(0, slot.first_call)):
        key = (call.slot or slot.name, number)
        known = {epoch: values for epoch, (_, values) in trail.values.get(key, {}).items()}
        if not known and call.history:
            length = max(map(len, call.history.values()))
            known = by_epoch(iter(call.history.items()), list(range(length)))
        one = CallStory(number, call, start, min(known, default=0), known)
        places = trail.places.get(key, {})
        one.per_epoch = _per_epoch(list(places.values()))
        for stem, place in sorted(places.items()):
            milestone = stem == call.milestone
            one.marks.append(Mark(one.x(place.epoch, place.executions), stem, milestone, place.logs))
        calls.append(one)
        start += max(one.done, max(known, default=0) - one.first_epoch + 1 if known else 0)
    return SlotStory(slot, calls)


def _per_epoch(places: list[Place]) -> int | None:
    """Executions of the training function in an epoch."""
    whole = [one.executions for one in places if one.tail and one.executions]
    most = max((one.executions for one in places), default=0)
    batches = [one.batches for one in places if one.batches]
    found = max(whole, default=0) or max(batches, default=0)
    return max(found, most) if found else None


def losses_of(slots: list[SlotStory], notes: list[Resumption]) -> None:
    """Adds to each slot where its calls went on from, and what is known of the work lost and saved."""
    by_name = {slot.name: slot for slot in slots}
    for note in notes:
        slot = by_name.get(note.slot)
        call = slot.call(note.call) if slot is not None else None
        if slot is None:
            continue
        one = Return(note)
        slot.returns.append(one)
        if call is None:
            one.saved_epochs, one.saved_batches = note.epoch, note.batch
        else:
            one.saved_epochs, one.saved_batches = max(0, note.epoch - call.first_epoch), note.batch
            one.x = one.end_x = call.x(note.epoch, note.batch)
            for mark in call.marks:
                earlier = note.stem < mark.stem and mark.stem.incarnation < note.incarnation
                if earlier and mark.x > one.end_x:
                    one.end_x = mark.x
            one.lost_epochs = one.end_x - one.x
        if one.lost_epochs > 0:
            one.lost = "at least"
        elif note.kind == "milestone":  # the end of the call; what another call did since is another matter
            one.lost = "nothing"
