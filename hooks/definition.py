"""What a model is and what a training call trains: fingerprints and definitions, as plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xxhash

from holdfast.hooks import configuration
from holdfast.hooks.plain import flat_bytes
from holdfast.runtime.journal import Definition

if TYPE_CHECKING:
    from holdfast.hooks.data_position import Source

SAMPLED_ABOVE: Final = 32 << 20
"""Arrays up to 32 MiB are hashed whole (3 ms); larger ones by blocks spread over them."""

ARRAYS_OF: Final = frozenset({"jax", "jaxlib", "numpy", "pandas", "tensorflow", "torch"})
"""Packages whose arrays are read once more without anybody noticing."""

SAMPLE_BLOCKS: Final = 128
SAMPLE_BYTES: Final = 64 << 10

_PASSING_KEYS: Final = frozenset(
    {"name", "seed", "trainable", "build_config", "registered_name", "module", "shared_object_id"}
)
"""Keys of Keras configurations that differ from one run of the same code to the next, or that the
definition has elsewhere."""

_BATCH_SHAPES: Final = frozenset({"batch_shape", "batch_input_shape"})
"""Keys of shapes whose first number is the batch's size where Keras happened to know it."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")


def structure(model: Any) -> tuple[str, ...]:
    """A built model's structure, a line for each layer: class, variables, configuration; no names."""
    return tuple(
        layer_line(layer, layer._trainable_variables + layer._non_trainable_variables, leaf=not layer._layers)
        for layer in model._flatten_layers()
    )


def layer_line(layer: Any, variables: Iterable[Any], *, leaf: bool) -> str:
    """A layer's class and own variables, and its configuration where it holds no other layers."""
    held = ", ".join(
        f"{getattr(variable.dtype, 'name', variable.dtype)}{list(variable.shape)}" for variable in variables
    )
    config = json.dumps(_config(layer), sort_keys=True) if leaf else ""
    return " ".join(part for part in (type(layer).__name__, held, config) if part)


def fingerprint(lines: tuple[str, ...]) -> str:
    """Hash of a structure."""
    return xxhash.xxh3_128_hexdigest("\n".join(lines).encode())


def _config(thing: Any) -> Any:
    try:
        return _clean(configuration.of(thing))
    except Exception:  # a user's get_config may raise anything; then only shapes tell
        return None


def _any_batch(shape: Any) -> Any:
    return [None, *shape[1:]] if isinstance(shape, (list, tuple)) else shape


def _key(item: tuple[Any, Any]) -> str:
    return str(item[0])


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _any_batch(item) if key in _BATCH_SHAPES else _clean(item)
            for key, item in sorted(value.items(), key=_key)
            if key not in _PASSING_KEYS
        }
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, np.ndarray):
        return array_hash(value)
    if hasattr(type(value), "get_config") and not isinstance(value, type):
        return [type(value).__name__, _config(value)]
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    if type(value).__module__.split(".")[0] not in configuration.LIBRARIES:
        return type(value).__qualname__  # its repr is the user's code
    return _ADDRESS.sub("", repr(value))[:200]


def optimizer_definition(optimizer: Any) -> Any:
    """An optimizer's class and configuration."""
    if optimizer is None:
        return None
    return {"class": type(optimizer).__name__, **(_config(optimizer) or {})}


def keras_seed() -> Any:
    """The seed that was given to Keras 3; None for none."""
    from keras.src.utils import rng_utils

    return getattr(rng_utils, "get_random_seed", lambda: None)()


def training_definition(
    model: Any, arguments: dict[str, Any], seed: Any, optimizer: Any = None, train: Source | None = None
) -> Definition:
    """What decides a `fit`'s outcome beside the structure.

    Args:
        model: The model.
        arguments: Those of `fit`, by name, with defaults applied.
        seed: The global seed; None where none was set.
        optimizer: The optimizer's definition where it is known already.
        train: Keras' view of the data, where it is known already.
    """
    return {
        "optimizer": optimizer if optimizer is not None else optimizer_definition(model.optimizer),
        "loss": _clean(model.loss),
        "loss_weights": _clean(_loss_weights(model)),
        "batch_size": arguments.get("batch_size"),
        "steps_per_epoch": arguments.get("steps_per_epoch"),
        "steps_per_execution": int(getattr(model, "steps_per_execution", 1) or 1),
        "validation_split": float(arguments.get("validation_split") or 0.0),
        "shuffle": _clean(arguments.get("shuffle")),
        "class_weight": _clean(arguments.get("class_weight")),
        "frozen_layers": sum(not layer.trainable for layer in model._flatten_layers()),
        "seed": seed,
        "data": data_definition(arguments, train),
    }


def _loss_weights(model: Any) -> Any:
    """The weights of the losses as given to `compile`."""
    container = getattr(model, "_compile_loss", None)  # Keras 3; Keras 2 has the other
    if container is None:
        container = getattr(model, "compiled_loss", None)
    return getattr(container, "_user_loss_weights", None)


def data_definition(arguments: dict[str, Any], train: Source | None = None) -> dict[str, Any]:
    """What the data are: a content hash for arrays; what else can be told without reading them."""
    found = {}
    for key in ("x", "y", "sample_weight"):
        value = arguments.get(key)
        if value is not None:
            found[key] = _describe_data(value, train)
    held_out: Any = arguments.get("validation_data")
    if type(held_out) in (list, tuple) and 2 <= len(held_out) <= 3:
        held_out = dict(zip(("x", "y", "sample_weight"), held_out, strict=False))
    if held_out is not None:
        found["validation"] = _describe_data(held_out, None, ask=False)
    return found


def _describe_data(value: Any, train: Source | None, *, ask: bool = True) -> Any:
    """What data are.

    Args:
        value: The data.
        train: Keras' view of them, where it is known already.
        ask: Whether an object of the user's may be asked for its length, as Keras has just done.
    """
    import tensorflow as tf

    kind = type(value)
    if isinstance(value, tf.data.Dataset):
        return {"tf.data": str(value.element_spec), "batches": int(value.cardinality())}
    if isinstance(value, dict):
        return {str(key): _describe_data(item, train, ask=ask) for key, item in value.items()}
    if kind in (list, tuple) and value and not isinstance(value[0], (int, float)):
        return [_describe_data(item, train, ask=ask) for item in value]
    if isinstance(value, tf.Tensor):
        return array_hash(value.numpy())
    if isinstance(value, np.ndarray):
        return array_hash(np.ndarray.view(value, np.ndarray))
    # Objects of other classes, the user's among them, may note it when they are read.
    if kind in (list, tuple) or (kind.__module__.split(".")[0] in ARRAYS_OF and hasattr(kind, "__array__")):
        return array_hash(np.asarray(value))
    if hasattr(kind, "__getitem__") and hasattr(kind, "num_batches"):
        if not ask:
            return {"PyDataset": kind.__name__}
        told = train is not None and train.data_object is value  # to Keras: the user's code is not asked again
        batches = train.epochs._num_batches if train is not None and told else value.num_batches
        return {"PyDataset": kind.__name__, "batches": batches}
    if hasattr(kind, "__getitem__") and hasattr(kind, "on_epoch_end"):
        return {"Sequence": kind.__name__, **({"batches": len(value)} if ask else {})}
    return "not checkable"


def array_hash(array: np.ndarray[Any, Any]) -> str:
    """Shape, dtype and hash of an array's content, sampled where it is large."""
    head = f"{array.dtype.str}{list(array.shape)}"
    if array.dtype.hasobject:
        return head
    if array.nbytes <= SAMPLED_ABOVE:
        return f"{head}:{xxhash.xxh3_64_hexdigest(flat_bytes(array))}"
    digest = xxhash.xxh3_64()
    rows = max(1, SAMPLE_BYTES * len(array) // array.nbytes)
    for start in np.linspace(0, len(array) - rows, SAMPLE_BLOCKS).astype(int):
        digest.update(flat_bytes(array[start : start + rows]))
    return f"{head}:~{digest.hexdigest()}"
