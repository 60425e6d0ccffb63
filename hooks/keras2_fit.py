"""The patches on Keras 2 (`tf_keras`): `fit` and what it calls, journaled, resumed, replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from holdfast.hooks import keras2_first_use
from holdfast.hooks.keras2_call import Keras2Call
from holdfast.hooks.keras2_engine import Keras2
from holdfast.hooks.keras2_streams import RandomStreams
from holdfast.hooks.keras_fit import FitHooks
from holdfast.hooks.patching import guarded, patch
from holdfast.hooks.resumable import ASIDE, aside
from holdfast.hooks.tracking import Tracker
from holdfast.hooks.training_call import FitCall
from holdfast.runtime import report


def install(tracker: Tracker) -> None:
    """Patches the base classes of Keras 2. `tf_keras` must be importable."""
    from tf_keras.src.callbacks import CallbackList
    from tf_keras.src.engine import data_adapter
    from tf_keras.src.engine.training import Model
    from tf_keras.src.layers.rnn.base_rnn import RNN
    from tf_keras.src.utils import tf_utils

    streams = RandomStreams()
    streams.install()
    engine = Keras2(streams)
    keras2_first_use.install(tracker, engine)
    hooks = Keras2Hooks(tracker, engine)
    patch(Model, "fit", hooks.fit)
    for name in ("evaluate", "train_on_batch", "test_on_batch"):
        patch(Model, name, hooks.traced)
    for owner, names in ((Model, ASIDE), (RNN, ("reset_states",))):
        for name in names:
            patch(owner, name, aside)
    patch(Model, "_validate_and_get_metrics_result", hooks.metrics_or_logs)
    patch(tf_utils, "sync_to_numpy_or_python_type", hooks.sync_logs)
    patch(data_adapter.DataHandler, "__init__", hooks.handler_made)
    patch(data_adapter.DataHandler, "enumerate_epochs", hooks.enumerate_epochs)
    patch(data_adapter.DataHandler, "steps", hooks.enumerate_iterator)
    patch(data_adapter.TensorLikeDataAdapter, "slice_inputs", hooks.slice_inputs)
    patch(data_adapter.GenericArrayLikeDataAdapter, "slice_inputs", hooks.slice_inputs)
    patch(data_adapter.KerasSequenceAdapter, "_handle_multiprocessing", hooks.take_sequence)
    patch(CallbackList, "on_train_begin", hooks.on_train_begin)
    patch(CallbackList, "on_epoch_begin", hooks.on_epoch_begin)
    patch(CallbackList, "on_train_batch_begin", hooks.on_train_batch_begin)
    patch(CallbackList, "on_train_batch_end", hooks.on_train_batch_end)
    patch(CallbackList, "on_epoch_end", hooks.on_epoch_end)
    patch(CallbackList, "on_test_begin", hooks.on_test_begin)
    patch(CallbackList, "on_test_batch_begin", hooks.on_test_batch_begin)
    patch(CallbackList, "on_test_batch_end", hooks.on_test_batch_end)
    patch(CallbackList, "on_test_end", hooks.on_test_end)


class Keras2Hooks(FitHooks):
    """Makes the wrappers. Each calls the original once; what is ours goes through the guard."""

    def __init__(self, tracker: Tracker, engine: Keras2) -> None:
        super().__init__(tracker)
        self.engine = engine

    @property
    def _current(self) -> Keras2Call | None:
        call = super()._current
        return call if isinstance(call, Keras2Call) else None

    def new_call(self, model: Any, arguments: dict[str, Any]) -> FitCall:
        """A training call begins."""
        return Keras2Call(self.tracker, model, arguments, self.engine)

    def followed(self, model: Any) -> bool:
        """Whether a training of this model is followed: one replica, under no distribution strategy."""
        if _on_one_device(model):
            return True
        strategy = getattr(model, "distribute_strategy", None)
        if strategy is None:
            return False  # no model at all, which the original says
        name = type(strategy).__name__
        report.say_once("strategy", f"trainings under {name} are not followed yet; this one runs unprotected")
        return False

    def model_of(self, callback_list: Any) -> Any:
        """The model that the callbacks serve."""
        return getattr(callback_list, "model", None)  # Keras sets none where the model counts as false

    def traced(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """What traces, when it comes before `fit`, a function that `fit` goes on to use."""

        def wrapper(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            if not self.tracker.session.active or not _on_one_device(model):
                return original(model, *args, **kwargs)
            with self.engine.streams.traced(model):
                return original(model, *args, **kwargs)

        return wrapper

    def sync_logs(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Fetches an epoch's last logs, of which a resumed epoch with no batch left has none."""

        def wrapper(logs: Any) -> Any:
            call = self._current if logs is None else None
            found = guarded(call.missing_logs)() if call is not None else None
            return original(logs if found is None else found)

        return wrapper

    def handler_made(self, original: Callable[..., None]) -> Callable[..., None]:
        """The constructor of a `DataHandler`."""

        def wrapper(handler: Any, /, *args: Any, **kwargs: Any) -> None:
            original(handler, *args, **kwargs)
            if (call := self._current) is not None:
                guarded(call.source_made)(handler)

        return wrapper

    def enumerate_epochs(self, original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Enumerates epochs with their iterators."""

        def wrapper(handler: Any) -> Iterator[Any]:
            call = self._current
            source = guarded(call.source_of)(handler) if call is not None else None
            if call is None or source is None:
                return original(handler)
            guarded(call.epochs_begin)(handler)
            epochs: Iterator[Any] = source.enumerate(original(handler))
            return epochs

        return wrapper

    def slice_inputs(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Makes the pipeline of arrays from that of their indices."""

        def wrapper(adapter: Any, indices: Any, inputs: Any) -> Any:
            if (call := self._current) is not None:
                guarded(call.arrays_sliced)(adapter, original, indices, inputs)
            return original(adapter, indices, inputs)

        return wrapper

    def take_sequence(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Makes the function that reads a `Sequence`."""

        def wrapper(
            adapter: Any, sequence: Any, workers: int, use_multiprocessing: bool, max_queue_size: int
        ) -> Any:
            call = self._current
            if call is not None and workers <= 1 and not use_multiprocessing:
                sequence = guarded(call.sequence_taken)(sequence) or sequence
            return original(adapter, sequence, workers, use_multiprocessing, max_queue_size)

        return wrapper

    def on_train_batch_begin(self, original: Callable[..., None]) -> Callable[..., None]:
        """A step begins; after it, the function for training is run, the first time traced."""
        begin = super().on_train_batch_begin(original)

        def wrapper(callbacks: Any, batch: int, logs: Any = None) -> None:
            begin(callbacks, batch, logs)
            call = self._current
            if call is not None and call.callbacks is callbacks:
                call.streams.trace(call.model)

        return wrapper

    def on_train_batch_end(self, original: Callable[..., None]) -> Callable[..., None]:
        """A step ends: the safe point."""
        end = super().on_train_batch_end(original)

        def wrapper(callbacks: Any, batch: int, logs: Any = None) -> None:
            call = self._current
            if call is not None and call.callbacks is callbacks:
                call.streams.trace(None)
                guarded(call.execution_done)(batch)
            end(callbacks, batch, logs)

        return wrapper

    def on_test_batch_begin(self, original: Callable[..., None]) -> Callable[..., None]:
        """A step of an evaluation begins."""

        def wrapper(callbacks: Any, batch: int, logs: Any = None) -> None:
            original(callbacks, batch, logs)
            call = self._current
            if call is not None and call.model is self.model_of(callbacks):
                call.streams.trace(call.model)

        return wrapper

    def on_test_batch_end(self, original: Callable[..., None]) -> Callable[..., None]:
        """It ends."""

        def wrapper(callbacks: Any, batch: int, logs: Any = None) -> None:
            if (call := self._current) is not None:
                call.streams.trace(None)
            original(callbacks, batch, logs)

        return wrapper

    def on_test_end(self, original: Callable[..., None]) -> Callable[..., None]:
        """An evaluation ends."""
        end = super().on_test_end(original)

        def wrapper(callbacks: Any, logs: Any = None) -> None:
            if (call := self._current) is not None:
                call.streams.trace(None)
            end(callbacks, logs)

        return wrapper


def _on_one_device(model: Any) -> bool:
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is not None and model._distribution_strategy is None and strategy.num_replicas_in_sync == 1
