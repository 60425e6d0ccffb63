"""A model's first use where it is no training: evaluate, predict, a direct call on real tensors.

A model that was trained in an earlier session, or by an earlier run of the same cells, has its newest weights
then; one that was used there before it was ever trained is let be, so that a rerun sees what the first run saw.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from holdfast.hooks import assigning, definition, reads, variables
from holdfast.hooks.engine import KERAS_3, Engine
from holdfast.hooks.patching import guarded, patch
from holdfast.hooks.restored import described
from holdfast.hooks.tracking import Tracker
from holdfast.hooks.weak import WeakIdentityMap
from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, RestoreFailed
from holdfast.runtime.journal import Slot

log = logging.getLogger("holdfast.hooks")

ENTRANCES: Final = ("evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch")


def install(tracker: Tracker) -> None:
    """Patches Keras' entrances but for `fit`. Keras with its TensorFlow backend must be importable."""
    from keras.src import backend
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.models.model import Model
    from keras.src.saving import saving_lib

    if backend.backend() != "tensorflow":
        return
    from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

    hooks = FirstUse(tracker)
    for name in ENTRANCES:
        patch(TensorFlowTrainer, name, hooks.entrance)
    patch(Model, "__call__", hooks.call)
    patch(Model, "load_weights", hooks.loading)
    patch(Model, "set_weights", hooks.loading)
    patch(saving_lib, "_model_from_config", hooks.loaded_model)
    patch(legacy_h5_format, "load_model_from_hdf5", hooks.loaded_model)


class _Inside(threading.local):
    def __init__(self) -> None:
        self.depth = 0


class FirstUse:
    """Makes the wrappers, and does what a first use wants."""

    engine: Engine = KERAS_3

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._seen: WeakIdentityMap[int] = WeakIdentityMap()
        self._loaded: WeakIdentityMap[bool] = WeakIdentityMap()
        self._inside = _Inside()

    # --- wrappers ---------------------------------------------------------------------------

    def entrance(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A method that takes the data as ``x``."""
        signature = inspect.signature(original)

        @guarded
        def before(model: Any, args: Any, kwargs: Any) -> None:
            try:
                bound = signature.bind(model, *args, **kwargs)
            except TypeError:
                return  # the user's error, which the original raises
            self.begin(model, bound.arguments.get("x"))

        def wrapper(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            if self._inside.depth or self._seen.get(model) == self.tracker.cells.execution:
                return original(model, *args, **kwargs)
            before(model, args, kwargs)
            self._inside.depth += 1
            try:
                return original(model, *args, **kwargs)
            finally:
                self._inside.depth -= 1

        return wrapper

    def call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`Model.__call__`; a model in a model is no root, and one of symbols alone is being built."""

        @guarded
        def before(model: Any, args: Any, kwargs: Any) -> None:
            if self.is_symbolic(args, kwargs):
                return
            data = args[0] if args else next(iter(kwargs.values()), None)
            if data is not None:
                self.begin(model, data)

        def wrapper(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            if not self._inside.depth and self._seen.get(model) != self.tracker.cells.execution:
                before(model, args, kwargs)
            self._inside.depth += 1
            try:
                return original(model, *args, **kwargs)
            finally:
                self._inside.depth -= 1

        return wrapper

    def is_symbolic(self, args: Any, kwargs: Any) -> bool:
        """Whether a call with these arguments only builds something."""
        from keras.src.backend import any_symbolic_tensors
        from keras.src.backend.common.stateless_scope import in_stateless_scope

        return bool(any_symbolic_tensors(args, kwargs) or in_stateless_scope())

    def build(self, model: Any, data: Any) -> None:
        """Makes the model's variables where they are not made yet, from the data's shapes alone."""
        _build(model, data)

    def loading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The user's code gives a model its weights."""

        def wrapper(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = original(model, *args, **kwargs)
            guarded(self._note_loaded)(model)
            return result

        return wrapper

    def loaded_model(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A model is made from a file."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            model = original(*args, **kwargs)
            guarded(self._note_loaded)(model)
            guarded(self.tracker.loaded)(model)
            return model

        return wrapper

    def _note_loaded(self, model: Any) -> None:
        self._loaded[model] = True

    # --- what a first use does --------------------------------------------------------------

    def begin(self, model: Any, data: Any) -> None:
        """A model is about to be used, for the first time in an execution of a cell, and not by a training that
        looks after it; what is its past is asked but once.
        """
        if not self.tracker.session.active or self.tracker.current is not None:
            return
        known = self._seen.get(model) is not None
        self._seen[model] = self.tracker.cells.execution
        self.tracker.reached(model)
        if known:
            return
        bound = self.tracker.bound(model)
        if bound.slot or bound.next_call:
            return
        bound.early.append(bound.place.cell)
        taken = self.tracker.bound_slots()
        if all(slot.name in taken for slot in self.tracker.journal.in_use()):
            return
        import tensorflow as tf

        try:
            self.build(model, data)
        except Exception as error:
            log.exception("build")
            report.say_once("not built", self.engine.not_built(error))
            return
        lines = self.engine.structure(model)
        slot = self.tracker.match(model, definition.fingerprint(lines))
        if slot is None or slot.newest is None or bound.place.cell in slot.early:
            return
        if self.tracker.wishes.begins_anew(model):
            return
        if self._loaded.get(model):
            report.say(
                "the model is used with the weights that your code loaded; its training is in the store, and "
                "fit goes on with that"
            )
            return
        with tf.init_scope():  # the first call may be the tracing of a function
            self._restore(model, slot)

    def _restore(self, model: Any, slot: Slot) -> None:
        # The optimizer stays as the code has it: a changed learning rate is to be seen by the next fit.
        wanted = [one for one in self.engine.variables(model) if one.name.startswith(("model/", "attributes/"))]
        while (checkpoint := self.tracker.session.newest_of(slot.name)) is not None:
            part = checkpoint.part(slot.name)
            try:
                tensors = assigning.fetch_variables(part, wanted)
                break
            except CheckpointDamaged as error:
                self.tracker.session.reject(error)
            except RestoreFailed as error:
                report.say(f"checkpoint {part.stem} does not fit this model ({error}); it is used as it is")
                return
        else:
            return
        bound = self.tracker.bound(model)
        originals = [one.variable for one in wanted]
        bound.initial = list(zip(originals, reads.read_all(originals), strict=True))
        assigning.assign(wanted, tensors)
        self.tracker.bind(model, slot)
        report.say(
            f"the model has the weights of its training again ({described(part)}). To have it as your code "
            f"made it: {self.tracker.wishes.line('fresh', slot)}"
        )


def _build(model: Any, data: Any) -> None:
    """Makes the model's variables where they are not made yet, from the data's shapes alone."""
    import tensorflow as tf
    from keras.src import backend

    if all(layer.built for layer in model._flatten_layers()):
        return
    if isinstance(data, tf.data.Dataset):
        spec = data.element_spec
        data = spec[0] if isinstance(spec, tuple) else spec

    def symbol(value: Any) -> Any:
        shape = tuple(value.shape)
        return backend.KerasTensor((None, *shape[1:]), backend.standardize_dtype(value.dtype))

    # The random numbers of initializers are the next ones, as they would be in the call itself.
    with variables.built_symbolically(model):
        backend.compute_output_spec(model, tf.nest.map_structure(symbol, data), training=False)
