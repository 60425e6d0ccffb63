"""Trainings within a training, run by its callbacks: how far each was, so that a resume goes on there."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from holdfast.hooks import assigning
from holdfast.hooks.engine import KERAS_3, Engine
from holdfast.hooks.objects import Origin
from holdfast.hooks.resumable import followed_by
from holdfast.hooks.variables import NamedVariable
from holdfast.hooks.weak import WeakIdentityMap
from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, RestoreFailed
from holdfast.runtime.journal import Place
from holdfast.runtime.restore import CheckpointPart

if TYPE_CHECKING:
    from holdfast.hooks.tracking import Bound, Tracker

log = logging.getLogger("holdfast.hooks")

WEIGHTS: Final = ("model", "attributes")

STATE: Final = (*WEIGHTS, "optimizer")
"""Groups of variables that go from one training of a model to the next; random numbers are the outer one's, and
metrics begin at nought."""

OUT_OF_STEP = (
    "a training in the callbacks of this one cannot be found again ({}); it begins where its model stands, "
    "as if none had been run in the epochs that are done"
)


class InnerFits:
    """The trainings that run within one `fit` from when every callback has begun."""

    def __init__(self, tracker: Tracker, outer: Any) -> None:
        self.tracker, self._outer = tracker, weakref.ref(outer)
        loops = followed_by()
        self._objects = loops.objects if loops is not None else None
        self._made = self._objects.count if self._objects is not None else 0
        self._places = tracker.cells.ordinal
        self._taken = tracker.taken_in_cell()
        self._before: WeakIdentityMap[int] = WeakIdentityMap()
        for model, bound in tracker.models():
            self._before[model] = bound.next_call

    def capture(self) -> dict[str, Any] | None:
        """How far they are, as JSON; None where there are none."""
        own = self.tracker.bound(self._outer()).slot
        taken = sorted(self.tracker.taken_in_cell() - self._taken - {own})
        fits = []
        for model, bound in self.tracker.models():
            if not bound.slot or bound.slot == own or bound.next_call <= (self._before.get(model) or 0):
                continue
            entry = self._objects.entry("model", model) if self._objects is not None else None
            made_within = entry is not None and entry.number > self._made
            if made_within and bound.next_call == 1:
                continue  # another one is made in the next epoch
            origin = list(entry.origin) if entry is not None and not made_within else None
            fits.append([origin, list(bound.place), bound.next_call, bound.slot])
        if not fits and not taken:
            return None
        return {"fits": fits, "taken": taken, "places": self.tracker.cells.ordinal - self._places}

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Puts those of live models where they were; those of the epochs that are done are not run again."""
        if saved is None:
            return
        for origin, place, number, slot in saved["fits"]:
            model = self._model_of(origin)
            if model is None:
                reason = "its model is not there, was made in a callback, or is one of Keras 2"
                report.say_once("inner fit", OUT_OF_STEP.format(reason))
                continue
            bound = self.tracker.bound(model)
            if bound.next_call < int(number):
                bound.next_call, bound.behind = int(number), str(slot)
                if not bound.slot:
                    bound.place = Place(*place)
                self._before[model] = 0  # it goes on counting as moved
                restore_weights(self.tracker, model, bound)
        self.tracker.take(saved["taken"])
        self.tracker.cells.ordinal = self._places + int(saved["places"])

    def _model_of(self, origin: list[Any] | None) -> Any:
        if self._objects is None or origin is None:
            return None
        wanted = Origin(*origin)
        return next((model for model, entry in self._objects.live("model") if entry.origin == wanted), None)


def restore_weights(tracker: Tracker, model: Any, bound: Bound) -> None:
    """Weights come back at once where they are made: callbacks may use the model before they train it again."""
    try:
        part = _end_of(tracker, bound.behind, bound.next_call - 1)
        if part is not None:
            _assign(KERAS_3.variables(model), part, WEIGHTS)
    except (CheckpointDamaged, RestoreFailed):
        return  # what there is to say is said at its training


def catch_up(tracker: Tracker, model: Any, engine: Engine, name: str) -> None:
    """Gives a built model the end of the training before its next one, which was run in an earlier process.

    Args:
        tracker: The hooks' view of the session.
        model: The model.
        engine: Its version of Keras.
        name: Of the slot that it had there.
    """
    try:
        part = _end_of(tracker, name, tracker.bound(model).next_call - 1)
        if part is not None:
            _assign(engine.variables(model), part, STATE)
            return
        reason = "its end was not saved"
    except (CheckpointDamaged, RestoreFailed) as error:
        log.exception("inner fit")
        reason = str(error)
    report.say_once("inner fit", OUT_OF_STEP.format(reason))


def _end_of(tracker: Tracker, name: str, number: int) -> CheckpointPart | None:
    """The state of a slot at the end of a call, where it was saved."""
    slot = tracker.journal.slot(name)
    call = slot.call(number) if slot is not None else None
    if slot is None or call is None:
        return None
    milestone = tracker.session.checkpoint(call.milestone) if call.milestone else None
    for checkpoint in (milestone, tracker.session.newest_of(name)):
        part = checkpoint.part(name) if checkpoint is not None else None
        if part is not None and part.state.get("call") == number:
            return part
    return None


def _assign(variables: list[NamedVariable], part: CheckpointPart, groups: Collection[str]) -> None:
    """Gives a model the variables of some groups.

    Raises:
        CheckpointDamaged: The checkpoint is.
        RestoreFailed: The model has other variables.
    """

    def is_wanted(name: str) -> bool:
        return name.partition("/")[0].partition("-")[0] in groups

    wanted = [one for one in variables if is_wanted(one.name)]
    if len(wanted) != sum(map(is_wanted, part.tensors)):
        raise RestoreFailed("the model is not built, or is another one", where=str(part.stem))
    assigning.assign(wanted, assigning.fetch_variables(part, wanted))
