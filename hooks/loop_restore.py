"""Putting the state of what a loop moves back: found again, and assigned."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from holdfast.hooks import assigning, attributes, random_state
from holdfast.hooks.landing import Landing
from holdfast.hooks.loop_objects import Selection
from holdfast.hooks.loop_selection import Match, match
from holdfast.hooks.objects import Objects
from holdfast.runtime.restore import CheckpointPart

if TYPE_CHECKING:
    from holdfast.hooks.variables import NamedVariable

BESIDE = ("data/", "seeds/", "drawn/")
"""Tensors that belong to the place, not to objects."""


class Restoring:
    """A checkpoint of a loop, read and verified, on its way into live objects.

    Attributes:
        part: The checkpoint.
        changes: What differs in the definition: under a changed one, weights and what of the optimizers is the
            same are put back, and nothing else.
        variables: The live variables of the saved ones, once they are found.
    """

    def __init__(self, objects: Objects, part: CheckpointPart, changes: Sequence[str] = ()) -> None:
        self._objects, self.part, self.changes = objects, part, changes
        self._landed: dict[str, Landing] | None = None
        self.variables: list[NamedVariable] = []
        self.selection = Selection()
        self._tensors: dict[str, Any] = {}
        self._found_at, self._since = -1, objects.count

    @property
    def landed(self) -> dict[str, Landing]:
        """All its tensors; read when they are wanted.

        Raises:
            CheckpointDamaged: They do not have the bytes that the manifest promises.
        """
        if self._landed is None:
            self._landed = assigning.fetch_landings(self.part, self.part.tensors.values())
        return self._landed

    @property
    def beside(self) -> dict[str, np.ndarray[Any, Any]]:
        """Those of them that belong to the place, as bytes."""
        return {name: one.raw for name, one in self.landed.items() if name.startswith(BESIDE)}

    @property
    def state(self) -> dict[str, Any]:
        """The Python state."""
        return self.part.state

    @property
    def exact(self) -> bool:
        """Whether everything is put back."""
        return not self.changes

    def _make_generators(self) -> None:
        names = set(self.state["random"]["globals"])
        if "keras" not in sys.modules:
            names.discard("keras")
        if names:
            random_state.make_global_variables(names)

    def prepare(self, *, last: bool = False, partly: bool = False) -> bool:
        """Finds the live variables of the saved ones.

        Args:
            last: Whether to do without what cannot be found, models excepted.
            partly: Whether to do without what is not made yet, for now.

        Returns:
            Whether they were found.

        Raises:
            CheckpointDamaged: The checkpoint is.
        """
        if self._found_at == self._objects.count:
            return True
        found = match(self._objects, self.state["objects"], self._since)
        if found is None or (found.lacking and self.exact and not (last or partly)):
            return False
        self._make_generators()
        _build_optimizers(found.selection, self.state["objects"])
        found.selection.refresh()
        named, handed = found.selection.named()
        live = {one.name: one for one in named}
        wanted = []
        for name, record in self.part.tensors.items():
            if name.startswith(BESIDE) or not self._is_kept(name, found, handed):
                continue
            one = live.get(name)
            if one is not None and one.spec == record.spec:
                wanted.append(one)
            elif not partly and (not last or name.startswith("model-")):
                return False
        self._tensors = {one.name: self.landed[one.name].tensor_for(one.variable) for one in wanted}
        self.variables, self.selection = wanted, found.selection
        self._found_at = -1 if partly else self._objects.count
        return True

    def _is_kept(self, name: str, found: Match, handed: dict[str, Any]) -> bool:
        group = name.partition("/")[0]
        if self.exact or group.startswith(("model-", "variable")):
            return True
        if not group.startswith("optimizer-"):
            return False
        changed = [line for line in self.changes if line.startswith(f"optimizers.{group}")]
        rates = [attributes.learning_rate(root.thing) for root in found.selection.roots]
        is_rate = any(handed.get(name) is rate for rate in rates if rate is not None)
        return not changed or (all("learning_rate" in line for line in changed) and not is_rate)

    def told_by_place(self) -> bool:
        """Whether each object found was made where the saved one was, as far as either's place is known."""
        saved = self.state["objects"]
        places = [root.entry.origin for root in self.selection.roots]
        pairs = list(zip(places, (one for one in saved if one["kind"] != "variable"), strict=True))
        loose = [entry.origin for _, entry in self.selection.loose]
        pairs += zip(loose, (one for one in saved if one["kind"] == "variable"), strict=True)
        return all(
            not origin.kind or min(origin.ordinal, one["origin"][2]) < 0 or origin[1:] == (*one["origin"][1:],)
            for origin, one in pairs
        )

    def assign(self) -> None:
        """Gives the live variables their values; can be done again."""
        if self.variables:
            assigning.assign(self.variables, self._tensors)


def _build_optimizers(selection: Selection, saved: list[dict[str, Any]]) -> None:
    """Makes the variables of optimizers that have taken no step yet, as their first step would.

    Only where every object is told by its place: an optimizer made for another model's variables is of no use.
    """
    if not all(
        root.entry.origin[1:] == tuple(one["origin"][1:])
        for root, one in zip(selection.roots, saved, strict=False)
        if root.thing is not None
    ):
        return
    _, handed = selection.named()
    for root, one in zip(selection.roots, saved, strict=False):
        if root.thing is None or root.kind != "optimizer" or getattr(root.thing, "built", True):
            continue
        trains = [handed.get(name) for name in one.get("trains", ())]
        if trains and all(variable is not None for variable in trains):
            from keras.src import backend

            with backend.name_scope(root.thing.name, caller=root.thing):
                root.thing.build(trains)
            root.thing.built = True


def tensor_of(raw: np.ndarray[Any, Any], variable: Any) -> Any:
    """Bytes as a tensor of a variable's dtype and shape."""
    import tensorflow as tf

    kind = variable.dtype.as_numpy_dtype
    return tf.convert_to_tensor(raw.view(kind).reshape(tuple(variable.shape)))
