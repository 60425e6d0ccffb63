"""Arrays beyond NumPy's own dtypes, and eager tensors, as plain arrays with the name of a dtype."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

_SMALL: Final = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")
"""Dtypes of ml_dtypes, which NumPy's own letters do not tell: they go by their names."""


def dtype_name(dtype: np.dtype[Any]) -> str:
    """What `dtype_of` makes the dtype of; empty where it has no plain form."""
    if dtype.type.__module__ == "ml_dtypes":
        return dtype.name if dtype.name in _SMALL else ""
    return dtype.str if dtype.kind in "biufc" else ""


def dtype_of(name: str) -> np.dtype[Any]:
    """The dtype of a name.

    Raises:
        TypeError: There is none.
    """
    if name in _SMALL:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def tensor_value(value: Any) -> np.ndarray[Any, Any] | None:
    """The value of an eager tensor, sharing its memory; None for anything else."""
    if type(value).__name__ != "EagerTensor" or "tensorflow" not in sys.modules:
        return None
    read = getattr(value, "_numpy_internal", None)
    return np.asarray(read()) if read is not None else None


def tensor_of(array: np.ndarray[Any, Any]) -> Any:
    """An eager tensor of that value."""
    import tensorflow as tf

    return tf.constant(array)
