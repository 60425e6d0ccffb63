"""A first use of a Keras 2 model that is no training: where it differs from one of Keras 3."""

from __future__ import annotations

from typing import Any

from holdfast.hooks.first_use import ENTRANCES, FirstUse
from holdfast.hooks.keras2_engine import Keras2
from holdfast.hooks.keras2_streams import SCRATCH_GRAPHS
from holdfast.hooks.patching import patch
from holdfast.hooks.tracking import Tracker


def install(tracker: Tracker, engine: Keras2) -> None:
    """Patches the entrances of Keras 2 but for `fit`. `tf_keras` must be importable."""
    from tf_keras.src.engine.training import Model
    from tf_keras.src.saving import saving_lib
    from tf_keras.src.saving.legacy import hdf5_format
    from tf_keras.src.saving.legacy.saved_model import load

    hooks = Keras2FirstUse(tracker, engine)
    for name in ENTRANCES:
        patch(Model, name, hooks.entrance)
    patch(Model, "__call__", hooks.call)
    patch(Model, "load_weights", hooks.loading)
    patch(Model, "set_weights", hooks.loading)
    patch(saving_lib, "load_model", hooks.loaded_model)
    patch(hdf5_format, "load_model_from_hdf5", hooks.loaded_model)
    patch(load, "load", hooks.loaded_model)


class Keras2FirstUse(FirstUse):
    """Makes the wrappers, and does what a first use wants."""

    def __init__(self, tracker: Tracker, engine: Keras2) -> None:
        super().__init__(tracker)
        self.engine = engine

    def is_symbolic(self, args: Any, kwargs: Any) -> bool:
        """Whether a call with these arguments only builds something."""
        import tensorflow as tf
        from tf_keras.src.engine import base_layer_utils, keras_tensor

        if base_layer_utils.is_in_keras_graph():
            return True
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if getattr(graph, "name", "") in SCRATCH_GRAPHS:
            return True
        return any(isinstance(one, keras_tensor.KerasTensor) for one in tf.nest.flatten((args, kwargs)))

    def build(self, model: Any, data: Any) -> None:
        """Makes the model's variables where they are not made yet, by tracing a call."""
        import tensorflow as tf
        from tf_keras.src import backend

        if all(layer.built for layer in model._flatten_layers()):
            return
        if isinstance(data, tf.data.Dataset):
            spec = data.element_spec
            data = spec[0] if isinstance(spec, tuple) else spec

        def symbol(value: Any) -> Any:
            kind = tf.as_dtype(value.dtype)
            return tf.TensorSpec((None, *value.shape[1:]), backend.floatx() if kind.is_floating else kind)

        def call(inputs: Any) -> Any:
            return model(inputs, training=False)

        tf.function(call).get_concrete_function(tf.nest.map_structure(symbol, data))
