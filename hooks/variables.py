"""The whole state of a model as variables in structural order, by no name that a rerun changes."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from holdfast.hooks import attributes, random_state
from holdfast.hooks.weak import WeakIdentityMap
from holdfast.runtime.objects import TensorSpec

DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "bfloat16": "BF16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
}
"""NumPy's names of dtypes, and safetensors'."""


class NamedVariable(NamedTuple):
    """A variable of the state.

    Attributes:
        name: Group and place in it, such as ``optimizer/00003``; equal across reruns.
        label: Keras' own path, for people.
        variable: The `tf.Variable` underneath.
        known: Its spec, where it was made before.
    """

    name: str
    label: str
    variable: Any
    known: TensorSpec | None = None

    @property
    def spec(self) -> TensorSpec:
        """Name, dtype and shape."""
        return self.known or tensor_spec(
            self.name, self.variable.dtype.as_numpy_dtype, tuple(self.variable.shape)
        )


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is known of a place in a model's state, as long as the same variable is in it."""

    reference: weakref.ref[Any]
    name: str
    label: str
    spec: TensorSpec | None


_plans: WeakIdentityMap[dict[str, list[_Planned]]] = WeakIdentityMap()
"""Of each model, by group. A snapshot that makes names and specs anew makes so many objects, where there are
thousands of variables, that Python's garbage collector goes through all that lives, a third of a second."""


@contextlib.contextmanager
def built_symbolically(model: Any) -> Iterator[None]:
    """Within it, a model of Keras 3 is built; its variables come to be as a traced step would make them.

    There a frozen layer's variables are made before they are frozen. Symbolically they are made after it, and
    TensorFlow's gradients would pass them by for good, also once the layer is not frozen any more.
    """
    known = {id(one) for one in _to_be_trained(model)}
    try:
        yield
    finally:
        for one in _to_be_trained(model):
            if id(one) not in known and one._value is not None:
                one._value._trainable = True


def _to_be_trained(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield from layer._trainable_variables


def tensor_spec(name: str, dtype: Any, shape: tuple[int, ...]) -> TensorSpec:
    """The spec of a tensor; a dtype that safetensors lacks is kept as its bytes."""
    known, size = _kind(dtype)
    return TensorSpec(name, known, shape) if known else TensorSpec(name, "U8", (*shape, size))


@cache
def _kind(dtype: Any) -> tuple[str, int]:
    """Safetensors' name of a dtype, empty where it has none, and the bytes of an element."""
    kind = np.dtype(dtype)
    return DTYPES.get(kind.name, ""), kind.itemsize


def of_model(model: Any) -> list[NamedVariable]:
    """All variables of a model, its optimizer, its metrics and the global generators, each once.

    Keras' ``model.variables`` holds the seed generators, which weight files lack.
    """
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    optimizer = getattr(model, "optimizer", None)
    inner = list(optimizer.variables) if optimizer is not None else []
    apart = {id(underlying(variable)) for variable in (*metrics, *inner)}
    weights = [variable for variable in model.variables if id(underlying(variable)) not in apart]
    further = attributes.further_optimizers(model).values()
    groups: dict[str, Iterable[Any]] = {
        "model": weights,
        "optimizer": inner,
        "metrics": metrics,
        **{f"optimizer-{number}": list(one.variables) for number, one in enumerate(further, start=1)},
        "attributes": attributes.loose_variables(model),
        "random": [variable for _, variable in random_state.global_variables()],
    }
    plans = _plans.get(model)
    if plans is None:
        plans = _plans[model] = {}
    return named(groups, plans)


def named(
    groups: Mapping[str, Iterable[Any]], plans: dict[str, list[_Planned]] | None = None
) -> list[NamedVariable]:
    """Variables by group, each once, in order; those not made yet are left out.

    Args:
        groups: The variables.
        plans: What is known of them from the last time, to be brought up to date.
    """
    seen: set[int] = set()
    found: list[NamedVariable] = []
    for group, variables in groups.items():
        plan = [] if plans is None else plans.setdefault(group, [])
        place = 0
        for variable in variables:
            inner = underlying(variable)
            if inner is None or id(inner) in seen:
                continue
            seen.add(id(inner))
            if place >= len(plan) or plan[place].reference() is not inner:
                plan[place:] = [_planned(group, place, variable, inner)]
            one = plan[place]
            found.append(NamedVariable(one.name, one.label, inner, one.spec))
            place += 1
        del plan[place:]
    return found


def _planned(group: str, place: int, variable: Any, inner: Any) -> _Planned:
    name = f"{group}/{place:05d}"
    label = str(getattr(variable, "path", getattr(variable, "name", "")))
    shape = tuple(inner.shape) if getattr(inner.shape, "rank", 0) is not None else (None,)
    known = None not in shape
    spec = tensor_spec(name, inner.dtype.as_numpy_dtype, shape) if known else None
    return _Planned(weakref.ref(inner), name, label, spec)


def underlying(variable: Any) -> Any:
    """The `tf.Variable` of a Keras variable, None while it is not made."""
    return getattr(variable, "_value", variable)
