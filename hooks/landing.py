"""Memory that tensors of a checkpoint are read into, and that variables then share."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any, Final

import numpy as np

from holdfast.hooks.variables import DTYPES
from holdfast.runtime.manifest import TensorRecord

OWN_BYTES: Final = 64 << 10
"""From so many bytes on a tensor is read into TensorFlow's own memory. To copy a smaller one costs less than
the operation that allocates it."""

HUGE_BYTES: Final = 4 << 20
"""From so many bytes on huge pages are asked for: to touch fresh small ones first takes longer than to read."""

_KINDS: Final = {stored: name for name, stored in DTYPES.items()}


class Landing:
    """One tensor's memory.

    Attributes:
        raw: It as flat bytes.
    """

    def __init__(self, record: TensorRecord) -> None:
        self._tensor = _empty(record)
        if self._tensor is None:
            self.raw: np.ndarray[Any, Any] = np.empty(record.spec.nbytes, np.uint8)
        else:
            self.raw = self._tensor._numpy_internal().reshape(-1).view(np.uint8)
            _ask_for_huge_pages(self.raw)

    def tensor_for(self, variable: Any) -> Any:
        """What was read as an eager tensor of a variable's dtype and shape, without a copy where it can be."""
        import tensorflow as tf

        tensor, shape = self._tensor, tuple(variable.shape)
        if tensor is not None and tensor.dtype == variable.dtype and tuple(tensor.shape) == shape:
            return tensor
        return tf.convert_to_tensor(self.raw.view(variable.dtype.as_numpy_dtype).reshape(shape))


def _empty(record: TensorRecord) -> Any:
    """An eager tensor whose memory may be written; None where a copy is as good, or TensorFlow has none.

    Nobody else knows it yet, so nobody sees its bytes change.
    """
    import tensorflow as tf

    spec = record.spec
    if spec.nbytes < OWN_BYTES or not spec.shape:  # NumPy copies scalars
        return None
    try:
        with tf.device("CPU:0"):
            tensor = tf.raw_ops.Empty(shape=spec.shape, dtype=tf.as_dtype(_KINDS[spec.dtype]), init=False)
        view = tensor._numpy_internal()
    except (AttributeError, TypeError, tf.errors.OpError):  # no such kernel: eight-bit floats
        return None
    return tensor if view.flags.writeable and view.flags.c_contiguous and not view.flags.owndata else None


def _ask_for_huge_pages(raw: np.ndarray[Any, Any]) -> None:
    """Asks the system for huge pages; where it has none, or another system is underneath, nothing changes."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None or raw.nbytes < HUGE_BYTES:
        return
    page, address = mmap.PAGESIZE, raw.ctypes.data
    begin, end = -(-address // page) * page, (address + raw.nbytes) // page * page
    ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), advice)
