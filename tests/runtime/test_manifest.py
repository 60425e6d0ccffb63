"""Manifests: they round trip, and nothing but a manifest is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.snapshots import stem
from helpers.strategies import damaged, json_values, manifests, meddled, stems
from holdfast.runtime.errors import FormatInvalid, FormatUnknown
from holdfast.runtime.manifest import Manifest, TensorRecord, manifest_from_bytes
from holdfast.runtime.names import Stem, parse_object_name, parse_stem
from holdfast.runtime.objects import TensorSpec

RECORDS = tuple(
    TensorRecord(TensorSpec(name, "F32", (2, 3)), stem(1).object_name(), 8 + 24 * number, f"{number:032x}")
    for number, name in enumerate(["kernel", "bias"])
)
PLAIN = Manifest("run", stem(2), 12.5, "scheduled", ("slot-0000",), RECORDS, {"slots": []}, {"epoch": 3})


def reading_gives_only_format_errors(data: bytes, name: str = PLAIN.stem.manifest_name) -> None:
    try:
        found = manifest_from_bytes(data, name=name)
    except FormatInvalid:
        return
    assert found.stem.manifest_name == name
    assert all("/" not in record.object for record in found.tensors)


@given(manifests())
def test_a_manifest_round_trips(manifest: Manifest) -> None:
    assert manifest_from_bytes(manifest.to_bytes(), name=manifest.stem.manifest_name) == manifest


@given(manifests())
def test_equal_manifests_have_equal_bytes(manifest: Manifest) -> None:
    again = manifest_from_bytes(manifest.to_bytes(), name=manifest.stem.manifest_name)
    assert again.to_bytes() == manifest.to_bytes()


@given(stems, st.integers(0, 999))
def test_names_of_checkpoints_and_objects_round_trip(name: Stem, attempt: int) -> None:
    assert parse_stem(str(name)) == name
    assert parse_stem(name.manifest_name) == name
    assert parse_object_name(name.object_name(attempt)) == name


@given(stems, stems)
def test_a_greater_incarnation_then_a_greater_sequence_is_newer(one: Stem, other: Stem) -> None:
    assert (one < other) == (tuple(one) < tuple(other))


@given(st.text(max_size=40) | st.from_regex(r"\A\d{7,9}-\d{5,13}-[0-9a-f]{7,9}(\.json|\.safetensors)?\n?\Z"))
@example("٠٠٠٠٠٠٠١-٠٠٠٠٠١-aaaaaaaa")
def test_any_text_is_a_name_or_a_format_error(text: str) -> None:
    for parse in (parse_stem, parse_object_name):
        try:
            found = parse(text)
        except FormatInvalid:
            continue
        assert text.isascii()
        assert "/" not in str(found)


@given(st.data())
def test_damaged_bytes_give_only_format_errors(data: st.DataObject) -> None:
    reading_gives_only_format_errors(data.draw(damaged(PLAIN.to_bytes())))


@given(json_values)
def test_random_json_gives_only_format_errors(value: Any) -> None:
    reading_gives_only_format_errors(json.dumps(value).encode())


@given(st.data())
def test_a_manifest_with_one_value_replaced_gives_only_format_errors(data: st.DataObject) -> None:
    value = data.draw(meddled(json.loads(PLAIN.to_bytes())))
    reading_gives_only_format_errors(json.dumps(value).encode())


def test_a_time_too_large_for_a_float_is_a_format_error() -> None:
    value = json.loads(PLAIN.to_bytes()) | {"taken_at": 10**400}
    reading_gives_only_format_errors(json.dumps(value).encode())


def test_a_manifest_nested_without_end_is_a_format_error() -> None:
    reading_gives_only_format_errors(b'{"state":' + b"[" * 200_000)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "../00000001-000001-aaaaaaaa.safetensors",
        "00000001-000001-aaaaaaaa.safetensors/..",
        "00000001-000001-aaaaaaaa.safetensors\0",
        "00000001-000001-aaaaaaaa.safetensors\n",
        "00000001-000001-aaaaaaaa.json",
        "00000001-000001-AAAAAAAA.safetensors",
        "",
        "x" * 1000,
    ],
)
def test_a_tensor_in_anything_but_an_object_is_refused(name: str) -> None:
    value = json.loads(PLAIN.to_bytes())
    value["tensors"][0]["object"] = name
    with pytest.raises(FormatInvalid):
        manifest_from_bytes(json.dumps(value).encode(), name=PLAIN.stem.manifest_name)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("shape", [-1]),
        ("shape", [0.5]),
        ("shape", "3"),
        ("offset", -1),
        ("dtype", "float32"),
        ("xxh3_128", "ff"),
        ("xxh3_128", "f" * 32 + "\n"),
        ("name", ""),
    ],
)
def test_a_tensor_with_a_lying_entry_is_refused(key: str, wrong: Any) -> None:
    value = json.loads(PLAIN.to_bytes())
    value["tensors"][0][key] = wrong
    with pytest.raises(FormatInvalid):
        manifest_from_bytes(json.dumps(value).encode(), name=PLAIN.stem.manifest_name)


def test_a_manifest_under_another_name_is_refused() -> None:
    with pytest.raises(FormatInvalid, match="calls itself"):
        manifest_from_bytes(PLAIN.to_bytes(), name=stem(3).manifest_name)


def test_a_manifest_of_a_format_to_come_is_refused() -> None:
    value = json.loads(PLAIN.to_bytes()) | {"format": 2}
    with pytest.raises(FormatInvalid):
        manifest_from_bytes(json.dumps(value).encode(), name=PLAIN.stem.manifest_name)


def test_a_tensor_named_twice_is_refused() -> None:
    value = json.loads(PLAIN.to_bytes())
    value["tensors"][1]["name"] = value["tensors"][0]["name"]
    with pytest.raises(FormatInvalid, match="twice"):
        manifest_from_bytes(json.dumps(value).encode(), name=PLAIN.stem.manifest_name)


@pytest.mark.parametrize(("offset", "overlaps"), [(0, False), (1, True), (4, True), (23, True), (24, False)])
def test_tensors_that_overlap_are_refused_and_those_of_the_same_bytes_are_not(
    offset: int, overlaps: bool
) -> None:
    spec = TensorSpec("a", "F32", (2, 3))
    one = TensorRecord(spec, stem(1).object_name(), 0, "0" * 32)
    other = TensorRecord(replace(spec, name="b"), stem(1).object_name(), offset, "1" * 32)
    made = Manifest("run", stem(1), 1.0, "scheduled", ("slot",), (one, other), {}, {})
    if overlaps:
        with pytest.raises(FormatInvalid, match="overlap"):
            manifest_from_bytes(made.to_bytes(), name=stem(1).manifest_name)
    else:
        assert manifest_from_bytes(made.to_bytes(), name=stem(1).manifest_name) == made


def test_a_manifest_of_a_newer_format_is_told_from_a_damaged_one() -> None:
    value = json.loads(PLAIN.to_bytes()) | {"format": 2}
    with pytest.raises(FormatUnknown, match="format 2"):
        manifest_from_bytes(json.dumps(value).encode(), name=PLAIN.stem.manifest_name)
