"""From the spool into the store: objects with what changed, then the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.runtime import claims
from holdfast.runtime.catalogue import Catalogue
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import (
    ClaimLost,
    FormatInvalid,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreUnavailable,
)
from holdfast.runtime.manifest import Manifest, TensorRecord
from holdfast.runtime.names import Stem, object_path
from holdfast.runtime.partial import PartialChanges
from holdfast.runtime.restore import read_manifest
from holdfast.runtime.retention import mostly_dead
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores.base import Content, Store
from holdfast.runtime.writing import Meter, Piece, Rows, Whole, object_content

MAX_ATTEMPTS: Final = 100
"""Names tried for one object before it is given up."""

PART_BYTES: Final = 64 << 20
"""The least size of the objects that a large checkpoint is divided into, to be written side by side."""


@dataclass(frozen=True, slots=True)
class Written:
    """A checkpoint that is in the store now.

    Attributes:
        manifest: Its manifest.
        names: What was written for it, the manifest last: all of it is to be confirmed.
    """

    manifest: Manifest
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Left:
    """The objects of an upload whose manifest has not come through: the next try needs only that."""

    stem: Stem
    records: dict[str, TensorRecord]
    objects: dict[str, int]

    def fits(self, stem: Stem, changed: Iterable[TensorRecord], catalogue: Catalogue) -> bool:
        """Whether they are all there still, and all that the upload wants."""
        return (
            stem == self.stem
            and self.records.keys() == {record.spec.name for record in changed}
            and all(map(catalogue.holds, self.records.values()))
        )


@dataclass(slots=True)
class Uploader:
    """Writes a run's snapshots into its folder in the store.

    Attributes:
        store: The run's folder in the store.
        spool: Where the snapshots are.
        catalogue: What the store has.
        bytes_written: Bytes of objects written so far.
    """

    store: Store
    spool: Spool
    catalogue: Catalogue = field(init=False)
    bytes_written: int = 0
    _partial: PartialChanges = field(default_factory=PartialChanges)
    _left: _Left | None = None

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(Shelf("store", self.store))

    def upload(self, snapshot: Manifest, incarnation: int, progress: Callable[[int, int], None]) -> Written:
        """Makes a checkpoint of a snapshot.

        Args:
            snapshot: The spool's manifest.
            incarnation: The incarnation under which this machine may write.
            progress: Told how many bytes are written, and of how many.

        Raises:
            ClaimLost: A newer session has claimed the run.
            CheckpointDamaged: The snapshot's bytes are not what was taken.
            ObjectNotFound: The snapshot has been recycled meanwhile.
            StoreUnavailable: The store failed; nothing is lost, it can be done again.
            StoreRefused: It will not have it; the same.
        """
        self.ensure_claim(incarnation)
        kept, changed = self._compare(snapshot)
        objects: dict[str, int] = {}
        if self._left is not None and self._left.fits(snapshot.stem, changed, self.catalogue):
            objects = dict(self._left.objects)
            kept |= self._left.records
        elif changed:
            with ExitStack() as locks:
                names = {record.object for record in changed}
                opened = {
                    name: locks.enter_context(self.spool.shared(self.spool.objects / name)) for name in names
                }
                pieces = [self._piece(snapshot, record, opened[record.object]) for record in changed]
                reach("store.object.begin")
                records = self._write_objects(snapshot.stem, pieces, objects, progress)
                self.catalogue.objects.update(objects)  # orphans, should the manifest not come through
                self._left = _Left(snapshot.stem, records, objects)
                kept |= records
                reach("store.object.written")
        manifest = replace(snapshot, tensors=tuple(kept[record.spec.name] for record in snapshot.tensors))
        self.ensure_claim(incarnation)  # again: an upload may have taken long
        reach("store.manifest.begin")
        manifest = self._commit(manifest)
        reach("store.manifest.written")
        self._left = None
        self.catalogue.add(manifest, objects)
        written = {record.spec.name for record in changed}
        for record in manifest.tensors:
            if record.spec.name in written:
                self._partial.written(snapshot.slots, record)
        return Written(manifest, (*map(object_path, objects), snapshot.stem.manifest_path))

    def _commit(self, manifest: Manifest) -> Manifest:
        """Writes the manifest; returns the one that is in the store then."""
        path, content = manifest.stem.manifest_path, Content.of(manifest.to_bytes())
        try:
            self.store.create(path, content)
            return manifest
        except ObjectExists:  # an earlier try, whose outcome was not known, or of a daemon that died
            pass
        with suppress(FormatInvalid):
            there = read_manifest(self.catalogue.shelf, manifest.stem)
            if manifest.stem not in self.catalogue.rejected and self._is_whole(there):
                return there  # it counts, and what was written just now is of no use
        self.store.delete(path)  # it is broken, and nobody but this session writes that name
        self.store.create(path, content)
        return manifest

    def _is_whole(self, manifest: Manifest) -> bool:
        """Whether a manifest's objects are in the store and long enough."""
        for record in manifest.tensors:
            for name, _, _ in record.places:
                with suppress(ObjectNotFound):
                    self.catalogue.objects[name] = self.store.size(object_path(name))
        return all(map(self.catalogue.holds, manifest.tensors))

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

    def _compare(self, snapshot: Manifest) -> tuple[dict[str, TensorRecord], list[TensorRecord]]:
        """What the store has already, by name and as it has it, and what is to be written."""
        worn = mostly_dead(self.catalogue.read.values(), self.catalogue.objects)
        have = {
            (record.hash, record.spec.dtype, record.spec.nbytes): record
            for stored in sorted(self.catalogue.newest.values(), key=lambda one: one.stem)  # the newest wins
            for record in stored.tensors
            if self.catalogue.holds(record) and not any(name in worn for name, _, _ in record.places)
        }
        kept, changed = {}, []
        for record in snapshot.tensors:
            old = have.get((record.hash, record.spec.dtype, record.spec.nbytes))
            if old is None or (old.patches and old.spec.shape != record.spec.shape):
                changed.append(record)
            else:
                kept[record.spec.name] = replace(old, spec=record.spec)
        return kept, changed

    def _piece(self, snapshot: Manifest, record: TensorRecord, descriptor: int) -> Piece:
        """How a changed tensor is to be written: whole, or the rows that changed."""
        before = [self.catalogue.newest[slot] for slot in snapshot.slots if slot in self.catalogue.newest]
        stored = [old for manifest in before for old in manifest.tensors if old.spec == record.spec]
        previous = next(filter(self.catalogue.holds, stored), None)
        rows = self._partial.find(snapshot.slots, record, previous, descriptor)
        stem = str(snapshot.stem)
        return Rows(record, descriptor, stem, rows) if rows else Whole(record, descriptor, stem)

    def _write_objects(
        self,
        stem: Stem,
        pieces: list[Piece],
        objects: dict[str, int],
        progress: Callable[[int, int], None],
    ) -> dict[str, TensorRecord]:
        """Writes the pieces, and adds the objects to ``objects``; returns how the store has the tensors."""
        parts = _divide(pieces, self.store.capabilities.parallel)
        meter = Meter(sum(piece.nbytes for piece in pieces), progress)

        def write(number: int) -> tuple[str, int, list[TensorRecord]]:
            content, offsets = object_content(parts[number], meter.of(number))
            name = self._create(stem, number, content)
            return (
                name,
                content.size,
                [piece.stored(name, places) for piece, places in zip(parts[number], offsets, strict=True)],
            )

        with ThreadPoolExecutor(len(parts), thread_name_prefix="holdfast-upload") as pool:
            futures = [pool.submit(write, number) for number in range(len(parts))]
        if failed := next((error for one in futures if (error := one.exception())), None):
            for one in futures:  # what came through is of no use alone, and would fill the store
                if one.exception() is None:
                    with suppress(StoreError):
                        self.store.delete(object_path(one.result()[0]))
            raise failed
        done = [one.result() for one in futures]
        found = {}
        for name, size, records in done:
            objects[name] = size
            self.bytes_written += size
            found.update({record.spec.name: record for record in records})
        return found

    def _create(self, stem: Stem, part: int, content: Content) -> str:
        for attempt in range(MAX_ATTEMPTS):
            name = stem.object_name(part, attempt)
            try:
                self.store.create(object_path(name), content)
                return name
            except ObjectExists:  # left by an upload that broke off; retention removes it
                self.catalogue.objects.setdefault(name, 0)
        raise StoreUnavailable(f"{MAX_ATTEMPTS} uploads of checkpoint {stem} broke off", where=self.store.url)


def _divide(pieces: list[Piece], most: int) -> list[list[Piece]]:
    """Divides the pieces into at most ``most`` objects of about one size, none of them small."""
    total = sum(piece.nbytes for piece in pieces)
    target = max(PART_BYTES, -(-total // most))
    parts: list[list[Piece]] = [[]]
    size = 0
    for piece in pieces:
        if parts[-1] and size + piece.nbytes / 2 > target and len(parts) < most:
            parts.append([])
            size = 0
        parts[-1].append(piece)
        size += piece.nbytes
    return parts
