"""State that a model of Keras 3 holds as plain attributes, which Keras does not count among its variables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

LONGEST: Final = 100
"""Longer lists are data, not state of a model."""

KERAS_OWN: Final = frozenset(
    {
        "_build_shapes_dict",
        "_inbound_nodes",
        "_layers",
        "_losses",
        "_losses_override",
        "_metrics",
        "_non_trainable_variables",
        "_outbound_nodes",
        "_saved_model_inputs_spec",
        "_seed_generators",
        "_self_saveable_object_factories",
        "_self_unconditional_checkpoint_dependencies",
        "_self_unconditional_deferred_dependencies",
        "_tracked",
        "_trainable_variables",
        "call_signature_parameters",
    }
)
"""Where Keras 3's layers, and TensorFlow beneath them, keep their own things: no variable is there that is
nowhere else and that Keras does not count. Looking into these took a tenth of a snapshot's stall."""


def further_optimizers(model: Any) -> dict[str, Any]:
    """Optimizers beside the compiled one, by attribute, as a GAN's own `train_step` has them."""
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    known = {id(getattr(model, "optimizer", None))}
    found = {}
    for name, value in _values(model):
        if isinstance(value, BaseOptimizer) and id(value) not in known:
            known.add(id(value))
            found[name] = value
    return found


def learning_rate(optimizer: Any) -> Any:
    """The learning rate that trains, as Keras holds it; a LossScaleOptimizer's own does not."""
    while (inner := getattr(optimizer, "inner_optimizer", None)) is not None:
        optimizer = inner
    return getattr(optimizer, "_learning_rate", None)


def loose_variables(model: Any) -> Iterator[Any]:
    """`tf.Variable`s of a model and its layers; Keras 3 counts only its own."""
    from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

    others: set[type] = set()
    """Classes of what is neither: a layer has some forty attributes, and asking what each of them is took a
    fourth of a snapshot's stall."""
    for layer in model._flatten_layers():
        attributes = vars(layer).copy().items()  # another thread may add to them
        for value in [one for name, one in attributes if type(one) not in others and name not in KERAS_OWN]:
            for _, one in _members(value):
                if type(one) in others:
                    continue
                if isinstance(one, BaseResourceVariable):
                    yield one
                elif not isinstance(one, (dict, list, tuple)):
                    others.add(type(one))


def _values(thing: Any) -> Iterator[tuple[str, Any]]:
    """Attributes in their order, and what short lists, tuples and dictionaries among them hold."""
    for name, value in list(vars(thing).items()):
        for key, one in _members(value):
            yield (name if key is None else f"{name}.{key}"), one


def _members(value: Any) -> Iterable[tuple[Any, Any]]:
    """What a short list, tuple or dictionary holds, with its keys or places; any other value with None."""
    match value:
        case dict() if len(value) <= LONGEST:
            return list(value.items())
        case list() | tuple() if len(value) <= LONGEST:
            return enumerate(value)
    return ((None, value),)
