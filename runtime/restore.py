"""Reading checkpoints back: the newest that verifies, from the spool or the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import (
    CheckpointDamaged,
    FormatInvalid,
    HoldfastError,
    ObjectNotFound,
)
from holdfast.runtime.journal import Journal, journal_from_dict
from holdfast.runtime.manifest import Kind, Manifest, TensorRecord, manifest_from_bytes
from holdfast.runtime.names import Stem
from holdfast.runtime.progress import bytes_bar
from holdfast.runtime.reading import fill
from holdfast.runtime.shelf import Shelf, newest_first

MAX_MANIFEST_BYTES: Final = 256 << 20
"""A larger file is no manifest; it is not read."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CheckpointPart:
    """What a checkpoint holds of one slot, ready to have its tensors fetched."""

    checkpoint: Checkpoint
    slot: str
    state: dict[str, Any]
    tensors: dict[str, TensorRecord]

    @property
    def stem(self) -> Stem:
        """The checkpoint's name."""
        return self.checkpoint.stem

    @property
    def taken_at(self) -> float:
        """Unix time in seconds of the snapshot."""
        return self.checkpoint.manifest.taken_at

    @property
    def kind(self) -> Kind:
        """Why it was taken."""
        return self.checkpoint.manifest.kind

    @property
    def origin(self) -> str:
        """Where it lies: ``spool`` or ``store``."""
        return self.checkpoint.shelf.origin

    def fetch(
        self,
        wanted: Iterable[TensorRecord],
        allocate: Callable[[TensorRecord], tuple[T, memoryview]],
    ) -> dict[str, T]:
        """As `Checkpoint.fetch`, of this part's tensors."""
        return self.checkpoint.fetch(wanted, allocate)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose manifest has been read, ready to have its tensors fetched."""

    manifest: Manifest
    shelf: Shelf

    def part(self, slot: str | None = None) -> CheckpointPart:
        """What it holds of a slot, by default of its first.

        Raises:
            FormatInvalid: It holds nothing of it.
        """
        return CheckpointPart(self, *self.manifest.part(slot))

    @property
    def stem(self) -> Stem:
        """Its name."""
        return self.manifest.stem

    def fetch(
        self,
        wanted: Iterable[TensorRecord],
        allocate: Callable[[TensorRecord], tuple[T, memoryview]],
    ) -> dict[str, T]:
        """Reads tensors and checks their hashes.

        Args:
            wanted: Which of the manifest's tensors.
            allocate: Gives for a tensor what to return, and its memory as flat bytes.

        Returns:
            What ``allocate`` made, filled, by the tensor's name.

        Raises:
            CheckpointDamaged: A tensor is missing, cut off, or has other bytes.
        """
        records = list(wanted)
        made = {record.spec.name: allocate(record) for record in records}
        targets = [(record, made[record.spec.name][1]) for record in records]
        with bytes_bar(f"reading from the {self.shelf.origin}", sum(map(_nbytes, records))) as bar:
            fill(self.shelf, targets, self._damaged, bar.update)
        reach("restore.read")
        return {name: value for name, (value, _) in made.items()}

    def _damaged(self, what: str, record: TensorRecord) -> CheckpointDamaged:
        return CheckpointDamaged(
            what,
            stem=str(self.stem),
            origin=self.shelf.origin,
            where=f"{self.shelf.store.url}/{self.shelf.object_path(record.object)}",
        )


def _nbytes(record: TensorRecord) -> int:
    return record.spec.nbytes


def read_manifest(shelf: Shelf, stem: Stem, size: int | None = None) -> Manifest:
    """Reads a checkpoint's manifest.

    Args:
        shelf: Where it lies.
        stem: Its name.
        size: The manifest's size in bytes, where a listing told it.

    Raises:
        ObjectNotFound: There is none.
        FormatInvalid: It is none.
    """
    path = shelf.manifest_path(stem)
    size = shelf.store.size(path) if size is None else size
    if size > MAX_MANIFEST_BYTES:
        raise FormatInvalid(f"A manifest of {size} bytes", where=f"{shelf.store.url}/{path}")
    return manifest_from_bytes(shelf.store.read(path, size), name=stem.manifest_name)


def open_checkpoint(shelf: Shelf, stem: Stem, size: int | None = None) -> tuple[Checkpoint, Journal]:
    """Reads a checkpoint's manifest, and makes sure that its objects are there and long enough.

    Args:
        shelf: Where it lies.
        stem: Its name.
        size: The manifest's size in bytes, where a listing told it.

    Raises:
        ObjectNotFound: There is no such checkpoint.
        CheckpointDamaged: Its manifest cannot be read, or its objects are not whole.
    """

    def damaged(what: str) -> CheckpointDamaged:
        where = f"{shelf.store.url}/{shelf.manifest_path(stem)}"
        return CheckpointDamaged(
            f"Checkpoint {stem} is damaged: {what}", stem=str(stem), origin=shelf.origin, where=where
        )

    try:
        manifest = read_manifest(shelf, stem, size)
        journal = journal_from_dict(manifest.journal)
    except FormatInvalid as error:
        raise damaged(str(error)) from None
    needed: dict[str, int] = {}
    for record in manifest.tensors:
        for name, _, end in record.places:
            needed[name] = max(end, needed.get(name, 0))
    for name, end in needed.items():
        try:
            have = shelf.store.size(shelf.object_path(name))
        except ObjectNotFound:
            shelf.store.size(shelf.manifest_path(stem))  # gone too: deleted since, not damaged
            raise damaged(f"object {name} is missing") from None
        if have < end:
            raise damaged(f"object {name} has only {have} bytes")
    return Checkpoint(manifest, shelf), journal


def newest(
    shelves: Sequence[Shelf],
    damaged: set[tuple[str, Stem]],
    say: Callable[[HoldfastError], None],
    *,
    slot: str | None = None,
) -> tuple[Checkpoint, Journal] | None:
    """The newest checkpoint that opens.

    Args:
        shelves: Where to look; the first named wins among equals.
        damaged: Checkpoints to pass over, by where they lie; those found damaged are added.
        say: Told about each damaged one. It is never deleted here.
        slot: Only checkpoints that hold this slot.
    """
    for stem, shelf, size in newest_first(shelves):
        if (shelf.origin, stem) in damaged:
            continue
        try:
            found = open_checkpoint(shelf, stem, size)
        except ObjectNotFound:  # recycled or deleted since it was listed
            continue
        except CheckpointDamaged as error:
            damaged.add((shelf.origin, stem))
            say(error)
            continue
        if slot is None or slot in found[0].manifest.slots:
            reach("restore.chosen")
            return found
    return None
