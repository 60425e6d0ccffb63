"""Objects: what is written opens with the safetensors library; what is read is checked."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from helpers.strategies import damaged, hostile_numbers, json_values, spec_lists
from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.objects import DTYPE_BYTES, TensorSpec, decode_header, encode_header


def whole(specs: list[TensorSpec]) -> bytes:
    """An object of these tensors, each byte the number of its tensor."""
    header, _ = encode_header(specs)
    return header + b"".join(bytes([number]) * spec.nbytes for number, spec in enumerate(specs))


def with_header(header: Any, nbytes: int) -> bytes:
    """An object whose header says whatever it likes."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(nbytes)


def entry(begin: Any, end: Any, *, dtype: Any = "U8", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


@given(spec_lists)
def test_a_header_round_trips(specs: list[TensorSpec]) -> None:
    data = whole(specs)
    _, offsets = encode_header(specs)
    found = decode_header(data, len(data))
    assert found == {spec.name: (spec, offset) for spec, offset in zip(specs, offsets, strict=True)}


@given(spec_lists)
def test_the_safetensors_library_reads_the_same_bytes_and_shapes(specs: list[TensorSpec]) -> None:
    found = dict(safetensors.deserialize(whole(specs)))  # type: ignore[no-untyped-call]
    assert found.keys() == {spec.name for spec in specs}
    for number, spec in enumerate(specs):
        tensor = found[spec.name]
        assert (tensor["dtype"], tuple(tensor["shape"])) == (spec.dtype, spec.shape)
        assert bytes(tensor["data"]) == bytes([number]) * spec.nbytes


def test_the_library_opens_a_file_of_every_dtype(tmp_path: Path) -> None:
    specs = [TensorSpec(dtype, dtype, (2, 3)) for dtype in DTYPE_BYTES]
    path = tmp_path / "all.safetensors"
    path.write_bytes(whole(specs))
    with safetensors.safe_open(str(path), framework="np") as file:
        assert sorted(file.keys()) == sorted(DTYPE_BYTES)
        assert {name: file.get_slice(name).get_dtype() for name in file.keys()} == {  # noqa: SIM118
            dtype: dtype for dtype in DTYPE_BYTES
        }
        assert file.metadata() == {"format": "holdfast-1"}


def test_tensors_begin_at_a_multiple_of_eight_bytes() -> None:
    for length in range(1, 20):
        _, offsets = encode_header([TensorSpec("n" * length, "F64", (1,))])
        assert offsets[0] % 8 == 0


@given(st.data())
def test_damaged_bytes_give_a_format_error_or_a_header_within_the_file(data: st.DataObject) -> None:
    specs = [TensorSpec("a", "F32", (2, 3)), TensorSpec("b", "U8", (5,)), TensorSpec("c", "I64", ())]
    bytes_ = data.draw(damaged(whole(specs)))
    accepted_lies_within(bytes_)


@given(st.binary(max_size=200))
def test_random_bytes_give_a_format_error(data: bytes) -> None:
    accepted_lies_within(data)


@given(json_values, st.integers(0, 50))
def test_a_header_of_random_json_gives_a_format_error_or_lies_within_the_file(header: Any, size: int) -> None:
    accepted_lies_within(with_header(header, size))


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from([*DTYPE_BYTES, "F7", "", None, 3]),
                "shape": st.lists(hostile_numbers, max_size=3) | hostile_numbers,
                "data_offsets": st.lists(hostile_numbers, max_size=3) | hostile_numbers,
            }
        ),
        max_size=3,
    ),
    st.integers(0, 50),
)
def test_lying_sizes_give_a_format_error(header: dict[str, Any], size: int) -> None:
    accepted_lies_within(with_header(header, size))


def accepted_lies_within(data: bytes) -> None:
    """Decoding raises `FormatInvalid` and nothing else, or gives tensors that fill the file exactly."""
    try:
        found = decode_header(data, len(data))
    except FormatInvalid:
        return
    spans = sorted((offset, offset + spec.nbytes) for spec, offset in found.values())
    assert all(8 <= begin <= end <= len(data) for begin, end in spans)
    assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(0, 8), "b": entry(4, 12), "c": entry(12, 16)},
        {"a": entry(0, 4), "b": entry(8, 16)},
        {"a": entry(0, 8), "b": entry(0, 8), "c": entry(8, 16)},
        {"a": entry(-8, 16)},
        {"a": entry(8, 16)},
        {"a": entry(0, 15)},
        {"a": entry(0, 17)},
        {"a": entry(0, 16, shape=[4, 5])},
        {"a": entry(0, 16, shape=[-4, -4])},
        {"a": entry(0, 16, shape=[16.0])},
        {"a": entry(0, 16, dtype="Q8")},
        {"a": [0, 16]},
        ["a"],
    ],
    ids=lambda header: json.dumps(header)[:60],
)
def test_tensors_that_overlap_leave_gaps_or_overrun_are_refused(header: Any) -> None:
    data = with_header(header, 16)
    with pytest.raises(FormatInvalid):
        decode_header(data, len(data))


def test_a_file_longer_or_shorter_than_its_header_says_is_refused() -> None:
    data = whole([TensorSpec("a", "F32", (4,))])
    for wrong in (data + b"\0", data[:-1], data[:12], data[:7], b""):
        with pytest.raises(FormatInvalid):
            decode_header(wrong, len(wrong))


def test_a_header_length_beyond_the_file_is_refused_before_anything_is_read() -> None:
    data = struct.pack("<Q", 2**63) + b"{}"
    with pytest.raises(FormatInvalid, match="claims a header"):
        decode_header(data, len(data))


def test_a_header_nested_without_end_is_refused() -> None:
    text = b"[" * 200_000
    data = struct.pack("<Q", len(text)) + text
    with pytest.raises(FormatInvalid):
        decode_header(data, len(data))
