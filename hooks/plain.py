"""Python values <-> plain JSON and arrays. Nothing is ever executed on the way back."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import xxhash

from holdfast.hooks.plain_dtypes import dtype_name, dtype_of, tensor_of, tensor_value

TAG: Final = "__holdfast__"
"""The key that marks a JSON object as standing for something else than a dict."""

MAX_DEPTH: Final = 20

MAX_ITEMS: Final = 200_000
"""Items of one container; more would hold the training up for over 0.1 s at each snapshot."""

_COMPARISONS: Final = {"keras.ops": ("less", "greater"), "numpy": ("less", "greater")}
"""The functions that Keras' callbacks choose in their first epoch, to compare with; no others have
a plain form."""


def flat_bytes(array: np.ndarray[Any, Any]) -> memoryview:
    """An array's bytes, without a copy where it is contiguous."""
    if array.size == 0:
        return memoryview(b"")
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]


class NotPlain(Exception):
    """A value that has no plain form: an open file, a function, an object of some class."""


class TooLarge(NotPlain):
    """A value with more items than can be written out at each snapshot."""


class Arrays(dict[str, "np.ndarray[Any, Any]"]):
    """Arrays put aside while values are encoded, by name.

    Attributes:
        owners: What each is of: the array itself, or the tensor that it is the value of.
    """

    def __init__(self, prefix: str, *, copy: bool = True) -> None:
        super().__init__()
        self.prefix, self.copying = prefix, copy
        self.owners: list[Any] = []

    def put(self, array: np.ndarray[Any, Any], owner: Any = None) -> str:
        """Keeps an array and names it; copied, since others may write into it, unless it is a tensor's."""
        name = f"{self.prefix}/{len(self):05d}"
        self[name] = array.copy() if self.copying and owner is None else array
        self.owners.append(array if owner is None else owner)
        return name

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return sum(array.nbytes for array in self.values())

    def hashes(self) -> str:
        """A text that is equal for equal contents."""
        return "".join(xxhash.xxh3_128_hexdigest(flat_bytes(array)) for array in self.values())


def encode(value: Any, arrays: Arrays, depth: int = 0) -> Any:
    """The JSON form of a value; its arrays go into ``arrays``.

    Raises:
        NotPlain: It has none.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth > MAX_DEPTH:
        raise NotPlain("nested too deeply")
    if type(value) in (list, tuple, dict, set, frozenset):
        return _encode_container(value, arrays, depth + 1)
    if type(value) is np.ndarray and (dtype := dtype_name(value.dtype)):
        return {TAG: "array", "name": arrays.put(value), "dtype": dtype, "shape": list(value.shape)}
    if isinstance(value, np.generic) and value.dtype.kind != "c" and (dtype := dtype_name(value.dtype)):
        plain = value.item() if value.dtype.kind in "biuf" else float(value)  # type: ignore[arg-type]
        return {TAG: "scalar", "dtype": dtype, "value": plain}
    if (tensor := tensor_value(value)) is not None and (dtype := dtype_name(tensor.dtype)):
        name = arrays.put(tensor, owner=value)
        return {TAG: "tensor", "name": name, "dtype": dtype, "shape": list(tensor.shape)}
    for kind, state_of in _GENERATORS.items():
        if type(value) is kind:
            return {TAG: kind.__name__, "state": encode(state_of(value), arrays, depth + 1)}
    for home, names in _COMPARISONS.items():
        for name in names:
            if value is getattr(sys.modules.get(home), name, None):
                return {TAG: "comparison", "home": home, "name": name}
    raise NotPlain(type(value).__qualname__)


_GENERATORS: Final[dict[type, Callable[[Any], Any]]] = {
    random.Random: lambda one: one.getstate(),
    np.random.Generator: lambda one: one.bit_generator.state,
    np.random.RandomState: lambda one: one.get_state(legacy=False),
}


def _encode_container(value: Any, arrays: Arrays, depth: int) -> Any:
    if len(value) > MAX_ITEMS:
        raise TooLarge(f"{len(value)} items")
    if type(value) is list:
        return [encode(item, arrays, depth) for item in value]
    items: list[Any]
    if type(value) is dict:
        items = [[encode(key, arrays, depth), encode(item, arrays, depth)] for key, item in value.items()]
    else:
        items = [encode(item, arrays, depth) for item in value]
    if type(value) in (set, frozenset):
        items.sort(key=json.dumps)
    return {TAG: type(value).__name__, "items": items}


def decode(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """The value of a JSON form.

    Raises:
        KeyError, ValueError, TypeError: The form is not one that `encode` makes.
    """
    if isinstance(value, list):
        return [decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"items": list(items), **rest} if rest.get(TAG) == "tuple":
            return tuple(decode(item, arrays) for item in items)
        case {"items": list(items), **rest} if rest.get(TAG) == "dict":
            return {decode(key, arrays): decode(item, arrays) for key, item in items}
        case {"items": list(items), **rest} if rest.get(TAG) in ("set", "frozenset"):
            kind = set if rest[TAG] == "set" else frozenset
            return kind(decode(item, arrays) for item in items)
        case {"name": str(name), "dtype": str(dtype), "shape": list(shape), **rest}:
            array = arrays[name].view(dtype_of(dtype)).reshape(shape)
            return tensor_of(array) if rest.get(TAG) == "tensor" else array
        case {"dtype": str(dtype), "value": number}:
            return dtype_of(dtype).type(number)
        case {"home": str(home), "name": str(name), **rest} if rest.get(TAG) == "comparison":
            if name in _COMPARISONS[home]:
                return getattr(sys.modules[home], name)
        case {"state": state, **rest}:
            try:
                return _generator(rest.get(TAG), decode(state, arrays))
            except (IndexError, OverflowError, AttributeError) as error:  # of the state's own class
                raise ValueError(f"not a generator's state: {error}") from None
    raise ValueError(f"not a plain form: {str(value)[:80]}")


def _generator(kind: Any, state: Any) -> Any:
    if kind == "Random":
        made = random.Random()  # noqa: S311 - a user's generator, restored
        made.setstate(state)
        return made
    if kind == "RandomState":
        old = np.random.RandomState()
        old.set_state(state)
        return old
    if kind == "Generator":
        names = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
        if state["bit_generator"] not in names:
            raise ValueError(f"unknown bit generator {state['bit_generator']!r}")
        bits = getattr(np.random, state["bit_generator"])()
        bits.state = state
        return np.random.Generator(bits)
    raise ValueError(f"unknown plain form {kind!r}")


def digest(value: Any) -> str:
    """A text that is equal for equal plain values.

    Raises:
        NotPlain: The value is not plain.
    """
    arrays = Arrays("a", copy=False)
    text = json.dumps(encode(value, arrays))
    return text + arrays.hashes()
