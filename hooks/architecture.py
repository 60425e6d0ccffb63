"""A model's architecture beside its state, so that an export can build the model without the user's code.

Made once for each model and each `compile`: the text is kept, packed, and goes into every snapshot as it is.
"""

from __future__ import annotations

import base64
import json
import logging
import types
import weakref
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.hooks import configuration
from holdfast.hooks.weak import WeakIdentityMap

log = logging.getLogger("holdfast.hooks")

MAX_PACKED_BYTES: Final = 1 << 20
"""A larger one, such as that of a layer which holds a vocabulary, would weigh on every manifest."""

MAX_TEXT_BYTES: Final = 256 << 20
"""No more is unpacked."""

Architecture = dict[str, str]
"""``keras``: its version; ``model`` and ``compile``: packed configurations; ``no_model`` and ``no_compile``:
why there is none."""


class NotKept(Exception):
    """There is no architecture to be kept; the message says why."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was made for a model, and the `compile` that it was made after."""

    compiled: weakref.ref[Any] | None
    architecture: Architecture


_known: WeakIdentityMap[_Known] = WeakIdentityMap()


def of_model(model: Any) -> Architecture:
    """The architecture of a built model. Raises nothing, and says nothing to the user."""
    try:
        compiled = getattr(model, "_compile_config", None)
        known = _known.get(model)
        if known is not None and (known.compiled() if known.compiled else None) is compiled:
            return known.architecture
        made = _make(model, compiled)
        _known[model] = _Known(weakref.ref(compiled) if compiled is not None else None, made)
    except Exception as error:
        log.exception("architecture")
        return {"no_model": _brief(error), "no_compile": _brief(error)}
    return made


def _make(model: Any, compiled: Any) -> Architecture:
    import keras

    model_part = _kept("model", lambda: _model_config(model))
    compile_part = _kept("compile", lambda: _compile_config(model, compiled))
    return {"keras": str(keras.__version__), **model_part, **compile_part}


def _kept(key: str, make: Callable[[], Any]) -> Architecture:
    """A configuration packed under its key, or why there is none."""
    try:
        return {key: pack(make())}
    except NotKept as error:
        return {f"no_{key}": str(error)}
    except Exception as error:  # a user's get_config may raise anything
        log.info("no configuration of the %s", key, exc_info=True)
        return {f"no_{key}": _brief(error)}


def _model_config(model: Any) -> dict[str, Any]:
    """The model's configuration, without that of `compile`."""
    import keras
    from keras.src.models import Functional, Sequential

    kind = type(model)
    if kind not in (Functional, Sequential) and not is_registered(kind):
        raise NotKept(f"the class {kind.__name__} is the user's own and not registered with keras.saving")
    if not model.built:
        raise NotKept("the model is not built")
    for layer in model._flatten_layers(include_self=False):
        if _has_lambda(getattr(getattr(layer, "_compile_config", None), "config", None)):
            raise NotKept(f"the model {layer.name} in it is compiled with a lambda")
    layers = model._flatten_layers(include_self=False)
    if not (configuration.own_code_reads(model) and all(map(configuration.is_harmless, layers))):
        raise NotKept("the get_config of a class of the user's does more than read, so it is not called")
    # As Keras serializes it, but for what it was compiled with: that comes apart.
    return {
        "module": kind.__module__,
        "class_name": kind.__name__,
        "registered_name": keras.saving.get_registered_name(kind),
        "config": model.get_config(),
        "build_config": model.get_build_config(),
    }


def _compile_config(model: Any, compiled: Any) -> dict[str, Any]:
    """What `compile` was given, each part that has a configuration; the optimizer as it is now."""
    if compiled is None:
        raise NotKept("the model is not compiled")
    parts = {**compiled.config, "optimizer": model.optimizer}
    found: dict[str, Any] = {}
    for name, part in parts.items():
        try:
            found[name] = _serialized(part)
            json.dumps(found[name])
        except Exception:  # such as a loss of a class without get_config
            log.info("%s has no configuration", name, exc_info=True)
            found[name] = {"class_name": "__unknown__", "config": type(part).__name__}
    return found


def _serialized(thing: Any) -> Any:
    if _has_lambda(thing):  # Keras would warn the user of what the user has not done
        raise NotKept("a lambda has no configuration")
    if not configuration.is_harmless(thing):
        raise NotKept("its get_config does more than read, so it is not called")
    import keras

    return keras.saving.serialize_keras_object(thing)


def _has_lambda(thing: Any) -> bool:
    if isinstance(thing, dict):
        return any(map(_has_lambda, thing.values()))
    if isinstance(thing, (list, tuple)):
        return any(map(_has_lambda, thing))
    return isinstance(thing, types.FunctionType) and thing.__name__ == "<lambda>"


def is_registered(kind: type) -> bool:
    """Whether a class was registered with keras.saving."""
    import keras

    return keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind


def pack(config: Any) -> str:
    """A configuration as a short text.

    Raises:
        NotKept: It is too large.
        TypeError, ValueError: It is not plain JSON.
    """
    packed = base64.b64encode(zlib.compress(json.dumps(config).encode())).decode()
    if len(packed) > MAX_PACKED_BYTES:
        raise NotKept(f"its configuration is too large ({len(packed)} bytes)")
    return packed


def unpack(text: str) -> Any:
    """The configuration that `pack` made a text of.

    Raises:
        ValueError: The text is not one of those.
    """
    try:
        reader = zlib.decompressobj()
        data = reader.decompress(base64.b64decode(text, validate=True), MAX_TEXT_BYTES)
        if not reader.eof:
            raise ValueError("cut off, or too long")
        return json.loads(data)
    except (zlib.error, RecursionError) as error:
        raise ValueError(f"not a packed configuration: {error}") from None


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
