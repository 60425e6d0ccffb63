"""References of variables at a step boundary.

TensorFlow's resource variables copy on write while a reference is held, so a list of references
taken between two steps stays what it was, in milliseconds whatever its size; the writer thread reads
TensorFlow's own buffers, without a copy in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from holdfast.hooks.plain import flat_bytes
from holdfast.hooks.reads import read_all
from holdfast.hooks.variables import NamedVariable, tensor_spec
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.spool import TensorSource


def references(variables: Sequence[NamedVariable]) -> list[TensorSource]:
    """Takes a reference of every variable's present value, in the order in which to write them."""
    ordered = in_update_order(variables)
    tensors = read_all([one.variable for one in ordered])
    sources = [
        TensorSource(one.spec, _TensorBytes(tensor)) for one, tensor in zip(ordered, tensors, strict=True)
    ]
    reach("save.references")
    return sources


def in_update_order(variables: Sequence[NamedVariable]) -> list[NamedVariable]:
    """The variables in about the order in which the next step updates them.

    Gradients come last layer first, and a variable is updated, with its slots in the optimizer, as soon as
    its gradient is there. What is written and let go before that needs no copy: measured on a dense
    model of 800 MB, this halves the time that the next step takes longer.
    """
    total: dict[str, int] = {}
    groups, depth = [], []
    for one in variables:
        group = one.name.partition("/")[0]
        total[group] = total.get(group, 0) + one.spec.nbytes
        groups.append(group)
        depth.append(float(total[group]))
    for place, group in enumerate(groups):
        depth[place] /= total[group] or 1
    order = sorted(range(len(variables)), key=depth.__getitem__, reverse=True)
    return [variables[place] for place in order]


class _TensorBytes:
    """A tensor's own bytes."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __call__(self) -> memoryview:
        # _numpy_internal shares a CPU tensor's buffer, which .numpy() would copy
        return flat_bytes(getattr(self.tensor, "_numpy_internal", self.tensor.numpy)())


def array_sources(arrays: dict[str, np.ndarray[Any, Any]]) -> list[TensorSource]:
    """Sources for arrays that nobody writes into any more."""
    return [_array_source(name, array) for name, array in arrays.items()]


def _array_source(name: str, array: np.ndarray[Any, Any]) -> TensorSource:
    return TensorSource(tensor_spec(name, array.dtype, array.shape), lambda: flat_bytes(array))
