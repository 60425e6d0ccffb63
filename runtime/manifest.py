"""Manifests: the JSON files that make checkpoints exist. Pure: bytes in, dataclasses out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, get_args

import fastjsonschema

from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.objects import DTYPE_BYTES, TensorSpec

FORMAT: Final = 1
"""Number of this format; a reader refuses numbers it does not know."""

MANIFEST_SUFFIX: Final = ".json"
OBJECT_SUFFIX: Final = ".safetensors"

Kind = Literal["scheduled", "milestone", "interrupted", "requested"]
"""Why a snapshot was taken. All but ``scheduled`` go to the store at once; milestones are kept."""

_STEM: Final = re.compile(r"(\d{8,12})-(\d{6,12})-([0-9a-f]{8})", re.ASCII)
_OBJECT: Final = re.compile(r"(.{24,34}?)(?:-try(\d{1,3}))?\.safetensors", re.ASCII)
_HASH: Final = r"^[0-9a-f]{32}$"


class Stem(NamedTuple):
    """What names a checkpoint: greater is newer.

    The session's name is part of it, so that two sessions which won the same incarnation on a
    file system without create-if-absent still never write under one name.
    """

    incarnation: int
    sequence: int
    session: str

    def __str__(self) -> str:
        return f"{self.incarnation:08d}-{self.sequence:06d}-{self.session}"

    def object_name(self, attempt: int = 0) -> str:
        """The file name of the object that this checkpoint writes.

        Args:
            attempt: Counts uploads that broke off after their object: no name is used twice.
        """
        return f"{self}-try{attempt}{OBJECT_SUFFIX}" if attempt else f"{self}{OBJECT_SUFFIX}"

    @property
    def manifest_name(self) -> str:
        """The file name of this checkpoint's manifest."""
        return f"{self}{MANIFEST_SUFFIX}"


def parse_stem(text: str) -> Stem:
    """Reads a stem from its text, or from the name of a manifest.

    Raises:
        FormatInvalid: It is neither.
    """
    match = _STEM.fullmatch(text.removesuffix(MANIFEST_SUFFIX))
    if match is None:
        raise FormatInvalid("Not the name of a checkpoint", where=repr(text[:80]))
    return Stem(int(match[1]), int(match[2]), match[3])


def parse_object_name(text: str) -> Stem:
    """The checkpoint that wrote the object of that name.

    Raises:
        FormatInvalid: It is not the name of an object.
    """
    match = _OBJECT.fullmatch(text)
    if match is None:
        raise FormatInvalid("Not the name of an object", where=repr(text[:80]))
    return parse_stem(match[1])


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """One tensor of a checkpoint and where its bytes lie.

    Attributes:
        spec: Name, dtype and shape.
        object: File name of the object that holds it.
        offset: Its first byte in that file.
        hash: xxh3-128 of its bytes, in hexadecimal.
    """

    spec: TensorSpec
    object: str
    offset: int
    hash: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint: which tensors it has, and the Python state beside them.

    Attributes:
        run: Name of the run.
        stem: The checkpoint's name.
        taken_at: Unix time in seconds of the snapshot, by the clock of the machine that took it.
        kind: Why it was taken.
        slots: Names of the slots whose state it holds.
        tensors: Every tensor of those slots.
        journal: All slots and training calls of the run, as `journal.Journal` writes them.
        state: The Python state of those slots, which only the hooks understand.
    """

    run: str
    stem: Stem
    taken_at: float
    kind: Kind
    slots: tuple[str, ...]
    tensors: tuple[TensorRecord, ...]
    journal: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, wherever they are stored."""
        return sum(record.spec.nbytes for record in self.tensors)

    def to_bytes(self) -> bytes:
        """The manifest as the JSON of its file."""
        return to_json(
            {
                "format": FORMAT,
                "run": self.run,
                "checkpoint": str(self.stem),
                "taken_at": self.taken_at,
                "kind": self.kind,
                "slots": list(self.slots),
                "tensors": [
                    {
                        "name": record.spec.name,
                        "dtype": record.spec.dtype,
                        "shape": list(record.spec.shape),
                        "object": record.object,
                        "offset": record.offset,
                        "xxh3_128": record.hash,
                    }
                    for record in self.tensors
                ],
                "journal": self.journal,
                "state": self.state,
            }
        )


_MOST: Final = 2**62
"""Above every true offset, size and time; keeps arithmetic on them in bounds."""

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["format", "run", "checkpoint", "taken_at", "kind", "slots", "tensors", "journal", "state"],
    "properties": {
        "format": {"const": FORMAT},
        "run": {"type": "string", "minLength": 1, "maxLength": 200},
        "checkpoint": {"type": "string", "maxLength": 40},
        "taken_at": {"type": "number", "minimum": 0, "maximum": _MOST},
        "kind": {"enum": list(get_args(Kind))},
        "slots": {"type": "array", "items": {"type": "string", "maxLength": 100}},
        "tensors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "dtype", "shape", "object", "offset", "xxh3_128"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 500},
                    "dtype": {"enum": sorted(DTYPE_BYTES)},
                    "shape": {
                        "type": "array",
                        "maxItems": 64,
                        "items": {"type": "integer", "minimum": 0, "maximum": _MOST},
                    },
                    "object": {"type": "string", "maxLength": 60},
                    "offset": {"type": "integer", "minimum": 0, "maximum": _MOST},
                    "xxh3_128": {"type": "string", "pattern": _HASH},
                },
            },
        },
        "journal": {"type": "object"},
        "state": {"type": "object"},
    },
}
_check = fastjsonschema.compile(_SCHEMA)


def manifest_from_bytes(data: bytes, *, name: str) -> Manifest:
    """Reads a manifest and checks all that can be checked without its objects.

    Args:
        data: The file's bytes.
        name: The file's name, which must be that of the checkpoint inside.

    Raises:
        FormatInvalid: It is not a manifest of this format, or not of that name.
    """
    try:
        value = json.loads(data)
        _check(value)
    except (ValueError, RecursionError, fastjsonschema.JsonSchemaException) as error:
        raise FormatInvalid(f"Not a manifest: {str(error)[:200]}", where=name) from None
    stem = parse_stem(value["checkpoint"])
    if name != stem.manifest_name:
        raise FormatInvalid(f"A manifest that calls itself {stem}", where=name)
    try:
        tensors = tuple(_tensor_record(entry, name) for entry in value["tensors"])
    except (OverflowError, ValueError) as error:  # infinities, which JSON has in Python
        raise FormatInvalid(f"Not a manifest: {error}", where=name) from None
    if len({record.spec.name for record in tensors}) != len(tensors):
        raise FormatInvalid("A manifest that names a tensor twice", where=name)
    return Manifest(
        run=value["run"],
        stem=stem,
        taken_at=float(value["taken_at"]),
        kind=value["kind"],
        slots=tuple(value["slots"]),
        tensors=tensors,
        journal=value["journal"],
        state=value["state"],
    )


def _tensor_record(entry: dict[str, Any], manifest: str) -> TensorRecord:
    try:
        parse_object_name(entry["object"])  # no path, no other folder
    except FormatInvalid as error:
        raise FormatInvalid(f"A tensor in no object: {error}", where=manifest) from None
    shape = tuple(int(size) for size in entry["shape"])
    spec = TensorSpec(entry["name"], entry["dtype"], shape)
    return TensorRecord(spec, entry["object"], int(entry["offset"]), entry["xxh3_128"])
