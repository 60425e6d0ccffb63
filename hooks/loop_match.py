"""Which training call of the past a loop is, and what defines it."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdfast.hooks import definition
from holdfast.hooks.loop_data import Stream
from holdfast.hooks.loop_objects import Root, Selection, live_roots
from holdfast.hooks.loop_selection import Match
from holdfast.hooks.objects import Objects
from holdfast.runtime.journal import Definition, Place, Slot, TrainingCall

if TYPE_CHECKING:
    from holdfast.hooks.tracking import Tracker

LOOP: Final = "custom loop"
"""The first line of a loop's structure: no model's structure begins so."""


class Group:
    """The live objects of a slot: what a loop moves. Holds none of them."""

    def __init__(self) -> None:
        self.members: list[weakref.ref[Any]] = []


class Candidate(NamedTuple):
    """A training call that may be the past of a loop.

    Attributes:
        rank: The lowest is the likeliest.
        slot: The slot.
        number: Number of the call in it.
        group: The live objects that hold the slot, if there are such.
    """

    rank: int
    slot: Slot
    number: int
    group: Group | None


def candidates(tracker: Tracker, groups: list[Group], place: Place, stream: Stream) -> list[Candidate]:
    """The training calls of the past that may be a loop's, the likeliest first."""
    holders = {tracker.bound(group).slot: group for group in groups}
    found = []
    for slot in tracker.journal.slots:
        if slot.retired or slot.structure[:1] != (LOOP,):
            continue
        group = holders.get(slot.name)
        if group is None and slot.name in tracker.bound_slots():
            continue
        number = tracker.bound(group).next_call if group is not None else 0
        call = slot.call(number)
        if call is None and number >= slot.first_call:
            continue
        held_at = tracker.bound(group).place if group is not None else None
        rank = _rank(slot, call, held_at, place, stream)
        if rank is not None:
            found.append(Candidate(rank, slot, number, group))
    # Of several at the very place the newest, whose structure the code had last; else the oldest.
    exact = [one for one in reversed(found) if one.rank <= 1]
    near = [one for one in found if one.rank > 1]
    return sorted(exact, key=lambda one: one.rank) + sorted(near, key=lambda one: one.rank)


def _rank(
    slot: Slot, call: TrainingCall | None, held_at: Place | None, place: Place, stream: Stream
) -> int | None:
    if (held_at or slot.place) == place:
        return 0 if held_at is None else 1
    cell = (held_at or slot.place).cell
    if call is not None:
        cell = call.definition.get("cell", cell)
        if call.definition.get("over") not in (None, stream.kind):
            return None
    if cell == place.cell:
        return 2 if held_at is not None else 3
    if cell.startswith("text:") and place.cell.startswith("text:"):
        return 4  # the cell was edited, and has no name of its own
    return None


def definition_of(selection: Selection, stream: Stream | None, cell: str) -> Definition:
    """What decides a loop's outcome beside the structure: optimizers, what it iterates over, the global seed.

    Its ``cell`` decides nothing; it tells the calls of one slot apart.
    """
    optimizers = [root for root in selection.roots if root.kind == "optimizer"]
    return {
        "over": stream.kind if stream is not None else None,
        "optimizers": {
            f"optimizer-{place}": optimizer_definition(root)
            for place, root in enumerate(optimizers)
            if root.thing is not None
        },
        "seed": _seed(),
        "cell": cell,
    }


def _seed() -> Any:
    seed = None
    if "keras" in sys.modules:
        from keras.src.utils import rng_utils

        seed = getattr(rng_utils, "get_random_seed", lambda: None)()
    if seed is None and "tensorflow" in sys.modules:
        from tensorflow.python.eager import context

        seed = getattr(context.context(), "_seed", None)
    return seed


def optimizer_definition(root: Root) -> Any:
    """An optimizer's definition, as it was when its first loop began: loops may change its learning rate."""
    if root.entry.definition is None:
        root.entry.definition = definition.optimizer_definition(root.thing)
    return root.entry.definition


def foreseen(objects: Objects, found: Match, stream: Stream, before: Definition) -> Definition:
    """A loop's definition, as far as it can be told before its first step.

    Args:
        objects: The registry.
        found: Its objects.
        stream: What it iterates over.
        before: The definition of the past call.
    """
    made = definition_of(found.selection, stream, "")
    matched = {id(root.thing) for root in found.selection.roots}
    spare = [root for root in live_roots(objects) if root.kind == "optimizer" and id(root.thing) not in matched]
    for name, one in before.get("optimizers", {}).items():
        if name not in made["optimizers"]:
            # Another optimizer in its place is a change; one that is not made yet is none.
            made["optimizers"][name] = optimizer_definition(spare.pop(0)) if spare else one
    return made


def without_cell(one: Definition) -> Definition:
    """What is compared of a definition."""
    return {key: value for key, value in one.items() if key != "cell"}
