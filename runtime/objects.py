"""Objects: standard safetensors files, written as a stream and read by range.

The format is that of https://github.com/huggingface/safetensors: eight bytes of header length,
a JSON header, then the tensors without gaps. Written here rather than by the library because a
snapshot is streamed from TensorFlow's own buffers; a test opens every object with the library.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.runtime.errors import FormatInvalid

DTYPE_BYTES: Final[dict[str, int]] = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}
"""The dtypes of the format, by its names, with the bytes of one element."""

METADATA: Final = {"format": "holdfast-1"}
"""What an object says of itself."""

MAX_HEADER_BYTES: Final = 100_000_000
"""The library's own limit; a longer header is not read."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's name, dtype (safetensors' name for it) and shape.

    Attributes:
        nbytes: Size of the tensor's data in bytes; computed once, since a snapshot asks several times.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nbytes", DTYPE_BYTES[self.dtype] * math.prod(self.shape))


def encode_header(
    specs: Sequence[TensorSpec], metadata: Mapping[str, str] = METADATA
) -> tuple[bytes, list[int]]:
    """The header of an object that holds ``specs`` in order, and says of itself what ``metadata`` says.

    Returns:
        The header's bytes, length prefix included, and the absolute offset of each tensor.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    position, relative = 0, []
    for spec in specs:
        end = position + spec.nbytes
        header[spec.name] = {"dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [position, end]}
        relative.append(position)
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return struct.pack("<Q", len(text)) + text, [start + offset for offset in relative]


def decode_header(data: bytes, file_size: int) -> dict[str, tuple[TensorSpec, int]]:
    """Reads the header at the start of an object.

    Args:
        data: The file's first bytes, at least the whole header.
        file_size: The file's true size in bytes, against which every claim is checked.

    Returns:
        For each tensor its spec and absolute offset.

    Raises:
        FormatInvalid: The bytes are not a safetensors file of that size.
    """
    start = 8 + header_length(data, file_size)
    if len(data) < start:
        raise FormatInvalid("An object's header is cut off")
    try:
        header = json.loads(data[8:start])
    except (ValueError, RecursionError) as error:
        raise FormatInvalid(f"An object's header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FormatInvalid("An object's header is not a JSON object")
    found: dict[str, tuple[TensorSpec, int]] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        spec, begin = _decode_entry(name, entry)
        spans.append((begin, begin + spec.nbytes))
        found[name] = (spec, start + begin)
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise FormatInvalid("An object's tensors overlap or leave a gap")
        position = end
    if start + position != file_size:
        raise FormatInvalid(f"An object has {file_size} bytes where its header promises {start + position}")
    return found


def header_length(data: bytes, file_size: int) -> int:
    """Length in bytes of the JSON header that follows the first eight bytes.

    Raises:
        FormatInvalid: There is no such header in a file of that size.
    """
    if len(data) < 8:
        raise FormatInvalid("An object is shorter than its length prefix")
    length: int = struct.unpack("<Q", data[:8])[0]
    if length > MAX_HEADER_BYTES or 8 + length > file_size:
        raise FormatInvalid(f"An object of {file_size} bytes claims a header of {length} bytes")
    return length


def _decode_entry(name: str, entry: object) -> tuple[TensorSpec, int]:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            if dtype not in DTYPE_BYTES:
                raise FormatInvalid(f"Tensor {name!r} has the unknown dtype {dtype!r}")
            if not all(type(size) is int and size >= 0 for size in shape) or begin < 0:
                raise FormatInvalid(f"Tensor {name!r} has an impossible shape")
            spec = TensorSpec(name, dtype, tuple(shape))
            if end - begin != spec.nbytes:
                raise FormatInvalid(f"Tensor {name!r} has offsets that do not fit its shape")
            return spec, begin
        case _:
            raise FormatInvalid(f"Tensor {name!r} has no proper entry in the header")
