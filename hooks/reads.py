"""Tensors that share variables' buffers, read many at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Final

AT_ONCE: Final = (64, 16, 4)
"""Variables that one operation reads, a few fixed numbers: the first call of each number and dtype prepares a
kernel, in time that grows with the square of the number. 64 in one operation take a fourth of 64 operations."""

log = logging.getLogger("holdfast.hooks")

_one_by_one: Final = threading.Event()
"""Set where the fused operation cannot be called."""


def read(variable: Any) -> Any:
    """A tensor that shares the variable's buffer."""
    from tensorflow.python.ops import gen_resource_variable_ops

    return gen_resource_variable_ops.read_variable_op(variable.handle, variable.dtype)


def read_all(variables: Sequence[Any]) -> list[Any]:
    """Tensors that share the buffers of variables, or of what has ``handle`` and ``dtype``, in order."""
    groups: dict[tuple[Any, str], list[int]] = {}
    for place, one in enumerate(variables):
        groups.setdefault((one.dtype, one.handle.device), []).append(place)
    found: list[Any] = [None] * len(variables)
    for places in groups.values():
        begin = 0
        for count in AT_ONCE:
            while len(places) - begin >= count:
                some = places[begin : begin + count]
                for place, tensor in zip(some, _read_several([variables[one] for one in some]), strict=True):
                    found[place] = tensor
                begin += count
        for place in places[begin:]:
            found[place] = read(variables[place])
    return found


def _read_several(variables: Sequence[Any]) -> list[Any]:
    """Variables of one dtype on one device, by TensorFlow's own fused operation where it can be called."""
    if not _one_by_one.is_set():
        try:
            return _fused(variables)
        except Exception:  # the operation is internal to TensorFlow; it may change
            log.exception("fused reads; variables are read one by one from now on")
            _one_by_one.set()
    return [read(one) for one in variables]


def _fused(variables: Sequence[Any]) -> list[Any]:
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import context

    count = len(variables)
    kinds = [variables[0].dtype.as_datatype_enum] * count
    found: list[Any] = pywrap_tfe.TFE_Py_Execute(
        context.context()._handle,
        None,
        b"_ReadVariablesOp",
        [one.handle for one in variables],
        ("N", count, "dtypes", kinds),
        count,
    )
    return found
