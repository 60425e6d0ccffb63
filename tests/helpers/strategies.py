"""Hypothesis strategies: damaged bytes, hostile JSON, hostile names, tensors, checkpoints."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from holdfast.runtime.manifest import Kind, Manifest, Patch, TensorRecord
from holdfast.runtime.names import Stem
from holdfast.runtime.objects import DTYPE_BYTES, TensorSpec

sessions = st.text("0123456789abcdef", min_size=8, max_size=8)
stems = st.builds(Stem, st.integers(0, 99_999_999), st.integers(0, 10**12 - 1), sessions)
few_stems = st.builds(Stem, st.integers(1, 3), st.integers(1, 12), st.sampled_from(["aaaaaaaa", "bbbbbbbb"]))
kinds: st.SearchStrategy[Kind] = st.sampled_from(["scheduled", "milestone", "interrupted", "requested"])
slot_names = st.sampled_from(["slot-0000", "slot-0001", "slot-0002"])

tensor_names = st.text(min_size=1, max_size=30).filter(lambda name: name != "__metadata__")
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
specs = st.builds(TensorSpec, tensor_names, st.sampled_from(sorted(DTYPE_BYTES)), shapes)
spec_lists = st.lists(specs, max_size=6, unique_by=lambda spec: spec.name)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(max_size=10), json_values, max_size=4)
"""Whatever JSON as Python reads it can hold: NaN, infinities and numbers of any length too."""

finite_json_objects = st.dictionaries(
    st.text(max_size=10),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)

hostile_numbers: st.SearchStrategy[Any] = st.sampled_from(
    [
        -1,
        0,
        1,
        2**31,
        2**63,
        2**64,
        10**400,
        -(10**400),
        0.5,
        1e308,
        float("inf"),
        float("nan"),
        True,
        None,
        "1",
    ]
)

hostile_names = st.one_of(
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "../x",
            "a/../../x",
            "/etc/passwd",
            "//x",
            "a//b",
            "a/",
            "nul\0l",
            "x" * 300,
            "a/" * 500,
        ]
    ),
    st.text(max_size=20),
    st.lists(st.sampled_from(["..", ".", "", "objects", "x", "\0"]), min_size=1, max_size=5).map("/".join),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest."""
    end = 0

    def place(nbytes: int) -> int:
        nonlocal end  # one after another, so that no two overlap
        offset = end + draw(st.integers(0, 2**50))
        end = offset + nbytes
        return offset

    def patch(spec: TensorSpec) -> Patch:
        count = draw(st.integers(1, 9))
        name = draw(stems).object_name(draw(st.integers(0, 999)))
        return Patch(name, place(4 * count), place(spec.nbytes), count, draw(st.integers(1, 9)), spec.nbytes)

    records = tuple(
        TensorRecord(
            spec,
            draw(stems).object_name(draw(st.integers(0, 999)), draw(st.integers(0, 999))),
            place(spec.nbytes),
            draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
            tuple(patch(spec) for _ in range(draw(st.integers(0, 2)))) if spec.shape and spec.nbytes else (),
        )
        for spec in draw(spec_lists)
    )
    return Manifest(
        run=draw(st.text(min_size=1, max_size=50)),
        stem=draw(stems),
        taken_at=draw(st.floats(0, 1e11)),
        kind=draw(kinds),
        slots=tuple(draw(st.lists(st.text(max_size=20), max_size=3))),
        tensors=records,
        journal=draw(finite_json_objects),
        state=draw(finite_json_objects),
    )


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with one to three of: a bit flipped, a tail lost, bytes cut out, put in or written over."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["flip", "truncate", "cut", "insert", "overwrite"])):
            case "flip" if data:
                data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
            case "truncate":
                data = data[:at]
            case "cut":
                data = data[:at] + data[at + draw(st.integers(1, 20)) :]
            case "insert":
                data = data[:at] + draw(st.binary(max_size=8)) + data[at:]
            case _:
                new = draw(
                    st.sampled_from([b'"', b"0", b"9", b"-", b"[", b"}", b"null", b"1e999", b"\xff", b"\0"])
                )
                data = data[:at] + new + data[at + len(new) :]
    return data


@st.composite
def meddled(draw: st.DrawFn, value: Any) -> Any:
    """JSON of the right form in which one value, anywhere, was replaced by another or removed."""
    value = json.loads(json.dumps(value))
    holder: Any = None
    key: Any = None
    inner = value
    while isinstance(inner, (dict, list)) and inner and (holder is None or draw(st.integers(0, 3))):
        holder = inner
        key = (
            draw(st.sampled_from(sorted(inner)))
            if isinstance(inner, dict)
            else draw(st.integers(0, len(inner) - 1))
        )
        inner = holder[key]
    if holder is None:
        return draw(json_values)
    if draw(st.booleans()):
        holder[key] = draw(hostile_numbers | json_values)
    else:
        del holder[key]
    return value
