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
    return _read(variable.handle, variable.dtype)


def _read(handle: Any, dtype: Any) -> Any:
    from tensorflow.python.ops import gen_resource_variable_ops

    return gen_resource_variable_ops.read_variable_op(handle, dtype)


def read_all(variables: Sequence[Any]) -> list[Any]:
    """Tensors that share the buffers of variables, or of what has ``handle`` and ``dtype``, in order."""
    groups: dict[tuple[int, str], tuple[Any, list[int], list[Any]]] = {}
    for place, one in enumerate(variables):
        handle, dtype = one.handle, one.dtype
        key = id(dtype), handle.device  # there is one object of each dtype, and its hash is Python
        if (group := groups.get(key)) is None:
            group = groups[key] = (dtype, [], [])
        group[1].append(place)
        group[2].append(handle)
    found: list[Any] = [None] * len(variables)
    for dtype, places, handles in groups.values():
        begin = 0
        for count in AT_ONCE:
            while len(places) - begin >= count:
                end = begin + count
                for place, tensor in zip(
                    places[begin:end], _read_several(handles[begin:end], dtype), strict=True
                ):
                    found[place] = tensor
                begin = end
        for place, handle in zip(places[begin:], handles[begin:], strict=True):
            found[place] = _read(handle, dtype)
    return found


def _read_several(handles: list[Any], dtype: Any) -> list[Any]:
    """Variables of one dtype on one device, by TensorFlow's own fused operation where it can be called."""
    if not _one_by_one.is_set():
        try:
            return _fused(handles, dtype)
        except Exception:  # the operation is internal to TensorFlow; it may change
            log.exception("fused reads; variables are read one by one from now on")
            _one_by_one.set()
    return [_read(one, dtype) for one in handles]


def _fused(handles: list[Any], dtype: Any) -> list[Any]:
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import context

    count = len(handles)
    kinds = [dtype.as_datatype_enum] * count
    found: list[Any] = pywrap_tfe.TFE_Py_Execute(
        context.context()._handle,
        None,
        b"_ReadVariablesOp",
        handles,
        ("N", count, "dtypes", kinds),
        count,
    )
    return found
