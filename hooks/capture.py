"""References of variables at a step boundary.

TensorFlow's resource variables copy on write while a reference is held, so a list of references
taken between two steps stays what it was, in milliseconds whatever its size; the writer thread reads
TensorFlow's own buffers, without a copy in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np

from holdfast.hooks import headroom
from holdfast.hooks.patching import guarded
from holdfast.hooks.plain import flat_bytes
from holdfast.hooks.reads import read, read_all
from holdfast.hooks.variables import NamedVariable, tensor_spec
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.snapshot import TensorSource
from holdfast.runtime.unchanged import HELD_BYTES, PROBE_BYTES

PART_BYTES: Final = 4 << 20
"""What is read at a time of a variable where memory is short: hashed and written while it is still in the
processor's cache, and so small that the C library keeps the block for the next part."""

TWO_PIECES_BYTES: Final = 4 * PROBE_BYTES
"""A tensor on a GPU that is smaller comes over in one piece: a second piece takes about as long as to copy it
twice, once to see whether it has changed and once to write it. Estimated, not measured."""


def references(variables: Sequence[NamedVariable], *, held: bool = False) -> list[TensorSource]:
    """Takes a reference of every variable's present value, in the order in which to write them.

    Where memory is short, none is taken: each variable is read when it is written, and the training must
    wait until then.

    Args:
        variables: The variables.
        held: They are not written yet, and perhaps never: so references are taken, whatever memory there is.
    """
    ordered = in_update_order(variables)
    short = "" if held else guarded(headroom.shortage)(ordered) or ""
    if short:
        sources = [_late_source(one, short) for one in ordered]
    else:
        tensors = read_all([one.variable for one in ordered])
        sources = [_source(one.spec, tensor) for one, tensor in zip(ordered, tensors, strict=True)]
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


def _source(spec: TensorSpec, tensor: Any) -> TensorSource:
    reference = _Reference(tensor)
    return TensorSource(spec, reference, reference.address if spec.nbytes >= HELD_BYTES else None)


class _Reference:
    """A tensor that shares a variable's buffer."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __call__(self) -> Iterable[memoryview]:
        """Its bytes; those of a large tensor on a GPU come over piece by piece, a small one first."""
        size, count = 0, 0
        if _on_gpu(self.tensor):
            size, count = self.tensor.dtype.size, self.tensor.shape.num_elements()
        if count * size < TWO_PIECES_BYTES:
            return [flat_bytes(_array_of(self.tensor)())]
        bounds = [0, *range(PROBE_BYTES // size, count, PART_BYTES // size), count]
        return _by_ranges(bounds, self._some, lambda: self.tensor)

    def _some(self, begin: int, end: int) -> Any:
        """Some of its elements, on the same device."""
        import tensorflow as tf

        index = np.int32 if end < 2**31 else np.int64  # of small numbers TensorFlow leaves int32 on the host
        with tf.device(self.tensor.backing_device):
            flat = tf.reshape(self.tensor, [-1])
            found = tf.slice(flat, np.array([begin], index), np.array([end - begin], index))
        if not _on_gpu(found):  # the whole was copied to the host first, as it would be for each piece
            raise tf.errors.UnimplementedError(None, None, "No kernel for the tensor's device")
        return found

    def address(self) -> int | None:
        """Where they lie; None where that tells nothing."""
        if "CPU" not in self.tensor.backing_device:
            return None
        array = _array_of(self.tensor)
        first, second = array(), array()  # two copies that both live would lie in two places
        places = {int(made.__array_interface__["data"][0]) for made in (first, second)}
        return places.pop() if len(places) == 1 else None


def _on_gpu(tensor: Any) -> bool:
    return "GPU" in tensor.backing_device  # a TPU would compile each range anew


def _array_of(tensor: Any) -> Callable[[], np.ndarray[Any, Any]]:
    """Gives a tensor as an array; of a CPU tensor, its own buffer, which ``numpy()`` would copy."""
    made: Callable[[], np.ndarray[Any, Any]] = getattr(tensor, "_numpy_internal", tensor.numpy)
    return made


def _late_source(one: NamedVariable, why: str) -> TensorSource:
    """Reads a variable only when it is written, a large one by ranges of its rows."""

    def parts() -> Iterator[memoryview]:
        rows = one.variable.shape[0] if one.variable.shape.rank else 0
        if one.spec.nbytes <= PART_BYTES or not rows:
            yield flat_bytes(_array_of(read(one.variable))())
            return
        step = max(1, rows * PART_BYTES // one.spec.nbytes)
        bounds = [*range(0, rows, step), rows]
        yield from _by_ranges(bounds, partial(_rows, one.variable), lambda: read(one.variable))

    return TensorSource(one.spec, parts, late=why)


def _by_ranges(
    bounds: Sequence[int], some: Callable[[int, int], Any], whole: Callable[[], Any]
) -> Iterator[memoryview]:
    """The bytes of a tensor, range by range; at once from where TensorFlow cannot give a range.

    It has no kernels that do so for the rarest dtypes.
    """
    import tensorflow as tf

    done = 0
    for begin, end in pairwise(bounds):
        try:
            part = flat_bytes(_array_of(some(begin, end))())
        except tf.errors.OpError:
            yield flat_bytes(_array_of(whole())())[done:]
            return
        yield part
        done += len(part)


def _rows(variable: Any, begin: int, end: int) -> Any:
    """Some rows of a variable; not even one whose readers get copies is copied whole for it."""
    from tensorflow.python.ops import gen_resource_variable_ops

    return gen_resource_variable_ops.resource_gather(
        variable.handle, np.arange(begin, end, dtype=np.int64), variable.dtype
    )


def array_sources(arrays: dict[str, np.ndarray[Any, Any]]) -> list[TensorSource]:
    """Sources for arrays that nobody writes into any more."""
    return [_array_source(name, array) for name, array in arrays.items()]


def _array_source(name: str, array: np.ndarray[Any, Any]) -> TensorSource:
    return TensorSource(tensor_spec(name, array.dtype, array.shape), lambda: [flat_bytes(array)])
