"""What a training call does about its past: finds its slot, decides, reads the checkpoint."""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from typing import Any, Final

from holdfast.hooks import assigning, definition, fitting, variables
from holdfast.hooks.data_position import Source
from holdfast.hooks.engine import Engine
from holdfast.hooks.left import end_if_handled
from holdfast.hooks.restored import Restored, described, per_execution
from holdfast.hooks.tracking import Tracker
from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, RestoreFailed
from holdfast.runtime.journal import Decision, Slot, TrainingCall, decide, finish, structure_difference
from holdfast.runtime.restore import CheckpointPart

log = logging.getLogger("holdfast.hooks")

NOTHING_SOUND: Final = "no sound checkpoint of this training was found; it begins where the model stands"


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
        end_if_handled(self.tracker, self.model)
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
        past = slot.call(bound.next_call) if slot is not None else None
        optimizer = self._optimizer_definition(past)
        made = self.engine.definition(self.model, self.arguments, optimizer, self.train)
        self.definition = journal.same_definition(made)
        bound.definition = self.definition["optimizer"]
        bound.optimizer = weakref.ref(self.model.optimizer) if self.model.optimizer is not None else None
        if slot is None:
            return
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

    def _optimizer_definition(self, past: TrainingCall | None) -> Any:
        """The optimizer's definition where it has made calls of this model before; None for one yet unknown.

        It is that of its first call, but for the learning rate with which this one began: callbacks change it
        within calls, which is no change of the definition, and the user's code between them, which is.
        """
        bound = self.tracker.bound(self.model)
        if bound.optimizer is None or bound.optimizer() is not self.model.optimizer:
            return None
        rate = self.engine.rate(self.model)
        known: dict[str, Any] = bound.definition
        if rate is None:
            return known
        untouched = bound.left is not None and rate == bound.left.rate
        if untouched or bound.caught_up:  # in the midst of the call, or of those that are skipped
            recorded = past.definition.get("optimizer") if past is not None else None
            rate = {**known, **(recorded or {})}.get("learning_rate")
        return {**known, "learning_rate": rate}

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
        slot = self.tracker.match(self.model, definition.fingerprint(lines))
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
        part, past = self._part(slot, past)
        if part is None:
            return
        self._build()
        try:
            self._read(part, past)
        except (RestoreFailed, KeyError, TypeError, ValueError) as error:
            log.exception("restore of %s", part.stem)
            self.restored, self.decision = None, Decision("train")
            report.say(f"checkpoint {part.stem} does not fit this model ({error}); training begins anew")
            return
        resumes = self.decision.action.startswith("resume")
        text = self._beyond(slot, part, past)
        origin = described(part, self.session if resumes else None)
        fresh = self.tracker.wishes.line("fresh", part.slot)
        report.say(f"{text or self._announcement(part, past)} ({origin}). To begin anew: {fresh}")

    def _part(self, slot: Slot, past: TrainingCall) -> tuple[CheckpointPart | None, TrainingCall]:
        """The checkpoint of a call, and the call as that has it: open, where the milestone is not to be had."""
        number = self.tracker.bound(self.model).next_call
        done = past.status == "done"
        if done and past.milestone is not None:
            checkpoint = self.session.checkpoint(past.milestone)
            part = checkpoint.part(past.slot or slot.name) if checkpoint is not None else None
            if part is not None and part.state.get("call") == number:
                return part, past
        newest = self.session.newest_of(slot.name)
        part = newest.part(slot.name) if newest is not None else None
        call = part.state.get("call") if part is not None else None
        if part is not None and call == number:
            if done:
                if past.milestone is not None:
                    report.say(f"the end of this training, checkpoint {past.milestone}, is not to be had")
                epoch = int(part.state["position"]["epoch"])
                past = replace(past, status="open", completed=epoch, milestone=None)
                slot.amend(number, past)
                if self.decision.action != "resume changed":
                    self.decision = Decision("resume")
            return part, past
        if done and isinstance(call, int) and call > number:
            self.decision = Decision("skip")
            self._catch_up(slot)
            return None, past
        left = self.tracker.bound(self.model).left
        if done or (slot.newest is not None and (left is None or left.stem is not None)):
            report.say(NOTHING_SOUND)
        self.decision = Decision("train")
        return None, past

    def _beyond(self, slot: Slot, part: CheckpointPart, past: TrainingCall) -> str:
        """What to do where as many epochs as this call asks for are done already, though its call is not done.

        Returns:
            What to say; empty where there is something left to train.
        """
        assert self.restored is not None
        bound, position = self.tracker.bound(self.model), part.state["position"]
        epoch = int(position["epoch"])
        changed = self.decision.action == "resume changed"
        if changed:
            beyond = epoch >= self.epochs
        else:
            beyond = self.decision.action == "resume" and (epoch, position["executions"]) > (self.epochs, 0)
        if not beyond:
            return ""
        where = f"epoch {epoch + 1}/{past.requested}"
        ended = replace(
            finish(past, epoch, stopped_early=False), milestone=past.milestone or part.stem, slot=past.slot
        )
        moved_on = bound.left is not None and bound.left.cell != self.tracker.cells.cell
        if not (changed or moved_on):
            slot.amend(bound.next_call, ended)
            self.decision, self.restored.ends = Decision("replay"), True
            return f"this training is in {where}, and no more is asked for: no step is trained"
        self.restored.exact, self.restored.anew_at = False, int(self.arguments["initial_epoch"])
        if not changed:
            self.restored.variables = fitting.under_changed_definition(
                self.engine, self.model, self.restored.variables, part, ()
            )
        changes = f" under a changed definition ({'; '.join(self.decision.changes)})" if changed else ""
        more = self.epochs - self.restored.anew_at
        if past.status == "open" and moved_on:
            slot.amend(bound.next_call, ended)
            bound.next_call, bound.left = bound.next_call + 1, None
            self.decision = Decision("resume changed", self.decision.changes)
            return f"the training before ends where it was left, in {where}; {more} epochs follow{changes}"
        return f"{epoch} epochs are done; {more} more are trained{changes}"

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
            wanted = self.engine.wanted(self.model, part)
            changed = fitting.metrics_change(wanted, part)
            self._fetch(part, fitting.without_metrics(wanted) if changed else wanted, exact=True)
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

    def _read(self, part: CheckpointPart, past: TrainingCall) -> None:
        wanted = self.engine.wanted(self.model, part)
        metrics = fitting.metrics_change(wanted, part)
        if metrics:
            wanted = fitting.without_metrics(wanted)
            mid_epoch = self.decision.action != "replay" and part.state["position"]["executions"]
            if mid_epoch or self.decision.changes:
                self.decision = Decision("resume changed", (*self.decision.changes, metrics))
            else:
                report.say(f"other {metrics}")
        changes = self.decision.changes
        exact = self.decision.action != "resume changed"
        if not exact:
            wanted = fitting.under_changed_definition(self.engine, self.model, wanted, part, changes)
        self._fetch(part, wanted, exact=exact)
        assert self.restored is not None
        comparable = past.status == "open" and fitting.callbacks_go_on(changes)
        self.restored.history_only = not (exact or comparable)

    def _fetch(self, part: CheckpointPart, wanted: list[variables.NamedVariable], *, exact: bool) -> None:
        tensors = assigning.fetch_variables(part, wanted)
        arrays = assigning.fetch_arrays(part, "callbacks/") | assigning.fetch_arrays(part, "data/")
        engine, state = self.engine, part.state
        self.restored = Restored(engine, self.model, part, state, wanted, tensors, arrays, exact)

    def _announcement(self, part: CheckpointPart, past: TrainingCall) -> str:
        position, changes = part.state["position"], "; ".join(self.decision.changes)
        where = f"epoch {position['epoch'] + 1}/{self.epochs}"
        match self.decision.action:
            case "resume" if self.restored is not None and self.restored.is_over(self.epochs):
                return f"all {position['epoch']} epochs are trained; only the end of the training was missing"
            case "resume" if position["executions"]:
                return (
                    f"resuming at {where}, after {position['executions'] * per_execution(self.model)} batches"
                )
            case "resume":
                return f"resuming at {where}"
            case "resume changed":
                return f"resuming the weights at {where} under a changed definition ({changes})"
            case "train on":
                left = self.epochs - past.completed
                return f"{past.completed} epochs are done; training the remaining {left}"
        return f"this training is done ({past.completed} epochs): its end is restored, no step is trained"
