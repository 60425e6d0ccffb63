"""The live objects of each slot of a loop, and what is saved of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from holdfast.hooks import capture
from holdfast.hooks.definition import fingerprint
from holdfast.hooks.inner_fits import restore_weights
from holdfast.hooks.loop_match import LOOP, Group
from holdfast.hooks.loop_objects import Selection, global_variables
from holdfast.hooks.loop_random import Generators
from holdfast.hooks.objects import KINDS, Objects, Origin
from holdfast.hooks.tracking import Tracker
from holdfast.runtime.journal import Place, Slot
from holdfast.runtime.snapshot import TensorSource


class Groups:
    """The groups of a session. Keeps none of their objects alive.

    Attributes:
        all: Those whose slot has live objects.
    """

    def __init__(self, tracker: Tracker, objects: Objects) -> None:
        self.tracker, self.objects = tracker, objects
        self.all: list[Group] = []

    def prune(self) -> None:
        """Lets go of the groups whose objects are gone or superseded: new ones may take their slots."""
        live = {id(thing) for kind in KINDS for thing, _ in self.objects.live(kind)}
        for group in list(self.all):
            if any(id(reference()) not in live for reference in group.members):
                self.all.remove(group)
                self.tracker.bound(group).slot = ""

    def let_go_at(self, place: Place) -> None:
        """Lets go of groups without objects, where what is no object of ours is new, as a TF1 session is."""
        for group in list(self.all):
            if not group.members and self.tracker.bound(group).place == place:
                self.all.remove(group)
                self.tracker.bound(group).slot = ""

    def remember(self, group: Group, selection: Selection) -> None:
        """Notes which live objects a slot has."""
        things = [root.thing for root in selection.roots] or [variable for variable, _ in selection.loose]
        group.members = [weakref.ref(thing) for thing in things if thing is not None]
        if group not in self.all:
            self.all.append(group)

    def group_of(self, selection: Selection) -> Group | None:
        """The group of the same live objects that has a slot already."""
        self.prune()
        roots = {id(root.thing) for root in selection.roots}
        loose = {id(variable) for variable, _ in selection.loose}
        for group in self.all:
            members = {id(reference()) for reference in group.members}
            same = members == roots if roots else bool(members & loose)
            if same and self.tracker.slot_of(group) is not None:
                return group
        return None

    def slot_for(
        self, selection: Selection, group: Group, make: Callable[[tuple[str, ...]], Slot]
    ) -> tuple[Group, Slot]:
        """The slot of what a loop moves, and the group that holds it.

        Args:
            selection: What it moves.
            group: The loop's own group, for a slot that nobody has yet.
            make: Makes a slot of that structure.
        """
        lines = (LOOP, *selection.lines())
        slot = self.tracker.slot_of(group)
        if slot is None and (other := self.group_of(selection)) is not None:
            group, slot = other, self.tracker.slot_of(other)
        if slot is None:
            slot = make(lines)
            self.tracker.bind(group, slot)
        self.remember(group, selection)
        if slot.structure != lines:
            slot.structure, slot.fingerprint = lines, fingerprint(lines)
        return group, slot

    @staticmethod
    def state_of(
        selection: Selection, generators: Generators, begun_at: int | None = None
    ) -> tuple[dict[str, Any], list[TensorSource]]:
        """The state of what a loop moves, without its place; and the sources of its tensors.

        Args:
            selection: What it moves.
            generators: The generators in its code's variables.
            begun_at: How many objects had been made when the outermost loop began; None where none has.
        """
        named, _ = selection.named()
        state = {
            "objects": selection.describe(begun_at),
            "random": {**generators.capture(), "globals": [name for name, _ in global_variables()]},
            "labels": {one.name: one.label for one in named},
        }
        return state, capture.references(named)

    # --- `fit` within a loop ----------------------------------------------------------------

    def fits(self, before: int) -> list[Any]:
        """The models, made before that number, that were fitted: where, how often, and their slots."""
        found = []
        for model, entry in self.objects.live("model"):
            if entry.number <= before and self.tracker.slot_of(model) is not None:
                bound = self.tracker.bound(model)
                found.append([list(entry.origin), list(bound.place), bound.next_call, bound.slot])
        return found

    def restore_fits(self, saved: Iterable[Any]) -> None:
        """The calls of `fit` in the items that are not handed out again count as made, and their models go on
        from the end of the last of them.
        """
        by_origin = {entry.origin: model for model, entry in self.objects.live("model")}
        for origin, place, number, *slot in saved:
            model = by_origin.get(Origin(*origin))
            if model is None:
                continue
            bound = self.tracker.bound(model)
            if bound.next_call >= int(number):
                continue
            if not bound.slot:
                bound.place = Place(*place)
            bound.next_call, bound.behind = int(number), "".join(slot)
            restore_weights(self.tracker, model, bound)
