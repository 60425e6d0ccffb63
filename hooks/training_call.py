"""One `fit`: what it does about its past, its snapshots, and its restore at the very batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

from holdfast.hooks import capture, definition, plain
from holdfast.hooks.data_position import FRESH, ITERATOR, Source, state_array
from holdfast.hooks.engine import KERAS_3, Engine
from holdfast.hooks.inner_fits import InnerFits, catch_up
from holdfast.hooks.interrupts import StepShield
from holdfast.hooks.keras_state import Watched, WatchedCallbacks
from holdfast.hooks.left import Left
from holdfast.hooks.logs import capture_logs, restored_logs, short_history
from holdfast.hooks.past import Past
from holdfast.hooks.restored import Restored, per_execution
from holdfast.hooks.saving import Piece
from holdfast.hooks.tracking import Tracker
from holdfast.runtime import report
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.exactness_notes import note
from holdfast.runtime.journal import Decision, Slot, TrainingCall, finish
from holdfast.runtime.manifest import Kind
from holdfast.runtime.names import Stem

log = logging.getLogger("holdfast.hooks")

HOLD_SECONDS = 0.25
"""References for a possible interrupt between two epochs are taken where an epoch took this long;
what is lost in shorter ones is shorter still."""

Phase = Literal["batches", "tail", "epoch", "done"]
"""Where in a call a snapshot was taken: between two batches; after an epoch's last batch, with its
validation still to come; between two epochs; after the end."""


class FitCall:
    """A running `fit`. Its methods are called by the wrappers of `keras_fit`, in Keras' order."""

    engine: Engine = KERAS_3

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
        self.apart = False
        self.decision = Decision("train")
        self.restored: Restored | None = None
        self._resuming = False
        self._stem: Stem | None = None
        self._logs: Any = None
        self._definition: dict[str, Any] = {}
        self._replaced: Slot | None = None
        self._watched: WatchedCallbacks | None = None
        self._data: Watched | None = None
        self._inner: InnerFits | None = None
        self._held: Piece | None = None
        self._held_at = self._begun_at = time.monotonic()
        self._phase: Phase = "epoch"
        self._epoch = int(arguments["initial_epoch"])
        self._executions = 0
        self._in_callbacks = False
        self._moved = False
        self._evaluated = 0
        self._initial_epoch = getattr(model, "_initial_epoch", None)

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
        if self.train is not None and self.train.data_object is not None:
            self._data = Watched(self.train.data_object)
        past = Past(self.tracker, self.model, self.arguments, self.train, self.engine)
        behind = self.tracker.bound(self.model).behind
        past.find()
        self.decision, self.restored = past.decision, past.restored
        if behind and self.restored is None:
            catch_up(self.tracker, self.model, self.engine, behind)
        self.tracker.bound(self.model).behind = ""
        self._definition, self._replaced = past.definition, past.replaced
        if self.restored is not None and self.restored.exact:
            self.restored.appending = self._watched.prepare(self.restored.state["callbacks"])

    def after_train_begin(self) -> None:
        """Every callback has begun: puts the state back and tells Keras where to go on."""
        self.session.paused()
        if self._watched is not None:
            self._watched.begun()
        self._inner = InnerFits(self.tracker, self.model)
        restored = self.restored
        if restored is not None and self.decision.action not in ("replay", "skip"):
            self._epoch, self._stem = restored.first_epoch, restored.part.stem
        self._open_call()
        if self.decision.action == "skip":
            self._begin_at(self.epochs)
        if restored is None:
            return
        for logger in restored.appending:
            logger.append = False
        self._note_resumption(restored)
        if self.decision.action in ("replay", "skip"):
            self._begin_at(self.epochs)
            return
        self._begin_at(self._epoch)
        restored.assign(self._watched, self._data)
        self._moved = True
        self._inner.restore(restored.state.get("inner"))
        if restored.anew_at is None:
            self._evaluated = int(restored.position.get("evaluated", 0))
        if self.decision.action == "resume":
            self.model.stop_training = bool(restored.position.get("stopped"))
        over = restored.is_over(self.epochs)
        if over:  # what follows the last epoch is done again
            self._begin_at(max(self.epochs, self._epoch))
        if over or not restored.exact:
            self.restored = None
            return
        self._resuming = True

    def _note_resumption(self, restored: Restored) -> None:
        position = restored.position
        batch = int(position["executions"]) * per_execution(self.model)
        self.session.resumed(restored.part, self.decision.action, int(position["epoch"]), batch)

    def _begin_at(self, epoch: int) -> None:
        """Tells Keras which epoch to begin with."""
        self.model._initial_epoch = epoch

    def _open_call(self) -> None:
        """Notes in the journal that this call is open; a replayed one stays done."""
        slot, bound = self.tracker.slot_of(self.model), self.tracker.bound(self.model)
        bound.initial.clear()
        if slot is None or self.decision.action in ("replay", "skip"):
            return
        slot.record(bound.next_call, TrainingCall(self._definition, self.epochs, self._epoch))

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
            lost = "the place in the data could not be restored; the epoch begins over with the restored state"
            note("data place lost", "data position", lost)
            report.say(lost)
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
        states: dict[str, bytes] = {
            name: restored.arrays[name].tobytes() for name in (ITERATOR, FRESH) if name in restored.arrays
        }
        source.prepare(data, states, lambda: restored.assign_data_object(self._data))
        epochs._num_batches = data["num_batches"]
        done = int(position["executions"])
        rest: Iterator[Any] = iter(())
        if tail:
            epochs.data_adapter.on_epoch_begin()
            if data["live"]:
                epochs._current_iterator = source.make_iterator(epochs._distributed_dataset)
            epochs._steps_seen = data["steps_seen"]
        else:
            rest = self._skip(original, done, data["steps_seen"] - done * per_execution(self.model))
        self._executions = done
        if done:  # again: what began the epoch anew has reset metrics and drawn numbers
            restored.assign(self._watched, self._data)
            self._logs = restored_logs(restored.state.get("logs"), restored.arrays)
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
        self.train.epochs._steps_seen = steps_before + per_execution(
            self.model
        )  # it began to count from nought
        for _ in range(done - 1):
            next(original)
        # The item that follows the last one done is not asked for yet: at an epoch's end that would
        # begin the next one's data, before the state is back in place.
        return original if done else chain([begun], original)

    def step_begins(self) -> None:
        """Before a step's callbacks."""
        self._phase = "batches"
        self._in_callbacks = False
        self._held = None
        self.shield.in_step = True

    def step_done(self, logs: Any) -> None:
        """The step's function returned; its callbacks are next."""
        self._logs = logs
        self._in_callbacks = self._moved = True
        self._executions += 1

    def step_ends(self) -> None:
        """After the step's callbacks: a safe point."""
        self._in_callbacks = False
        if self.model.stop_training:
            return
        due = self.session.step_ended()
        if self.tracker.take_request():
            self._save("requested", self._take("batches"))
        elif due:
            self._save("scheduled", self._take("batches"))

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
            self._held = self._take("tail", held=True)
        return logs

    def epoch_ends(self, epoch: int) -> None:
        """After every callback's `on_epoch_end`."""
        held, self._held = self._held is not None, None
        self._phase, self._epoch, self._executions = "epoch", epoch + 1, 0
        self._moved = True
        slot, bound = self.tracker.slot_of(self.model), self.tracker.bound(self.model)
        if slot is not None and (call := slot.call(bound.next_call)) is not None:
            slot.record(bound.next_call, replace(call, completed=self._epoch))
        if self.model.stop_training or self._epoch >= self.epochs:
            # The milestone comes only after the callbacks' `on_train_end`, which may raise.
            if self.session.active and time.monotonic() - self._begun_at > HOLD_SECONDS:
                self._held = self._take("epoch", held=True)
            return
        if self.session.step_ended(epoch_ended=True):
            self._save("scheduled", self._take("epoch"))
        elif held:
            self._held = self._take("epoch", held=True)

    # --- the end ----------------------------------------------------------------------------

    def returned(self) -> None:
        """`fit` returned: the milestone, or the end of a replay."""
        bound = self.tracker.bound(self.model)
        bound.left = None
        if self.decision.action in ("replay", "skip"):
            self._replayed()
            bound.next_call += 1
            return
        if not self._moved:  # no epoch was asked for
            return
        slot = self._ensure_slot()
        early = bool(self.model.stop_training) and self._epoch < self.epochs
        call = slot.call(bound.next_call) or TrainingCall(self._definition, self.epochs)
        history = short_history(self.model)
        slot.record(bound.next_call, finish(call, self._epoch, stopped_early=early, history=history))
        self.tracker.saving.milestone(self._take("done"), time.monotonic() - self._begun_at)
        bound.next_call += 1

    def _replayed(self) -> None:
        """The state, the History and ``stop_training`` as they were at the call's end."""
        restored, self.restored = self.restored, None
        if self.decision.action == "skip":
            self._skipped()
        if restored is None:
            return
        restored.assign(self._watched if restored.exact else None, self._data)
        if self.decision.action == "replay":
            self.model.stop_training = bool(restored.position.get("stopped"))
        slot = self.tracker.slot_of(self.model)
        if restored.ends and slot is not None:
            self.tracker.saving.milestone(restored.piece(slot), time.monotonic() - self._begun_at)

    def _skipped(self) -> None:
        """A skipped call's History: as the journal has it, else with numbers that are none."""
        slot, bound = self.tracker.slot_of(self.model), self.tracker.bound(self.model)
        history: Any = getattr(self.model, "history", None)
        if slot is None or history is None:
            return
        past = slot.call(bound.next_call)
        self.model.stop_training = past is not None and past.stopped_early
        if past is not None and past.history:
            history.history = {key: list(values) for key, values in past.history.items()}
        else:
            keys: Any = next((call.history for call in reversed(slot.calls) if call.history), {"loss": []})
            history.history = {key: [float("nan")] * self.epochs for key in keys}
        history.epoch = list(range(len(next(iter(history.history.values()), []))))

    def closed(self) -> None:
        """The end, however it came."""
        if getattr(self.model, "_initial_epoch", None) is not self._initial_epoch:
            self.model._initial_epoch = self._initial_epoch  # it is sticky: a later fit would train nothing

    def raised(self) -> None:
        """`fit` was interrupted or raised: saves the last state that is whole, if there is one."""
        if not self.session.active:
            return
        replayed = self.decision.action in ("replay", "skip")
        if replayed:
            self._replayed()
        elif self._phase == "batches" and (self._in_callbacks or not self.shield.in_step) and self._executions:
            self._save("interrupted", self._take("batches"))
        elif self._held is not None:
            self._save("interrupted", self._held)
        # Else a step failed in its midst: the last snapshot is the last whole state.
        if self.callbacks is None:
            return  # it has not come as far as to look for its past
        cells = self.tracker.cells
        self.tracker.bound(self.model).left = Left(
            cells.execution,
            cells.cell,
            self._epoch,
            self.epochs,
            self._moved or replayed,
            replayed,
            self._stem,
            self.engine.rate(self.model),
            short_history(self.model),
        )

    # --- snapshots --------------------------------------------------------------------------

    def _ensure_slot(self) -> Slot:
        slot, bound = self.tracker.slot_of(self.model), self.tracker.bound(self.model)
        if slot is not None:
            return slot
        lines = self.engine.structure(self.model)
        slot = self.session.journal.add(definition.fingerprint(lines), lines, bound.place)
        self.tracker.bind(self.model, slot)
        slot.first_call, slot.early = bound.next_call, tuple(bound.early)
        if self._replaced is not None:
            slot.inherit(self._replaced, bound.next_call)
        slot.record(bound.next_call, TrainingCall(self._definition, self.epochs, self._epoch))
        return slot

    def _take(self, phase: Phase, *, held: bool = False) -> Piece:
        """Takes references of the whole state; milliseconds, whatever its size."""
        slot, bound = self._ensure_slot(), self.tracker.bound(self.model)
        wanted = self.engine.variables(self.model)
        sources = capture.references(wanted, held=held)
        arrays, objects = plain.Arrays("callbacks"), plain.Arrays("data")
        data, iterators = self._data_position(phase)
        state: dict[str, Any] = {
            "call": bound.next_call,
            "position": {
                "phase": phase,
                "epoch": self._epoch,
                "executions": self._executions,
                "stopped": bool(self.model.stop_training),
                "data": data,
                "evaluated": self.evaluation.created if self.evaluation else self._evaluated,
            },
            "logs": capture_logs(self._logs, arrays) if phase in ("batches", "tail") else None,
            "callbacks": self._watched.capture(arrays) if self._watched else [],
            "inner": self._inner.capture() if self._inner else None,
            "data_object": self._data.capture(objects) if self._data else None,
            "random": self.engine.generators(self.model),
            "labels": {one.name: one.label for one in wanted},
            "architecture": self.engine.architecture(self.model),
        }
        sources += capture.array_sources(dict(arrays) | dict(objects))
        sources += capture.array_sources({name: state_array(state) for name, state in iterators.items()})
        return Piece(slot, sources, state)

    def _data_position(self, phase: Phase) -> tuple[dict[str, Any], dict[str, bytes]]:
        if self.train is None:
            return {"live": False, "kind": "none", "created": 0, "steps_seen": 0, "num_batches": None}, {}
        limit = self.session.settings.iterator_max_bytes
        return self.train.capture(limit, between_epochs=phase != "batches")

    def _save(self, kind: Kind, piece: Piece) -> None:
        self._held = None
        self._held_at = time.monotonic()
        if self.tracker.saving.save(kind, piece):
            self._stem = piece.slot.newest
