"""One `fit`: what it does about its past, its snapshots, and its restore at the very batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
from holdfast.hooks import capture, definition, plain, random_state, variables
from holdfast.hooks.data_position import FRESH, ITERATOR, Source, state_array
from holdfast.hooks.interrupts import StepShield
from holdfast.hooks.keras_state import Watched, WatchedCallbacks
from holdfast.hooks.tracking import Tracker
from holdfast.runtime import report
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import CheckpointDamaged, RestoreFailed
from holdfast.runtime.journal import Decision, Slot, TrainingCall, decide, finish, structure_difference
from holdfast.runtime.manifest import Kind
from holdfast.runtime.restore import Checkpoint
from holdfast.runtime.spool import Snapshot

log = logging.getLogger("holdfast.hooks")

HOLD_SECONDS = 0.25
"""References for a possible interrupt between two epochs are taken where an epoch took this long;
what is lost in shorter ones is shorter still."""

Phase = Literal["batches", "tail", "epoch", "done"]
"""Where in a call a snapshot was taken: between two batches; after an epoch's last batch, with its
validation still to come; between two epochs; after the end."""


@dataclass(slots=True)
class Restored:
    """A checkpoint read and verified, on its way into a model."""

    checkpoint: Checkpoint
    state: dict[str, Any]
    tensors: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]
    exact: bool
    appending: list[Any] = field(default_factory=list)

    @property
    def position(self) -> dict[str, Any]:
        """Phase, epoch, executions and the data's position."""
        position: dict[str, Any] = self.state["position"]
        return position


class FitCall:
    """A running `fit`. Its methods are called by the wrappers of `keras_fit`, in Keras' order."""

    def __init__(self, tracker: Tracker, model: Any, arguments: dict[str, Any]) -> None:
        self.tracker, self.session = tracker, tracker.session
        self.model = model
        self.arguments = arguments
        self.epochs = int(arguments["epochs"])
        self.shield = StepShield()
        self.callbacks: Any = None
        self.train: Source | None = None
        self.evaluation: Source | None = None
        self.evaluating = False
        self.decision = Decision("train")
        self.restored: Restored | None = None
        self._resuming = False
        self._logs: Any = None
        self._definition: dict[str, Any] = {}
        self._same_object = bool(tracker.bound(model).slot)
        self._watched: WatchedCallbacks | None = None
        self._data: Watched | None = None
        self._variables: list[variables.NamedVariable] = []
        self._held: Snapshot | None = None
        self._held_at = time.monotonic()
        self._phase: Phase = "epoch"
        self._epoch = int(arguments["initial_epoch"])
        self._executions = 0
        self._in_callbacks = False
        self._any_step = False
        self._evaluated = 0
        self._retired = ""

    # --- before the first batch -------------------------------------------------------------

    def source_made(self, epoch_iterator: Any) -> None:
        """Keras made an iterator over epochs: the first one of a call is the training's."""
        if self.train is None:
            self.train = Source(epoch_iterator)

    def source_of(self, epoch_iterator: Any) -> Source | None:
        """What follows that iterator, if it is the training's or its validation's."""
        if self.train is not None and self.train.epochs is epoch_iterator:
            return self.train
        if getattr(self.model, "_eval_epoch_iterator", None) is not epoch_iterator:
            return None
        if self.evaluation is None:
            self.evaluation = Source(epoch_iterator)
            self.evaluation.owed = self._evaluated if self.evaluation.kind == "dataset" else 0
        return self.evaluation

    def before_train_begin(self, callbacks: Any) -> None:
        """Decides what to do about the past, and reads what it takes."""
        self.callbacks = callbacks
        self._watched = WatchedCallbacks(callbacks.callbacks)
        if self.train is not None and self.train.kind == "py_dataset":
            self._data = Watched(self.train.adapter.py_dataset)
        for _ in range(100):  # each damaged checkpoint is passed over once
            try:
                self._decide()
                break
            except CheckpointDamaged as error:
                self.session.reject(error)
        if self.restored is not None and self.restored.exact:
            self.restored.appending = self._watched.prepare(self.restored.state["callbacks"])

    def _decide(self) -> None:
        bound, journal = self.tracker.bound(self.model), self.session.journal
        self.restored, self.decision = None, Decision("train")
        slot = self.tracker.slot_of(self.model)
        if slot is None and any(not one.retired for one in journal.slots):
            slot = self._match()
        same_optimizer = bound.optimizer is not None and bound.optimizer is self.model.optimizer
        known = bound.definition if same_optimizer else None
        self._definition = definition.training_definition(self.model, self.arguments, known)
        bound.optimizer, bound.definition = self.model.optimizer, self._definition["optimizer"]
        if slot is None:
            return
        past = slot.call(bound.next_call)
        self.decision = decide(
            past,
            self._definition,
            self.epochs,
            same_object=self._same_object,
            continue_changed=self.tracker.take_continue(),
        )
        if past is not None and self.decision.action != "train":
            self._follow(slot, past)

    def _match(self) -> Slot | None:
        """Builds the model, so that it can be told, and finds its slot."""
        bound, journal = self.tracker.bound(self.model), self.session.journal
        self._build()
        lines = definition.structure(self.model)
        slot = journal.match(definition.fingerprint(lines), bound.place, self.tracker.bound_slots())
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
        if self.train is None:
            return
        # Specs have the shapes and dtypes that are all it wants of a batch.
        self.model._symbolic_build(data_batch=self.train.epochs._distributed_dataset.element_spec)

    def _follow(self, slot: Slot, past: TrainingCall) -> None:
        """Reads the checkpoint that the decision calls for."""
        action, changes = self.decision.action, "; ".join(self.decision.changes)
        if action == "new experiment":
            slot.retired, self._retired = True, slot.name
            self.tracker.bound(self.model).slot = ""
            report.say(
                f"the finished training differs from this one ({changes}), so a new one begins. To go on with "
                "its weights instead: %holdfast continue, then run the cells again"
            )
            return
        done = past.status == "done"
        checkpoint = self.session.checkpoint(past.milestone) if done and past.milestone else None
        checkpoint = checkpoint or (None if done else self.session.newest_of(slot.name))
        number = self.tracker.bound(self.model).next_call
        if checkpoint is None or checkpoint.manifest.state.get("call") != number:
            if done or slot.newest is not None:
                report.say("no sound checkpoint of this training was found; it begins where the model stands")
            self.decision = Decision("train")
            return
        self._build()
        try:
            self._read(checkpoint, exact=action != "resume changed")
        except (RestoreFailed, KeyError, TypeError, ValueError) as error:
            log.exception("restore of %s", checkpoint.stem)
            self.restored, self.decision = None, Decision("train")
            report.say(f"checkpoint {checkpoint.stem} does not fit this model ({error}); training begins anew")
            return
        self._announce(checkpoint, past, changes)

    def _read(self, checkpoint: Checkpoint, *, exact: bool) -> None:
        state = checkpoint.manifest.state
        random_state.make_global_variables(set(state["random"]["globals"]))
        wanted = variables.of_model(self.model)
        if not exact:
            wanted = self._fitting(wanted, checkpoint)
        self._variables = wanted
        tensors = capture.fetch_variables(checkpoint, wanted)
        arrays = capture.fetch_arrays(checkpoint, "callbacks/") | capture.fetch_arrays(checkpoint, "data/")
        self.restored = Restored(checkpoint, state, tensors, arrays, exact)

    def _fitting(
        self, wanted: list[variables.NamedVariable], checkpoint: Checkpoint
    ) -> list[variables.NamedVariable]:
        """Under a new definition: the weights, and the optimizer's state as far as it is the same."""
        specs = {record.spec.name: record.spec for record in checkpoint.manifest.tensors}
        optimizer = [one for one in wanted if one.name.startswith("optimizer/")]
        saved = sum(name.startswith("optimizer/") for name in specs)
        same = len(optimizer) == saved and all(specs.get(one.name) == one.spec for one in optimizer)
        changed = " ".join(self.decision.changes)
        if "optimizer.class" in changed:
            same = False
        rate = getattr(self.model.optimizer, "_learning_rate", None)
        keep_rate = id(getattr(rate, "_value", None)) if "learning_rate" in changed else None
        return [
            one
            for one in wanted
            if one.name.startswith("model/")
            or (one.name.startswith("optimizer/") and same and id(one.variable) != keep_rate)
        ]

    def _announce(self, checkpoint: Checkpoint, past: TrainingCall, changes: str) -> None:
        position = checkpoint.manifest.state["position"]
        age = report.ago(time.time() - checkpoint.manifest.taken_at)
        origin = f"{checkpoint.stem} from the {checkpoint.shelf.origin}, {age} old"
        where = f"epoch {position['epoch'] + 1}/{self.epochs}"
        if position["executions"]:
            where += f", after {position['executions'] * self._per_execution} batches"
        match self.decision.action:
            case "resume":
                text = f"resuming at {where} ({origin}). To begin anew: %holdfast fresh"
            case "resume changed":
                text = (
                    f"resuming the weights at epoch {position['epoch'] + 1}/{self.epochs} under a changed "
                    f"definition ({changes}) ({origin}). To begin anew: %holdfast fresh"
                )
            case "train on":
                text = (
                    f"{past.completed} epochs are done; training the remaining {self.epochs - past.completed} "
                    f"({origin}). To begin anew: %holdfast fresh"
                )
            case _:
                text = (
                    f"this training is done ({past.completed} epochs): its end is restored, no step is trained "
                    f"({origin}). To train it again: %holdfast fresh"
                )
        report.say(text)

    @property
    def _per_execution(self) -> int:
        return int(getattr(self.model, "steps_per_execution", 1) or 1)

    def after_train_begin(self) -> None:
        """Every callback has begun: puts the state back and tells Keras where to go on."""
        self._open_call()
        restored = self.restored
        if restored is None:
            return
        for logger in restored.appending:
            logger.append = False
        if self.decision.action == "replay":
            self.model._initial_epoch = self.epochs
            return
        position = restored.position
        self._epoch = position["epoch"]
        self.model._initial_epoch = self._epoch
        self._evaluated = int(position.get("evaluated", 0))
        self._assign(restored)
        if not restored.exact:
            self.restored = None
            return
        self._resuming = True

    def _open_call(self) -> None:
        """Notes in the journal that this call is open; a replayed one stays done."""
        slot, bound = self.tracker.slot_of(self.model), self.tracker.bound(self.model)
        if slot is None or self.decision.action == "replay":
            return
        past = slot.call(bound.next_call)
        call = TrainingCall(self._definition, self.epochs, past.completed if past else self._epoch)
        slot.record(bound.next_call, call)

    def _assign(self, restored: Restored) -> None:
        capture.assign(self._variables, restored.tensors)
        if self._watched is not None:
            self._watched.restore(restored.state["callbacks"], restored.arrays)
        if restored.exact:
            self._restore_generators(restored)
            self._restore_data_object()

    @staticmethod
    def _restore_generators(restored: Restored) -> None:
        saved, data = restored.state["random"], restored.position.get("data") or {}
        random_state.restore_tensorflow(saved["tensorflow"])
        # What was fast-forwarded has drawn its random numbers itself, and read ahead.
        drawn = (
            data.get("live")
            and data.get("kind") in ("generator", "dataset")
            and ITERATOR not in restored.arrays
        )
        if not drawn:
            random_state.restore_host(saved["host"])

    # --- epochs and batches -----------------------------------------------------------------

    def epoch_begins(self, epoch: int) -> None:
        """Before the callbacks' `on_epoch_begin`."""
        self._epoch = epoch
        self._executions = 0
        self._phase = "epoch"

    @property
    def resuming(self) -> bool:
        """Whether the next epoch over the data is the one to resume."""
        return self._resuming

    def resumed_epoch(self, original: Iterator[Any]) -> Iterator[Any]:
        """Stands in for the first epoch's enumeration: skips what was done, then goes on."""
        self._resuming = False
        try:
            rest = self._go_to_position(original)
        except Exception:
            log.exception("data position")
            report.say(
                "the place in the data could not be restored; the epoch begins over with the restored state"
            )
            self._executions = 0
            rest = original
        self.restored = None
        yield from rest

    def _go_to_position(self, original: Iterator[Any]) -> Iterator[Any]:
        restored, source = self.restored, self.train
        assert restored is not None and source is not None
        position, data = restored.position, restored.position["data"]
        epochs = source.epochs
        tail = position["phase"] == "tail"
        states = {
            name: restored.arrays[name].tobytes() for name in (ITERATOR, FRESH) if name in restored.arrays
        }
        source.prepare(data, states, self._restore_data_object)
        epochs._num_batches = data["num_batches"]
        done = int(position["executions"])
        rest: Iterator[Any] = iter(())
        if tail:
            epochs.data_adapter.on_epoch_begin()
            if data["live"]:
                epochs._current_iterator = source.make_iterator(epochs._distributed_dataset)
            epochs._steps_seen = data["steps_seen"]
        else:
            rest = self._skip(original, done, data["steps_seen"] - done * self._per_execution)
        self._executions = done
        if done:  # again: what began the epoch anew has reset metrics and drawn numbers
            self._assign(restored)
            self._logs = restored.state.get("logs")
            self._phase = "batches"
        reach("restore.position")
        if tail:
            epochs.data_adapter.on_epoch_end()
        return rest

    def _skip(self, original: Iterator[Any], done: int, steps_before: int) -> Iterator[Any]:
        """Moves Keras' enumeration on by ``done`` executions; it hands out iterators, no data."""
        assert self.train is not None
        begun = next(original, None)
        if begun is None:
            return iter(())
        self.train.epochs._steps_seen = steps_before + self._per_execution  # it began to count from nought
        for _ in range(done - 1):
            next(original)
        # The item that follows the last one done is not asked for yet: at an epoch's end that would
        # begin the next one's data, before the state is back in place.
        return original if done else chain([begun], original)

    def _restore_data_object(self) -> None:
        restored = self.restored
        if restored is not None and self._data is not None and restored.state.get("data_object"):
            self._data.restore(restored.state["data_object"], restored.arrays)

    def step_begins(self) -> None:
        """Before a step's callbacks."""
        self._phase = "batches"
        self._in_callbacks = False
        self._held = None
        self.shield.in_step = True

    def step_done(self, logs: Any) -> None:
        """The step's function returned; its callbacks are next."""
        self._logs = logs
        self._in_callbacks = self._any_step = True
        self._executions += 1

    def step_ends(self) -> None:
        """After the step's callbacks: a safe point."""
        self._in_callbacks = False
        if self.model.stop_training:
            return
        if self.tracker.take_request():
            self._save("requested", self._take("requested", "batches"))
        elif self.session.due():
            self._save("scheduled", self._take("scheduled", "batches"))

    def batches_over(self, logs: Any) -> Any:
        """The epoch's last batch is done, validation and `on_epoch_end` come: holds the state.

        Returns:
            The logs that Keras should go on with: a resumed epoch with no batch left has none.
        """
        if self.evaluating or self._phase == "tail":
            return logs
        self.shield.in_step = False
        if not logs and isinstance(self._logs, dict):
            logs = dict(self._logs)
        self._logs = logs
        self._phase = "tail"
        if self.session.active and time.monotonic() - self._held_at > HOLD_SECONDS and self._executions:
            self._held_at = time.monotonic()
            self._held = self._take("interrupted", "tail")
        return logs

    def epoch_ends(self, epoch: int) -> None:
        """After every callback's `on_epoch_end`."""
        held, self._held = self._held is not None, None
        self._phase, self._epoch, self._executions = "epoch", epoch + 1, 0
        self._any_step = True
        slot, bound = self.tracker.slot_of(self.model), self.tracker.bound(self.model)
        if slot is not None and (call := slot.call(bound.next_call)) is not None:
            slot.record(bound.next_call, replace(call, completed=self._epoch))
        if self.model.stop_training or self._epoch >= self.epochs:
            return
        if self.session.due(epoch_ended=True):
            self._save("scheduled", self._take("scheduled", "epoch"))
        elif held:
            self._held = self._take("interrupted", "epoch")

    # --- the end ----------------------------------------------------------------------------

    def returned(self) -> None:
        """`fit` returned: the milestone, or the end of a replay."""
        bound = self.tracker.bound(self.model)
        restored = self.restored
        if self.decision.action == "replay" and restored is not None:
            self._assign(restored)
            self.restored = None
            bound.next_call += 1
            return
        if not self._any_step:  # no epoch was asked for
            return
        slot = self._ensure_slot()
        early = bool(self.model.stop_training) and self._epoch < self.epochs
        call = slot.call(bound.next_call) or TrainingCall(self._definition, self.epochs)
        stem = self.session.next_stem()
        slot.record(bound.next_call, finish(call, self._epoch, stopped_early=early, milestone=stem))
        self._save("milestone", self._take("milestone", "done"))
        bound.next_call += 1

    def raised(self) -> None:
        """`fit` was interrupted or raised: saves the last state that is whole, if there is one."""
        if not self.session.active or self.decision.action == "replay":
            return
        if self._phase == "batches" and (self._in_callbacks or not self.shield.in_step) and self._executions:
            self._save("interrupted", self._take("interrupted", "batches"))
        elif self._held is not None:
            self._save("interrupted", self._held)
        # Else a step failed in its midst: the last snapshot is the last whole state.

    # --- snapshots --------------------------------------------------------------------------

    def _ensure_slot(self) -> Slot:
        slot, bound = self.tracker.slot_of(self.model), self.tracker.bound(self.model)
        if slot is not None:
            return slot
        lines = definition.structure(self.model)
        slot = self.session.journal.add(definition.fingerprint(lines), lines, bound.place)
        self.tracker.bind(self.model, slot)
        if self._retired:
            self.tracker.replaced(slot, self._retired)
        slot.first_call = bound.next_call
        slot.record(bound.next_call, TrainingCall(self._definition, self.epochs, self._epoch))
        return slot

    def _take(self, kind: Kind, phase: Phase) -> Snapshot:
        """Takes references of the whole state; milliseconds, whatever its size."""
        slot, bound = self._ensure_slot(), self.tracker.bound(self.model)
        wanted = variables.of_model(self.model)
        sources = capture.references(wanted)
        arrays, objects = plain.Arrays("callbacks"), plain.Arrays("data")
        data, iterators = self._data_position(phase)
        state: dict[str, Any] = {
            "slot": slot.name,
            "call": bound.next_call,
            "position": {
                "phase": phase,
                "epoch": self._epoch,
                "executions": self._executions,
                "data": data,
                "evaluated": self.evaluation.created if self.evaluation else self._evaluated,
            },
            "logs": _plain_logs(self._logs) if phase in ("batches", "tail") else None,
            "callbacks": self._watched.capture(arrays) if self._watched else [],
            "data_object": self._data.capture(objects) if self._data else None,
            "random": {
                "host": random_state.capture_host(),
                "tensorflow": random_state.capture_tensorflow(),
                "globals": [name for name, _ in random_state.global_variables()],
            },
            "labels": {one.name: one.label for one in wanted},
        }
        sources += capture.array_sources(dict(arrays) | dict(objects))
        sources += capture.array_sources({name: state_array(state) for name, state in iterators.items()})
        return Snapshot(kind, (slot.name,), sources, time.time(), state=state)

    def _data_position(self, phase: Phase) -> tuple[dict[str, Any], dict[str, bytes]]:
        if self.train is None:
            return {"live": False, "kind": "none", "created": 0, "steps_seen": 0, "num_batches": None}, {}
        limit = self.session.settings.iterator_max_bytes
        return self.train.capture(limit, between_epochs=phase != "batches")

    def _save(self, kind: Kind, snapshot: Snapshot) -> None:
        slot = self._ensure_slot()
        before, slot.newest = slot.newest, self.session.next_stem()
        snapshot.kind, snapshot.journal = kind, self.session.journal.to_dict()
        self._held = None
        self._held_at = time.monotonic()
        if not self.session.submit(snapshot):
            slot.newest = before


def _plain_logs(logs: Any) -> dict[str, float] | None:
    if not isinstance(logs, dict) or not logs:
        return None
    found = {}
    for key, value in logs.items():
        try:
            found[str(key)] = float(value)
        except (TypeError, ValueError):
            return None
    return found
