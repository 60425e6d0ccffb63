"""Manifests: the JSON files that make checkpoints exist. Pure: bytes in, dataclasses out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, get_args

import fastjsonschema

from holdfast.runtime.errors import FormatInvalid, FormatUnknown
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.names import Stem, parse_object_name, parse_stem
from holdfast.runtime.objects import DTYPE_BYTES, TensorSpec

FORMAT: Final = 1
"""Number of this format; a reader refuses numbers it does not know."""


Kind = Literal["scheduled", "milestone", "interrupted", "requested"]
"""Why a snapshot was taken. All but ``scheduled`` go to the store at once; milestones are kept."""

INDEX_BYTES: Final = 4
"""Size of a block's number in a patch."""

_HASH: Final = r"^[0-9a-f]{32}$"


@dataclass(frozen=True, slots=True)
class Patch:
    """Rows of a tensor that changed after the object that holds it was written.

    In its object they are two tensors: the numbers of the changed blocks, U32, ascending, and their rows.

    Attributes:
        object: File name of the object that holds them.
        index_offset: First byte of the blocks' numbers in that file.
        rows_offset: First byte of the rows.
        count: How many blocks changed.
        block: Rows in a block; the tensor's last block may have fewer.
        nbytes: Bytes of the rows.
    """

    object: str
    index_offset: int
    rows_offset: int
    count: int
    block: int
    nbytes: int

    @property
    def end(self) -> int:
        """How long the object must be at least."""
        return max(self.index_offset + INDEX_BYTES * self.count, self.rows_offset + self.nbytes)


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """One tensor of a checkpoint and where its bytes lie.

    Attributes:
        spec: Name, dtype and shape.
        object: File name of the object that holds it.
        offset: Its first byte in that file.
        hash: xxh3-128 of its bytes, patches applied, in hexadecimal.
        patches: Rows to be written over it, in this order.
    """

    spec: TensorSpec
    object: str
    offset: int
    hash: str
    patches: tuple[Patch, ...] = ()

    @property
    def places(self) -> tuple[tuple[str, int, int], ...]:
        """Every object it needs, with the bytes it needs of it and how long that must be at least."""
        whole = (self.object, self.spec.nbytes, self.offset + self.spec.nbytes)
        return (whole, *((one.object, INDEX_BYTES * one.count + one.nbytes, one.end) for one in self.patches))


class Part(NamedTuple):
    """What a checkpoint holds of one slot.

    Attributes:
        slot: The slot's name.
        state: Its Python state, which only the hooks understand.
        tensors: Its tensors, by their names within the slot; their specs have these names too.
    """

    slot: str
    state: dict[str, Any]
    tensors: dict[str, TensorRecord]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint: which tensors it has, and the Python state beside them.

    Where it holds several slots, the names of its tensors begin with the slot's and a ``/``, and its state
    has an entry for each slot.

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

    def part(self, slot: str | None = None) -> Part:
        """What it holds of a slot.

        Args:
            slot: The slot's name; None for the first.

        Raises:
            FormatInvalid: It holds nothing of it.
        """
        name = self.slots[0] if slot is None and self.slots else slot or ""
        if slot is not None and name not in self.slots:
            raise FormatInvalid(f"Checkpoint {self.stem} holds nothing of {name}")
        if len(self.slots) <= 1:
            return Part(name, self.state, {record.spec.name: record for record in self.tensors})
        head, state = f"{name}/", self.state.get(name)
        tensors = {}
        for record in self.tensors:
            if record.spec.name.startswith(head):
                short = record.spec.name.removeprefix(head)
                tensors[short] = replace(record, spec=replace(record.spec, name=short))
        return Part(name, state if isinstance(state, dict) else {}, tensors)

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
                "tensors": [_tensor_to_dict(record) for record in self.tensors],
                "journal": self.journal,
                "state": self.state,
            }
        )


def _tensor_to_dict(record: TensorRecord) -> dict[str, Any]:
    value = {
        "name": record.spec.name,
        "dtype": record.spec.dtype,
        "shape": list(record.spec.shape),
        "object": record.object,
        "offset": record.offset,
        "xxh3_128": record.hash,
    }
    if record.patches:
        value["patches"] = [asdict(patch) for patch in record.patches]
    return value


_MOST: Final = 2**62
"""Above every true offset, size and time; keeps arithmetic on them in bounds."""

_PATCH_NUMBERS: Final = {"index_offset": 0, "rows_offset": 0, "count": 1, "block": 1, "nbytes": 1}
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
                    "patches": {
                        "type": "array",
                        "maxItems": 1000,
                        "items": {
                            "type": "object",
                            "required": ["object", *_PATCH_NUMBERS],
                            "properties": {
                                "object": {"type": "string", "maxLength": 60},
                                **{
                                    key: {"type": "integer", "minimum": low, "maximum": _MOST}
                                    for key, low in _PATCH_NUMBERS.items()
                                },
                            },
                        },
                    },
                },
            },
        },
        "journal": {"type": "object"},
        "state": {"type": "object"},
    },
}


@cache
def _check() -> Callable[[Any], Any]:
    """Made when the first manifest is read: it takes some 20 ms."""
    made: Callable[[Any], Any] = fastjsonschema.compile(_SCHEMA)
    return made


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
        if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > FORMAT:
            what = f"A manifest of format {value['format']}; this Holdfast knows {FORMAT}"
            raise FormatUnknown(what, where=name, hint="Install a newer Holdfast")
        _check()(value)
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
    if _overlap(tensors):
        raise FormatInvalid("A manifest with tensors that overlap", where=name)
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


def _overlap(tensors: Iterable[TensorRecord]) -> bool:
    """Whether two tensors share bytes; the very same bytes, as equal tensors have, are no overlap."""
    ranges = set()
    for record in tensors:
        ranges.add((record.object, record.offset, record.offset + record.spec.nbytes))
        for patch in record.patches:
            ranges.add((patch.object, patch.index_offset, patch.index_offset + INDEX_BYTES * patch.count))
            ranges.add((patch.object, patch.rows_offset, patch.rows_offset + patch.nbytes))
    solid = sorted(one for one in ranges if one[1] < one[2])
    return any(one[0] == other[0] and other[1] < one[2] for one, other in pairwise(solid))


def _tensor_record(entry: dict[str, Any], manifest: str) -> TensorRecord:
    patches = tuple(
        Patch(one["object"], *(int(one[key]) for key in _PATCH_NUMBERS)) for one in entry.get("patches", ())
    )
    try:
        for name in (entry["object"], *(patch.object for patch in patches)):
            parse_object_name(name)  # no path, no other folder
    except FormatInvalid as error:
        raise FormatInvalid(f"A tensor in no object: {error}", where=manifest) from None
    shape = tuple(int(size) for size in entry["shape"])
    spec = TensorSpec(entry["name"], entry["dtype"], shape)
    if patches and not (shape and all(patch.nbytes <= spec.nbytes for patch in patches)):
        raise FormatInvalid("A patch that is larger than its tensor", where=manifest)
    return TensorRecord(spec, entry["object"], int(entry["offset"]), entry["xxh3_128"], patches)
