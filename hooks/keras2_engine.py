"""Keras 2 (`tf_keras`): a model's state, structure, and how it is built without a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from holdfast.hooks import assigning, definition, random_state
from holdfast.hooks.data_position import Source
from holdfast.hooks.engine import Engine
from holdfast.hooks.keras2_streams import RandomStreams
from holdfast.hooks.variables import NamedVariable, named
from holdfast.runtime.journal import Definition
from holdfast.runtime.restore import CheckpointPart

STREAM_GROUPS: Final = ("train-streams", "test-streams")

KIND: Final = "a model of Keras 2"
"""The first line of a structure, so that no model of Keras 3 is taken for the same."""


class NotTraced(Exception):
    """The function for training cannot be traced; the message says why."""


class Keras2(Engine):
    """Keras 2. Its models keep more of their state apart than those of Keras 3.

    Args:
        streams: Has the random ops' streams.
    """

    def __init__(self, streams: RandomStreams) -> None:
        self.streams = streams

    def variables(self, model: Any) -> list[NamedVariable]:
        """Weights, optimizers, metrics, counters, states of layers, generators and random streams."""
        metrics = [variable for metric in model.metrics for variable in metric.variables]
        apart = {id(variable) for variable in metrics}
        weights = [variable for variable in model.variables if id(variable) not in apart]
        apart = {id(_plain(variable)) for variable in weights}
        optimizers = [
            variable
            for _, one in _optimizers(model)
            for variable in _optimizer_variables(one)
            if id(_plain(variable)) not in apart
        ]
        groups = {
            "model": weights,
            "optimizer": optimizers,
            "metrics": metrics,
            "counters": [model._train_counter, model._test_counter, model._predict_counter],
            "states": list(_layer_states(model)),
            "generators": [one._generator.state for one in _generators(model) if _has_state(one)],
            "random": [variable for _, variable in random_state.global_variables()],
            **self.streams.variables(model),
        }
        return named({group: [_plain(one) for one in members] for group, members in groups.items()})

    def structure(self, model: Any) -> tuple[str, ...]:
        """A built model's structure, a line for each layer."""
        lines = (
            definition.layer_line(
                layer,
                layer._trainable_weights + layer._non_trainable_weights,
                leaf=next(iter(layer._flatten_layers(include_self=False)), None) is None,
            )
            for layer in model._flatten_layers()
        )
        return (KIND, *lines)

    def definition(
        self, model: Any, arguments: dict[str, Any], optimizer: Any = None, train: Source | None = None
    ) -> Definition:
        """What decides a `fit`'s outcome beside the structure."""
        from tensorflow.python.eager import context

        del train
        if optimizer is None:
            optimizer = _optimizer_definition(model.optimizer)
        made = definition.training_definition(model, arguments, context.global_seed(), optimizer)
        further = {name: one for name, one in _optimizers(model) if one is not model.optimizer}
        if further:
            made["optimizers"] = {name: _optimizer_definition(one) for name, one in further.items()}
        return made

    def architecture(self, model: Any) -> dict[str, str]:
        """None: exports build models of Keras 3 only."""
        del model
        return {"no_model": "it is a model of Keras 2 (tf_keras)", "no_compile": "it is a model of Keras 2"}

    def build(self, model: Any, train: Source) -> None:
        """Traces the function for training as the first step would, which makes all that the step needs.

        Raises:
            NotTraced: The function is run eagerly, and does what only eager code can do.
        """
        import tensorflow as tf
        from tensorflow.python.data.ops.iterator_ops import IteratorSpec

        function = model.train_function
        eager = not hasattr(function, "get_concrete_function")
        if eager:
            function = tf.function(function)
        self.streams.trace(model)
        try:
            function.get_concrete_function(IteratorSpec(train.epochs._dataset.element_spec))
        except Exception as error:
            if not eager:  # then the first step would raise it too
                raise
            if model.built and int(getattr(model.optimizer, "iterations", 0)):
                return  # steps were run, which made everything
            raise NotTraced(type(error).__name__) from error
        finally:
            self.streams.trace(None)

    def not_built(self, error: Exception) -> str:
        """What to say where that fails."""
        if not isinstance(error, NotTraced):
            return super().not_built(error)
        return (
            f"the training function is run eagerly and cannot be traced ({error}), which a restore needs; the "
            "training begins where the model stands, and is saved"
        )

    def learning_rate(self, model: Any) -> Any:
        """The variable that holds the learning rate; None where there is none."""
        optimizer = getattr(model.optimizer, "_optimizer", model.optimizer)
        hyper = getattr(optimizer, "_hyper", None)
        rate = hyper.get("learning_rate") if hyper else getattr(optimizer, "_learning_rate", None)
        return rate if hasattr(rate, "handle") else None

    def generators(self, model: Any) -> dict[str, Any]:
        """As of Keras 3, and the seeds that Keras 2 draws for layers, and that layers count on."""
        from tf_keras.src import backend

        seeds = getattr(backend._SEED_GENERATOR, "generator", None)
        return {
            **super().generators(model),
            "seeds": random_state.python_state(seeds) if seeds is not None else None,
            "layers": [one._seed if isinstance(one._seed, int) else None for one in _generators(model)],
        }

    def restore_generators(self, model: Any, saved: dict[str, Any]) -> None:
        """Puts TensorFlow's and Keras' generators, and those of layers, where they were."""
        from tf_keras.src import backend

        super().restore_generators(model, saved)
        seeds = getattr(backend._SEED_GENERATOR, "generator", None)
        if seeds is not None and saved["seeds"] is not None:
            random_state.set_python_state(seeds, saved["seeds"])
        for one, seed in zip(_generators(model), saved["layers"], strict=False):
            if seed is not None:
                one._seed = seed

    def wanted(self, model: Any, part: CheckpointPart) -> list[NamedVariable]:
        """As of Keras 3; streams that this process has not made yet are put in place as they are made."""
        saved: dict[str, Any] = {}
        for group in STREAM_GROUPS:
            for name, raw in assigning.fetch_arrays(part, f"{group}/").items():
                saved[name] = raw.view(np.int64)
        self.streams.restore_later(model, saved)
        return [
            one
            for one in super().wanted(model, part)
            if one.name in part.tensors or not one.name.startswith(STREAM_GROUPS)
        ]


def _optimizers(model: Any) -> Iterator[tuple[str, Any]]:
    """The model's optimizer, and those in its attributes, such as those of a GAN, by name."""
    from tf_keras.src.optimizers import optimizer
    from tf_keras.src.optimizers.legacy import optimizer_v2

    kinds = (optimizer.Optimizer, optimizer_v2.OptimizerV2)
    found: list[Any] = []
    for name, one in (("optimizer", model.optimizer), *sorted(vars(model).items(), key=_key)):
        if isinstance(one, kinds) and not any(one is other for other in found):
            found.append(one)
            yield name, one


def _optimizer_definition(optimizer: Any) -> Any:
    # A legacy optimizer's numbers become variables of 32 bits as it is built.
    return _in_32_bits(definition.optimizer_definition(optimizer))


def _in_32_bits(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_32_bits(item) for key, item in value.items()}
    return float(np.float32(value)) if isinstance(value, float) else value


def _key(item: tuple[str, Any]) -> str:
    return item[0]


def _optimizer_variables(optimizer: Any) -> Iterator[Any]:
    """All variables of an optimizer; some are in none of its lists."""
    inner = getattr(optimizer, "_optimizer", None)  # of a LossScaleOptimizer
    if inner is not None:
        yield from _optimizer_variables(inner)
        yield from (value for _, value in sorted(_scale_weights(optimizer).items(), key=str))
        return
    variables = optimizer.variables
    yield from variables() if callable(variables) else variables
    for name, value in sorted(vars(optimizer).items(), key=_key):
        held = [item for _, item in sorted(value.items())] if name == "_hyper" else value
        for one in held if isinstance(held, list) else [held]:
            if hasattr(one, "handle"):
                yield one


def _scale_weights(optimizer: Any) -> dict[Any, Any]:
    weights: dict[Any, Any] = getattr(getattr(optimizer, "_loss_scale", None), "_weights", {})
    return weights


def _layer_states(model: Any) -> Iterator[Any]:
    """What stateful recurrent layers remember, and generators in attributes, of which Keras takes no notice."""
    import tensorflow as tf

    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            states = tf.nest.flatten(getattr(layer, "states", None))
            yield from (one for one in states if hasattr(one, "handle"))
        held = sorted(vars(layer).items(), key=_key)
        yield from (value.state for _, value in held if isinstance(value, tf.random.Generator))


def _generators(model: Any) -> list[Any]:
    """The `RandomGenerator` of each layer that has one, in order."""
    found = (getattr(layer, "_random_generator", None) for layer in model._flatten_layers())
    return [one for one in found if hasattr(one, "_seed")]


def _has_state(generator: Any) -> bool:
    return getattr(getattr(generator, "_generator", None), "state", None) is not None


def _plain(variable: Any) -> Any:
    """The `tf.Variable` in an `AutoCastVariable`."""
    return getattr(variable, "_variable", variable)
