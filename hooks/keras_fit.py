"""The patches on Keras 3: `fit` and what it calls, journaled, resumed, replayed."""

from __future__ import annotations

import inspect
import logging
import operator
from collections.abc import Callable, Iterator
from typing import Any

from holdfast.hooks.patching import guarded, patch
from holdfast.hooks.tracking import Tracker
from holdfast.hooks.training_call import FitCall
from holdfast.runtime import report

log = logging.getLogger("holdfast.hooks")


def install(tracker: Tracker) -> None:
    """Patches Keras' base classes. Keras with its TensorFlow backend must be importable."""
    from keras.src import backend
    from keras.src.callbacks.callback_list import CallbackList

    if backend.backend() != "tensorflow":
        report.say(f"Keras runs on {backend.backend()}; only its TensorFlow backend is followed")
        return
    from keras.src.backend.tensorflow.trainer import TensorFlowTrainer, TFEpochIterator
    from keras.src.trainers.epoch_iterator import EpochIterator
    from keras.src.trainers.trainer import Trainer

    hooks = FitHooks(tracker)
    patch(TensorFlowTrainer, "fit", hooks.fit)
    patch(Trainer, "_get_metrics_result_or_logs", hooks.metrics_or_logs)
    patch(TFEpochIterator, "__init__", hooks.epoch_iterator_made)
    patch(TFEpochIterator, "_get_iterator", hooks.get_iterator)
    patch(EpochIterator, "_enumerate_iterator", hooks.enumerate_iterator)
    patch(CallbackList, "on_train_begin", hooks.on_train_begin)
    patch(CallbackList, "on_epoch_begin", hooks.on_epoch_begin)
    patch(CallbackList, "on_train_batch_begin", hooks.on_train_batch_begin)
    patch(CallbackList, "on_train_batch_end", hooks.on_train_batch_end)
    patch(CallbackList, "on_epoch_end", hooks.on_epoch_end)
    patch(CallbackList, "on_test_begin", hooks.on_test_begin)
    patch(CallbackList, "on_test_end", hooks.on_test_end)


class FitHooks:
    """Makes the wrappers. Each calls the original once; what is ours goes through the guard."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    @property
    def _current(self) -> FitCall | None:
        """The running call; None within a training of its own model that its callbacks run."""
        call = self.tracker.current
        return call if call is not None and not call.apart else None

    def _call_of(self, callback_list: Any) -> FitCall | None:
        """The running call whose callbacks these are."""
        call = self._current
        return call if call is not None and call.callbacks is callback_list else None

    def new_call(self, model: Any, arguments: dict[str, Any]) -> FitCall:
        """A training call begins."""
        return FitCall(self.tracker, model, arguments)

    def followed(self, model: Any) -> bool:
        """Whether a training of this model is followed: one replica, under no distribution strategy."""
        return _followed(model)

    def model_of(self, callback_list: Any) -> Any:
        """The model that the callbacks serve."""
        return getattr(callback_list, "_model", None)  # Keras sets none where the model counts as false

    def fit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`fit`: opens a training call, and closes it however it ends."""
        signature = inspect.signature(original)

        @guarded
        def begin(args: Any, kwargs: Any) -> FitCall | None:
            if not self.tracker.session.active:
                return None
            try:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                operator.index(bound.arguments["epochs"])
            except TypeError:
                return None  # the user's error, which the original raises
            model = next(iter(bound.arguments.values()))
            outer = self.tracker.current
            if outer is not None and outer.model is model:
                outer.apart = True  # what it trains is a part of the outer call, whose snapshots have it
                return None
            return self.new_call(model, bound.arguments) if self.followed(model) else None

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            outer = self.tracker.current
            apart = outer is not None and outer.apart
            call = begin(args, kwargs)
            if call is None:
                try:
                    return original(*args, **kwargs)
                finally:
                    if outer is not None:
                        outer.apart = apart
            self.tracker.push(call)
            with call.shield.installed():
                try:
                    history = original(*args, **kwargs)
                    call.shield.in_step = True  # an interrupt comes after the milestone
                except BaseException as error:
                    guarded(call.raised)()
                    if not isinstance(error, Exception):
                        guarded(self.tracker.interrupted)(call.model)
                    raise
                finally:
                    self.tracker.pop(call)
                    guarded(call.closed)()
                guarded(call.returned)()
            return history

        return wrapper

    def epoch_iterator_made(self, original: Callable[..., None]) -> Callable[..., None]:
        """The constructor of the iterator over epochs."""

        def wrapper(epochs: Any, /, *args: Any, **kwargs: Any) -> None:
            original(epochs, *args, **kwargs)
            if (call := self._current) is not None:
                guarded(call.source_made)(epochs)

        return wrapper

    def get_iterator(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Gives Keras the data of one epoch."""

        def wrapper(epochs: Any) -> Any:
            dataset = original(epochs)
            call = self._current
            source = guarded(call.source_of)(epochs) if call is not None else None
            if source is None:
                return dataset
            iterator = guarded(source.make_iterator)(dataset)
            return dataset if iterator is None else iterator

        return wrapper

    def enumerate_iterator(self, original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Enumerates an epoch's steps."""

        def wrapper(epochs: Any) -> Iterator[Any]:
            call = self._current
            if call is None or not call.resuming or call.train is None or call.train.epochs is not epochs:
                return original(epochs)
            return call.resumed_epoch(original(epochs))

        return wrapper

    def metrics_or_logs(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Called once when an epoch's batches are over, and once in each evaluation."""

        def wrapper(model: Any, logs: Any) -> Any:
            call = self._current
            if call is not None and call.model is model:
                kept = guarded(call.batches_over)(logs)
                logs = logs if kept is None else kept
                if not call.evaluating:
                    call.shield.step_ended()  # data of unknown length end within a step that was begun
            return original(model, logs)

        return wrapper

    def on_train_begin(self, original: Callable[..., None]) -> Callable[..., None]:
        """The decision before the callbacks begin, the restore after."""

        def wrapper(callbacks: Any, logs: Any = None) -> None:
            call = self._current
            ours = call is not None and call.callbacks is None and call.model is self.model_of(callbacks)
            if ours and call is not None:
                guarded(call.before_train_begin)(callbacks)
            original(callbacks, logs)
            if ours and call is not None:
                guarded(call.after_train_begin)()

        return wrapper

    def on_epoch_begin(self, original: Callable[..., None]) -> Callable[..., None]:
        """An epoch begins."""

        def wrapper(callbacks: Any, epoch: int, logs: Any = None) -> None:
            if (call := self._call_of(callbacks)) is not None:
                guarded(call.epoch_begins)(epoch)
            original(callbacks, epoch, logs)

        return wrapper

    def on_train_batch_begin(self, original: Callable[..., None]) -> Callable[..., None]:
        """A step begins."""

        def wrapper(callbacks: Any, batch: int, logs: Any = None) -> None:
            if (call := self._call_of(callbacks)) is not None:
                call.step_begins()
            original(callbacks, batch, logs)

        return wrapper

    def on_train_batch_end(self, original: Callable[..., None]) -> Callable[..., None]:
        """A step ends: the safe point."""

        def wrapper(callbacks: Any, batch: int, logs: Any = None) -> None:
            call = self._call_of(callbacks)
            if call is None:
                original(callbacks, batch, logs)
                return
            call.step_done(logs)
            original(callbacks, batch, logs)
            guarded(call.step_ends)()
            call.shield.step_ended()

        return wrapper

    def on_epoch_end(self, original: Callable[..., None]) -> Callable[..., None]:
        """An epoch ends, after its validation."""

        def wrapper(callbacks: Any, epoch: int, logs: Any = None) -> None:
            original(callbacks, epoch, logs)
            if (call := self._call_of(callbacks)) is not None:
                guarded(call.epoch_ends)(epoch)

        return wrapper

    def on_test_begin(self, original: Callable[..., None]) -> Callable[..., None]:
        """An evaluation of the model in training begins."""

        def wrapper(callbacks: Any, logs: Any = None) -> None:
            call = self._current
            if call is not None and call.model is self.model_of(callbacks):
                call.evaluating = True
            original(callbacks, logs)

        return wrapper

    def on_test_end(self, original: Callable[..., None]) -> Callable[..., None]:
        """It ends."""

        def wrapper(callbacks: Any, logs: Any = None) -> None:
            original(callbacks, logs)
            call = self._current
            if call is not None and call.model is self.model_of(callbacks):
                call.evaluating = False

        return wrapper


def _followed(model: Any) -> bool:
    """Whether a training of this model is followed: one replica, under no distribution strategy."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        return False  # no model at all, which the original says
    if strategy.num_replicas_in_sync > 1 or getattr(model, "_distribute_strategy", None) is not None:
        name = type(strategy).__name__
        report.say_once("strategy", f"trainings under {name} are not followed yet; this one runs unprotected")
        return False
    return True
