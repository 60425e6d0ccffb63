"""Reading checkpoints back: the newest that verifies, from the spool or the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import xxhash

from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import (
    CheckpointDamaged,
    FormatInvalid,
    HoldfastError,
    ObjectNotFound,
)
from holdfast.runtime.journal import Journal, journal_from_dict
from holdfast.runtime.manifest import Manifest, Stem, TensorRecord, manifest_from_bytes, parse_stem
from holdfast.runtime.stores.base import Store

READERS: Final = 4
"""Ranges read at a time: enough to hide a network's latency, few enough for a small machine."""

CHUNK_BYTES: Final = 8 << 20
"""Bytes read, then hashed while they are still in the processor's cache."""

MAX_MANIFEST_BYTES: Final = 256 << 20
"""A larger file is no manifest; it is not read."""

Origin = Literal["spool", "store"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where checkpoints lie: the spool or the run's folder in the store."""

    origin: Origin
    store: Store

    def stems(self) -> list[Stem]:
        """The checkpoints there, by the names of their manifests alone."""
        found = []
        for name in self.store.sizes("manifests"):
            with suppress(FormatInvalid):
                found.append(parse_stem(name))
        return found


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose manifest has been read, ready to have its tensors fetched."""

    manifest: Manifest
    shelf: Shelf

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
        with ThreadPoolExecutor(READERS, thread_name_prefix="holdfast-restore") as pool:
            # list() raises what a reader raised
            list(pool.map(lambda record: self._read(record, made[record.spec.name][1]), records))
        reach("restore.read")
        return {name: value for name, (value, _) in made.items()}

    def _read(self, record: TensorRecord, memory: memoryview) -> None:
        digest = xxhash.xxh3_128()
        try:
            for begin in range(0, len(memory), CHUNK_BYTES):
                chunk = memory[begin : begin + CHUNK_BYTES]
                self.shelf.store.read_into(f"objects/{record.object}", record.offset + begin, chunk)
                digest.update(chunk)
        except (ObjectNotFound, FormatInvalid) as error:
            raise self._damaged(f"Tensor {record.spec.name} cannot be read: {error}", record) from None
        if digest.hexdigest() != record.hash:
            raise self._damaged(f"Tensor {record.spec.name} does not have the bytes it should", record)

    def _damaged(self, what: str, record: TensorRecord) -> CheckpointDamaged:
        return CheckpointDamaged(
            what,
            stem=str(self.stem),
            origin=self.shelf.origin,
            where=f"{self.shelf.store.url}/objects/{record.object}",
        )


def open_checkpoint(shelf: Shelf, stem: Stem) -> tuple[Checkpoint, Journal]:
    """Reads a checkpoint's manifest, and makes sure that its objects are there and long enough.

    Raises:
        CheckpointDamaged: They are not, or the manifest cannot be read.
    """
    where = f"{shelf.store.url}/manifests/{stem.manifest_name}"
    try:
        size = shelf.store.sizes("manifests").get(stem.manifest_name)
        if size is None:
            raise ObjectNotFound("No such checkpoint", where=where)
        if size > MAX_MANIFEST_BYTES:
            raise FormatInvalid(f"A manifest of {size} bytes", where=where)
        data = shelf.store.read(f"manifests/{stem.manifest_name}", size)
        manifest = manifest_from_bytes(data, name=stem.manifest_name)
        journal = journal_from_dict(manifest.journal)
    except (ObjectNotFound, FormatInvalid) as error:
        raise CheckpointDamaged(
            f"Checkpoint {stem} is damaged: {error}", stem=str(stem), origin=shelf.origin, where=where
        ) from None
    sizes = shelf.store.sizes("objects")
    for record in manifest.tensors:
        have = sizes.get(record.object, -1)
        if record.offset + record.spec.nbytes > have:
            what = "is missing" if have < 0 else f"has only {have} bytes"
            raise CheckpointDamaged(
                f"Checkpoint {stem} is damaged: object {record.object} {what}",
                stem=str(stem),
                origin=shelf.origin,
                where=where,
            )
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
    for stem, shelf in _newest_first(shelves):
        if (shelf.origin, stem) in damaged:
            continue
        try:
            found = open_checkpoint(shelf, stem)
        except CheckpointDamaged as error:
            damaged.add((shelf.origin, stem))
            say(error)
            continue
        if slot is None or slot in found[0].manifest.slots:
            reach("restore.chosen")
            return found
    return None


def _newest_first(shelves: Sequence[Shelf]) -> Iterator[tuple[Stem, Shelf]]:
    found = [(stem, -rank, shelf) for rank, shelf in enumerate(shelves) for stem in shelf.stems()]
    for stem, _, shelf in sorted(found, key=lambda entry: entry[:2], reverse=True):
        yield stem, shelf
