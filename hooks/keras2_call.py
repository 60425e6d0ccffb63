"""One `fit` of a Keras 2 model: where it differs from one of Keras 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from holdfast.hooks.data_position import FRESH, ITERATOR
from holdfast.hooks.keras2_data import HandlerSource, Skippable
from holdfast.hooks.keras2_engine import Keras2, NotTraced
from holdfast.hooks.logs import restored_logs
from holdfast.hooks.tracking import Tracker
from holdfast.hooks.training_call import FitCall
from holdfast.runtime import report
from holdfast.runtime.crashpoints import reach


class Keras2Call(FitCall):
    """A running `fit`. Its methods are called by the wrappers of `keras2_fit`, in Keras' order."""

    engine: Keras2
    train: HandlerSource | None
    evaluation: HandlerSource | None

    def __init__(self, tracker: Tracker, model: Any, arguments: dict[str, Any], engine: Keras2) -> None:
        super().__init__(tracker, model, arguments)
        self.engine = engine
        self.streams = engine.streams
        self._first_epoch: int | None = None
        self._sliced: Callable[[int], Any] | None = None
        self._sequence: Skippable | None = None

    # --- what Keras makes ---------------------------------------------------------------------

    def arrays_sliced(self, adapter: Any, slice_inputs: Callable[..., Any], indices: Any, inputs: Any) -> None:
        """Keras made the pipeline of the arrays: remembers how to make it from a later batch on."""
        if self.train is not None or self._sliced is not None or getattr(adapter, "_shuffle", None) == "batch":
            return
        weights = self.arguments.get("class_weight")

        def sliced(count: int) -> Any:
            import tensorflow as tf
            from tf_keras.src.engine import data_adapter

            dataset = slice_inputs(adapter, indices.skip(count), inputs).prefetch(tf.data.AUTOTUNE)
            return dataset.map(data_adapter._make_class_weight_map_fn(weights)) if weights else dataset

        self._sliced = sliced

    def sequence_taken(self, sequence: Any) -> Skippable:
        """Keras takes a `Sequence` for its data: what it shall read instead."""
        found = Skippable(sequence)
        if self.train is None:
            self._sequence = found
        return found

    def source_made(self, epoch_iterator: Any) -> None:
        """Keras made a `DataHandler`: the first one of a call is the training's."""
        if self.train is None:
            self.train = HandlerSource(epoch_iterator, self._sliced, self._sequence)

    def source_of(self, epoch_iterator: Any) -> Any:
        """What follows that handler, if it is the training's or its validation's."""
        if self.train is not None and self.train.epochs is epoch_iterator:
            return self.train
        if getattr(self.model, "_eval_data_handler", None) is not epoch_iterator:
            return None
        if self.evaluation is None:
            self.evaluation = HandlerSource(epoch_iterator, validation=True)
            self.evaluation.owed = self._evaluated if self.evaluation.kind == "dataset" else 0
        return self.evaluation

    # --- resuming -----------------------------------------------------------------------------

    def before_train_begin(self, callbacks: Any) -> None:
        """As of Keras 3, unless the model is run eagerly by code that cannot be traced."""
        try:
            super().before_train_begin(callbacks)
        except NotTraced as error:
            self._definition = self.engine.definition(self.model, self.arguments)
            report.say(self.engine.not_built(error))

    def _begin_at(self, epoch: int) -> None:
        self._first_epoch = epoch

    def epochs_begin(self, handler: Any) -> None:
        """Before the first epoch: has Keras begin with the one to be resumed."""
        if self.train is None or self.train.epochs is not handler:
            return
        if self._first_epoch is None:
            return
        handler._initial_epoch, handler._initial_step = self._first_epoch, 0
        restored = self.restored
        if restored is not None and self.resuming:
            states: dict[str, bytes] = {
                name: restored.arrays[name].tobytes() for name in (ITERATOR, FRESH) if name in restored.arrays
            }
            self.train.aim(restored.position["data"], states, restored.position["phase"])

    def _go_to_position(self, original: Iterator[Any]) -> Iterator[Any]:
        restored, source = self.restored, self.train
        assert restored is not None and source is not None
        position = restored.position
        source.arrive(lambda: restored.assign_data_object(self._data))
        tail = position["phase"] == "tail"
        self._executions = int(position["executions"])
        if self._executions:  # again: what began the epoch anew has reset metrics and drawn numbers
            restored.assign(self._watched, self._data)
            self._logs = restored_logs(restored.state.get("logs"), restored.arrays)
            self._phase = "batches"
        reach("restore.position")
        if tail:
            return iter(())
        if self._executions:
            source.epochs._initial_step = int(position["data"]["step"])
        return original

    # --- steps --------------------------------------------------------------------------------

    def execution_done(self, last: int) -> None:
        """An execution of the function for training is done; its last batch is number ``last`` of the epoch."""
        if self.train is not None:
            self.train.step_done(last)

    def missing_logs(self) -> dict[str, Any]:
        """The logs of an epoch that was resumed with no batch left; Keras takes their lack for an error."""
        return dict(self._logs) if isinstance(self._logs, dict) else {}

    def batches_over(self, logs: Any) -> Any:
        """As of Keras 3."""
        self.streams.trace(None)
        return super().batches_over(logs)

    def closed(self) -> None:
        """The end, however it came."""
        self.streams.trace(None)
