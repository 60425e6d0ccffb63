"""From the spool into the store: an object with what changed, then the manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import xxhash

from holdfast.runtime import claims
from holdfast.runtime.crashpoints import Step, reach
from holdfast.runtime.errors import (
    CheckpointDamaged,
    ClaimLost,
    FormatInvalid,
    HoldfastError,
    ObjectExists,
    ObjectNotFound,
    StoreUnavailable,
)
from holdfast.runtime.journal import journal_from_dict
from holdfast.runtime.manifest import (
    Manifest,
    Stem,
    TensorRecord,
    manifest_from_bytes,
    parse_object_name,
    parse_stem,
)
from holdfast.runtime.objects import encode_header
from holdfast.runtime.restore import MAX_MANIFEST_BYTES
from holdfast.runtime.retention import Stored, choose_deletions
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores.base import Store

MAX_ATTEMPTS: Final = 100
"""Names tried for one checkpoint's object before it is given up."""

CHUNK_BYTES: Final = 1 << 20
"""Bytes copied at a time; all the memory that an upload takes."""


@dataclass(slots=True)
class Uploader:
    """Writes a run's snapshots into its folder in the store, and keeps that folder in bounds.

    Attributes:
        store: The run's folder in the store.
        spool: Where the snapshots are.
        keep_last: Checkpoints kept of each slot.
        known: The manifests in the store that are wanted for comparison and retention.
        unsound: Those of ``known`` whose tensors are not to be built upon.
        bytes_written: Bytes of objects written so far.
    """

    store: Store
    spool: Spool
    keep_last: int
    known: dict[Stem, Manifest] = field(default_factory=dict)
    unsound: set[Stem] = field(default_factory=set)
    bytes_written: int = 0

    def learn(self) -> None:
        """Reads the manifests that are in the store already; damaged ones are left alone."""
        sizes = self.store.sizes("objects")
        for name, size in self.store.sizes("manifests").items():
            with suppress(FormatInvalid, ObjectNotFound):
                stem = parse_stem(name)
                if stem not in self.known and size <= MAX_MANIFEST_BYTES:
                    manifest = manifest_from_bytes(self.store.read(f"manifests/{name}", size), name=name)
                    self.known[stem] = manifest
                    ends = ((one.object, one.offset + one.spec.nbytes) for one in manifest.tensors)
                    if any(end > sizes.get(name, -1) for name, end in ends):
                        self.unsound.add(stem)

    def upload(self, snapshot: Manifest, incarnation: int, progress: Callable[[int], None]) -> Manifest:
        """Makes a checkpoint of a snapshot.

        Args:
            snapshot: The spool's manifest.
            incarnation: The incarnation under which this machine may write.
            progress: Told the bytes of each piece as it is written.

        Returns:
            The manifest that is now in the store.

        Raises:
            ClaimLost: A newer session has claimed the run.
            CheckpointDamaged: The snapshot's bytes are not what was taken.
            ObjectNotFound: The snapshot has been recycled meanwhile.
            StoreUnavailable: The store failed; nothing is lost, it can be done again.
        """
        self.ensure_claim(incarnation)
        have = {
            (record.hash, record.spec.dtype, record.spec.nbytes): record for record in self._stored_tensors()
        }
        changed, kept = [], {}
        for record in snapshot.tensors:
            old = have.get((record.hash, record.spec.dtype, record.spec.nbytes))
            if old is None:
                changed.append(record)
            else:
                kept[record.spec.name] = replace(record, object=old.object, offset=old.offset)
        written = self._write_object(snapshot.stem, changed, progress) if changed else {}
        tensors = tuple({**kept, **written}[record.spec.name] for record in snapshot.tensors)
        manifest = replace(snapshot, tensors=tensors)
        self.ensure_claim(incarnation)  # again: an upload may have taken long
        reach("store.manifest.begin")
        with suppress(ObjectExists):  # an earlier try had come this far
            self.store.create(f"manifests/{snapshot.stem.manifest_name}", [manifest.to_bytes()])
        reach("store.manifest.written")
        self.known[snapshot.stem] = manifest
        return manifest

    def ensure_claim(self, incarnation: int) -> None:
        """Makes sure that nobody claimed the run after ``incarnation``.

        Raises:
            ClaimLost: Somebody did.
            StoreUnavailable: Not even that claim is there: a dead mount, not an empty store.
        """
        highest, session = claims.highest(self.store)
        if highest < incarnation:
            raise StoreUnavailable(
                "The run's claims are gone from the store",
                where=self.store.url,
                hint="If it is a mounted folder, it looks unmounted: mount it again",
            )
        if highest > incarnation:
            raise ClaimLost(
                f"Session {session} has claimed this run (incarnation {highest}); nothing more is written",
                where=self.store.url,
                hint="Stop the other notebook, or start this one under another run name",
            )

    def _stored_tensors(self) -> Iterator[TensorRecord]:
        newest: dict[str, Manifest] = {}
        for stem in sorted(self.known.keys() - self.unsound):
            for slot in self.known[stem].slots:
                newest[slot] = self.known[stem]
        for manifest in newest.values():
            yield from manifest.tensors

    def _write_object(
        self, stem: Stem, records: list[TensorRecord], progress: Callable[[int], None]
    ) -> dict[str, TensorRecord]:
        header, offsets = encode_header([record.spec for record in records])
        path = self.spool.objects / records[0].object
        with self.spool.shared(path) as descriptor:
            reach("store.object.begin")
            name = self._create_object(
                stem, lambda: _object_chunks(header, descriptor, records, str(stem), progress)
            )
            reach("store.object.written")
        self.bytes_written += len(header) + sum(record.spec.nbytes for record in records)
        return {
            record.spec.name: replace(record, object=name, offset=offset)
            for record, offset in zip(records, offsets, strict=True)
        }

    def _create_object(self, stem: Stem, chunks: Callable[[], Iterator[bytes | memoryview]]) -> str:
        for attempt in range(MAX_ATTEMPTS):
            name = stem.object_name(attempt)
            with suppress(ObjectExists):  # left by an upload that broke off; retention removes it
                self.store.create(f"objects/{name}", chunks())
                return name
        raise StoreUnavailable(f"{MAX_ATTEMPTS} uploads of checkpoint {stem} broke off", where=self.store.url)

    def enforce_retention(self, incarnation: int) -> None:
        """Deletes what retention lets go: manifests first, then objects that none names."""
        self.ensure_claim(incarnation)
        stored = [
            Stored(stem, one.kind, one.slots, frozenset(record.object for record in one.tensors))
            for stem, one in self.known.items()
        ]
        needed: frozenset[Stem] = frozenset()
        if self.known:
            with suppress(HoldfastError):
                needed = journal_from_dict(self.known[max(self.known)].journal).stems()
        objects = {}
        for name in self.store.sizes("objects"):
            with suppress(FormatInvalid):  # not ours: let be
                objects[name] = parse_object_name(name)
        deletions = choose_deletions(stored, objects, needed, self.keep_last)
        for stem in deletions.manifests:
            self.store.delete(f"manifests/{stem.manifest_name}")
            self.known.pop(stem, None)
        reach("store.retention")
        # Objects of a manifest that cannot be read are not deleted: it may be a mount's whim.
        unread = {name for name in self.store.sizes("manifests") if _unknown(name, self.known)}
        if not unread:
            for name in deletions.objects:
                self.store.delete(f"objects/{name}")
        self._delete_leftovers(incarnation)

    def _delete_leftovers(self, incarnation: int) -> None:
        """Removes what uploads of this and of earlier incarnations left, which broke off in their midst."""
        for folder, parse in (("objects", parse_object_name), ("manifests", parse_stem)):
            for name, meant in self.store.leftovers(folder).items():
                with suppress(FormatInvalid):
                    if parse(meant).incarnation <= incarnation:
                        self.store.delete(f"{folder}/{name}")


def _unknown(name: str, known: dict[Stem, Manifest]) -> bool:
    try:
        return parse_stem(name) not in known
    except FormatInvalid:
        return False


def _object_chunks(
    header: bytes, descriptor: int, records: list[TensorRecord], stem: str, progress: Callable[[int], None]
) -> Iterator[bytes | memoryview]:
    """The bytes of an object, each tensor checked against its hash on the way."""
    middle: Step = "store.object.middle"
    yield header
    buffer = memoryview(bytearray(CHUNK_BYTES))
    for record in records:
        digest = xxhash.xxh3_128()
        position, end = record.offset, record.offset + record.spec.nbytes
        while position < end:
            count = os.preadv(descriptor, [buffer[: min(CHUNK_BYTES, end - position)]], position)
            if count == 0:
                raise CheckpointDamaged("The snapshot is cut off", stem=stem, origin="spool")
            digest.update(buffer[:count])
            yield buffer[:count]
            progress(count)
            position += count
        if digest.hexdigest() != record.hash:
            raise CheckpointDamaged(
                f"Tensor {record.spec.name} changed in the spool", stem=stem, origin="spool"
            )
        reach(middle)
