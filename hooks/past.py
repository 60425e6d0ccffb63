"""What a training call does about its past: finds its slot, decides, reads the checkpoint."""

from __future__ import annotations

import logging
import time
import weakref
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from holdfast.hooks import capture, definition, random_state, variables
from holdfast.hooks.data_position import ITERATOR, Source
from holdfast.hooks.engine import Engine
from holdfast.hooks.keras_state import Watched, WatchedCallbacks
from holdfast.hooks.tracking import Tracker
from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, RestoreFailed
from holdfast.runtime.journal import Decision, Slot, TrainingCall, decide, structure_difference
from holdfast.runtime.restore import CheckpointPart

log = logging.getLogger("holdfast.hooks")

NOTHING_SOUND: Final = "no sound checkpoint of this training was found; it begins where the model stands"


@dataclass(slots=True)
class Restored:
    """A checkpoint read and verified, on its way into a model."""

    engine: Engine
    model: Any
    part: CheckpointPart
    state: dict[str, Any]
    variables: list[variables.NamedVariable]
    tensors: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]
    exact: bool
    appending: list[Any] = field(default_factory=list)

    @property
    def position(self) -> dict[str, Any]:
        """Phase, epoch, executions and the data's position."""
        position: dict[str, Any] = self.state["position"]
        return position

    def assign(self, callbacks: WatchedCallbacks | None, data: Watched | None) -> None:
        """Puts everything but the place in the data where it was; can be done again."""
        capture.assign(self.variables, self.tensors)
        if callbacks is not None:
            callbacks.restore(self.state["callbacks"], self.arrays)
        if self.exact:
            self._assign_generators()
            self.assign_data_object(data)

    def assign_data_object(self, data: Watched | None) -> None:
        """Puts the attributes of a data object, such as its shuffled order, where they were."""
        if data is not None and self.state.get("data_object"):
            data.restore(self.state["data_object"], self.arrays)

    def _assign_generators(self) -> None:
        saved, data = self.state["random"], self.position.get("data") or {}
        self.engine.restore_generators(self.model, saved)
        # What was fast-forwarded has drawn its random numbers itself, and read ahead.
        forwarded = data.get("kind") in ("generator", "dataset") and ITERATOR not in self.arrays
        if not (data.get("live") and forwarded):
            random_state.restore_host(saved["host"])


class Past:
    """The past of one training call.

    Attributes:
        decision: What to do about it.
        restored: The checkpoint that takes, read and verified; None where nothing is to be restored.
        definition: What the call trains.
        replaced: The slot in whose place a changed experiment begins.
    """

    def __init__(
        self,
        tracker: Tracker,
        model: Any,
        arguments: dict[str, Any],
        train: Source | None,
        engine: Engine,
    ) -> None:
        self.tracker, self.session, self.model = tracker, tracker.session, model
        self.engine = engine
        self.arguments, self.epochs, self.train = arguments, int(arguments["epochs"]), train
        self.decision = Decision("train")
        self.restored: Restored | None = None
        self.definition: dict[str, Any] = {}
        self.replaced: Slot | None = None

    def find(self) -> None:
        """Decides, and reads what that takes; a damaged checkpoint is passed over."""
        while True:
            try:
                self._decide()
                break
            except CheckpointDamaged as error:
                self.session.reject(error)
        slot = self.tracker.slot_of(self.model)
        if slot is not None and self.decision.action == "resume changed":
            self.tracker.wishes.went_on(slot)

    def _decide(self) -> None:
        bound, journal = self.tracker.bound(self.model), self.session.journal
        self.restored, self.decision = None, Decision("train")
        slot = self.tracker.slot_of(self.model)
        if slot is None and self._may_match():
            slot = self._match()
        same_optimizer = bound.optimizer is not None and bound.optimizer() is self.model.optimizer
        known = bound.definition if same_optimizer else None
        made = self.engine.definition(self.model, self.arguments, known, self.train)
        self.definition = journal.same_definition(made)
        bound.definition = self.definition["optimizer"]
        bound.optimizer = weakref.ref(self.model.optimizer) if self.model.optimizer is not None else None
        if slot is None:
            return
        past = slot.call(bound.next_call)
        if bound.next_call < slot.first_call:
            self.decision = Decision("skip")
            self._catch_up(slot)
            return
        self.decision = decide(
            past,
            self.definition,
            self.epochs,
            stream=slot.is_stream,
            continue_changed=self.tracker.wishes.goes_on(slot),
        )
        if past is not None and self.decision.action != "train":
            self._follow(slot, past)

    def _may_match(self) -> bool:
        """Whether a slot is free, or has this place. Else the model is not built before its time: to build it
        may run the user's code once more.
        """
        taken, journal = self.tracker.bound_slots(), self.session.journal
        if any(slot.name not in taken for slot in journal.in_use()):
            return True
        return journal.at(self.tracker.bound(self.model).place) is not None

    def _match(self) -> Slot | None:
        """Builds the model, so that it can be told, and finds its slot."""
        bound, journal = self.tracker.bound(self.model), self.session.journal
        try:
            self._build()
        except Exception as error:
            log.exception("build")
            report.say_once("not built", self.engine.not_built(error))
            return None
        lines = self.engine.structure(self.model)
        slot = journal.match(definition.fingerprint(lines), bound.place, self.tracker.bound_slots())
        if slot is not None and self.tracker.wishes.begins_anew(self.model):
            bound.place = slot.place  # so that `continue` finds the one from the other
            journal.retire(slot)
            self.tracker.wishes.began_anew(self.model)
            return None
        if slot is not None:
            self.tracker.bind(self.model, slot)
            return slot
        other = journal.at(bound.place)
        if other is not None and other.calls:
            changed = "; ".join(structure_difference(other.structure, lines)[:6])
            report.say(
                f"the model's structure changed, a fresh training begins ({changed}). The old one stays in "
                "the store; to go back to it, restore the old code and run the cells again"
            )
        return None

    def _build(self) -> None:
        """Makes model, optimizer and metrics, without data and without a step."""
        if self.train is not None:
            self.engine.build(self.model, self.train)

    def _follow(self, slot: Slot, past: TrainingCall) -> None:
        """Reads the checkpoint that the decision calls for."""
        action, changes = self.decision.action, "; ".join(self.decision.changes)
        if action == "new experiment":
            self.session.journal.retire(slot)
            self.replaced = slot
            bound = self.tracker.bound(self.model)
            bound.begin_anew(bound.next_call)
            report.say(
                f"the finished training differs from this one ({changes}), so a new one begins. To go on with "
                f"its weights instead: {self.tracker.wishes.line('continue', slot)}, then run the cells again"
            )
            return
        if action == "skip":
            self._catch_up(slot)
            return
        done = past.status == "done"
        checkpoint = self.session.checkpoint(past.milestone) if done and past.milestone else None
        checkpoint = checkpoint or (None if done else self.session.newest_of(slot.name))
        part = checkpoint.part((done and past.slot) or slot.name) if checkpoint is not None else None
        number = self.tracker.bound(self.model).next_call
        if part is None or part.state.get("call") != number:
            if done or slot.newest is not None:
                report.say(NOTHING_SOUND)
            self.decision = Decision("train")
            return
        self._build()
        try:
            self._read(part, exact=action != "resume changed")
        except (RestoreFailed, KeyError, TypeError, ValueError) as error:
            log.exception("restore of %s", part.stem)
            self.restored, self.decision = None, Decision("train")
            report.say(f"checkpoint {part.stem} does not fit this model ({error}); training begins anew")
            return
        self._announce(part, past, changes)

    def _catch_up(self, slot: Slot) -> None:
        """Calls without a milestone are not repeated: at the first of them the newest state is restored."""
        bound = self.tracker.bound(self.model)
        if bound.caught_up:
            return
        checkpoint = self.session.newest_of(slot.name)
        if checkpoint is None:
            report.say(NOTHING_SOUND)
            self.decision = Decision("train")
            return
        part = checkpoint.part(slot.name)
        self._build()
        try:
            self._read(part, exact=True)
        except (RestoreFailed, KeyError, TypeError, ValueError) as error:
            log.exception("restore of %s", part.stem)
            self.restored, self.decision = None, Decision("train")
            report.say(f"checkpoint {part.stem} does not fit this model ({error}); training begins anew")
            return
        bound.caught_up = True
        if self.restored is not None:
            self.restored.exact = False  # callbacks and generators are those of another call
        number = int(part.state["call"])
        report.say(
            f"training calls {bound.next_call + 1} to {number} of this model are done and not repeated: it has "
            f"the state of {described(part)}, and goes on in call {number + 1}. To begin anew: "
            f"{self.tracker.wishes.line('fresh', slot)}"
        )

    def _read(self, part: CheckpointPart, *, exact: bool) -> None:
        state = part.state
        wanted = self.engine.wanted(self.model, part)
        if not exact:
            wanted = self._fitting(wanted, part)
        tensors = capture.fetch_variables(part, wanted)
        arrays = capture.fetch_arrays(part, "callbacks/") | capture.fetch_arrays(part, "data/")
        self.restored = Restored(self.engine, self.model, part, state, wanted, tensors, arrays, exact)

    def _fitting(
        self, wanted: list[variables.NamedVariable], part: CheckpointPart
    ) -> list[variables.NamedVariable]:
        """Under a new definition: the weights, and the optimizer's state as far as it is the same."""
        specs = {name: record.spec for name, record in part.tensors.items()}
        optimizer = [one for one in wanted if one.name.startswith("optimizer/")]
        saved = sum(name.startswith("optimizer/") for name in specs)
        same = len(optimizer) == saved and all(specs.get(one.name) == one.spec for one in optimizer)
        changed = " ".join(self.decision.changes)
        if "optimizer.class" in changed:
            same = False
        keep_rate = id(self.engine.learning_rate(self.model)) if "learning_rate" in changed else None
        return [
            one
            for one in wanted
            if one.name.startswith(("model/", "attributes/"))
            or (one.name.startswith("optimizer-") and "optimizers." not in changed and one.name in specs)
            or (one.name.startswith("optimizer/") and same and id(one.variable) != keep_rate)
        ]

    def _announce(self, part: CheckpointPart, past: TrainingCall, changes: str) -> None:
        position = part.state["position"]
        origin, fresh = described(part), self.tracker.wishes.line("fresh", part.slot)
        where = f"epoch {position['epoch'] + 1}/{self.epochs}"
        if position["executions"]:
            where += f", after {position['executions'] * per_execution(self.model)} batches"
        match self.decision.action:
            case "resume":
                text = f"resuming at {where} ({origin}). To begin anew: {fresh}"
            case "resume changed":
                text = (
                    f"resuming the weights at epoch {position['epoch'] + 1}/{self.epochs} under a changed "
                    f"definition ({changes}) ({origin}). To begin anew: {fresh}"
                )
            case "train on":
                text = (
                    f"{past.completed} epochs are done; training the remaining {self.epochs - past.completed} "
                    f"({origin}). To begin anew: {fresh}"
                )
            case _:
                text = (
                    f"this training is done ({past.completed} epochs): its end is restored, no step is trained "
                    f"({origin}). To train it again: {fresh}"
                )
        report.say(text)


def described(part: CheckpointPart) -> str:
    """A checkpoint for people: its name, where it lies, how old it is."""
    return f"{part.stem} from the {part.origin}, {report.ago(time.time() - part.taken_at)} old"


def per_execution(model: Any) -> int:
    """Steps that one execution of the training function runs."""
    return int(getattr(model, "steps_per_execution", 1) or 1)
