"""The spool: the local folder through which the kernel hands snapshots to the daemon.

It has a store's layout (``objects/``, ``manifests/``) and formats, with the whole state in one object
a snapshot. It must outlive processes, not the machine, so nothing here is synced to disk. Files of
superseded snapshots are written over again, since the first touch of fresh pages costs as much
as the copy itself; whoever reads one holds a shared lock, whoever takes one an exclusive one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import xxhash

from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import FormatInvalid, ObjectNotFound, SpoolFull
from holdfast.runtime.files import TEMPORARY_SUFFIX, move, replace_atomically, write_at
from holdfast.runtime.manifest import Kind, Manifest, TensorRecord, manifest_from_bytes
from holdfast.runtime.names import MANIFEST_SUFFIX, OBJECT_SUFFIX, Stem, parse_stem
from holdfast.runtime.objects import TensorSpec, encode_header
from holdfast.runtime.schedule import Waiting, superseded
from holdfast.runtime.stores.folder import FolderStore

KEEP_NEWEST: Final = 2
"""Snapshots kept whatever happens: the newest, and one to fall back on should it be damaged."""

LIVE_WRITER_SECONDS: Final = 5.0
"""An object without a manifest that is younger may be a live writer's, which commits it just now."""

CHUNK_BYTES: Final = 4 << 20
"""Bytes hashed, then written, at a time: small enough to still be in the processor's cache."""


def spool_folder(base: Path, store_url: str, run: str) -> Path:
    """The spool of one run in one store."""
    key = hashlib.sha256(f"{store_url}\n{run}".encode()).hexdigest()[:16]
    return base / "spools" / key


@dataclass(slots=True)
class TensorSource:
    """A tensor that is still to be written.

    Attributes:
        spec: Name, dtype and shape.
        buffer: Gives the tensor's bytes; called on the writer thread, and then forgotten, so that the memory
            it holds on to is free as soon as it is written.
    """

    spec: TensorSpec
    buffer: Callable[[], memoryview] | None


@dataclass(slots=True)
class Snapshot:
    """A consistent set of tensor references, with the Python state beside it."""

    kind: Kind
    slots: tuple[str, ...]
    sources: list[TensorSource]
    taken_at: float
    journal: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(source.spec.nbytes for source in self.sources)


class Spool(FolderStore):
    """One run's spool. As a `Store` it can be restored from."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.objects = folder / "objects"
        self.manifests = folder / "manifests"
        self._seen: dict[Stem, Waiting] = {}

    def make_folders(self) -> None:
        """Creates the folders, readable by this user alone, and clears what a dead writer left."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.objects, self.manifests):
            folder.mkdir(exist_ok=True)
            for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
                leftover.unlink(missing_ok=True)
        for path in self.objects.glob(f"*{OBJECT_SUFFIX}"):
            committed = self.manifests / f"{path.name.removesuffix(OBJECT_SUFFIX)}{MANIFEST_SUFFIX}"
            with suppress(FileNotFoundError):
                if not committed.exists() and time.time() - path.stat().st_mtime > LIVE_WRITER_SECONDS:
                    path.unlink()

    def stems(self) -> list[Stem]:
        """The committed snapshots, oldest first."""
        found = []
        for name in self.sizes("manifests"):
            with suppress(FormatInvalid):
                found.append(parse_stem(name))
        return sorted(found)

    def manifest(self, stem: Stem) -> Manifest:
        """Reads a snapshot's manifest.

        Raises:
            ObjectNotFound: It has been recycled meanwhile.
            FormatInvalid: It is damaged.
        """
        path = self.manifests / stem.manifest_name
        try:
            return manifest_from_bytes(path.read_bytes(), name=path.name)
        except FileNotFoundError:
            raise ObjectNotFound("No such snapshot in the spool", where=str(path)) from None

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        """As `Store.read_into`, under a shared lock, so that the file is not written over."""
        with self._translated(name), self.shared(self._path(name)) as descriptor:
            position = offset
            while buffer:
                count = os.preadv(descriptor, [buffer], position)
                if count == 0:
                    raise FormatInvalid(f"The file ends {len(buffer)} bytes too early", where=name)
                buffer, position = buffer[count:], position + count

    @staticmethod
    @contextmanager
    def shared(path: Path) -> Iterator[int]:
        """Opens a file of the spool for reading while nobody may write over it.

        Raises:
            ObjectNotFound: It is gone, or is just being recycled.
        """
        with _opened(path, os.O_RDONLY, fcntl.LOCK_SH) as descriptor:
            yield descriptor

    def write(self, run: str, stem: Stem, snapshot: Snapshot) -> Manifest:
        """Writes a snapshot and commits it by renaming its manifest into place.

        Its tensor references are dropped one by one as they are written; those of a milestone only at its end,
        since no later snapshot takes its place: it is tried once more where there was no room.

        Raises:
            SpoolFull: There is no room; superseded snapshots have been dropped for the next one.
        """
        for tries_left in (snapshot.kind == "milestone", False):
            try:
                return self._write(run, stem, snapshot)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self.drop_superseded(keep_newest=1)
                if not tries_left:
                    break
        raise SpoolFull(
            "The local disk has no room for a snapshot",
            where=str(self.folder),
            hint="Free some space, or set 'spool' to a folder on a larger disk",
        )

    def _write(self, run: str, stem: Stem, snapshot: Snapshot) -> Manifest:
        reach("spool.object.begin")
        header, offsets = encode_header([source.spec for source in snapshot.sources])
        temporary = self.objects / f".{stem.object_name()}{TEMPORARY_SUFFIX}"
        self._recycle_into(temporary)
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                write_at(descriptor, memoryview(header), 0)
                hashes = [
                    _write_tensor(descriptor, source, offset, keep=snapshot.kind == "milestone")
                    for source, offset in zip(snapshot.sources, offsets, strict=True)
                ]
                os.ftruncate(descriptor, len(header) + snapshot.nbytes)
            finally:
                os.close(descriptor)
            reach("spool.object.written")
            move(temporary, self.objects / stem.object_name())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        records = tuple(
            TensorRecord(source.spec, stem.object_name(), offset, digest)
            for source, offset, digest in zip(snapshot.sources, offsets, hashes, strict=True)
        )
        manifest = Manifest(
            run,
            stem,
            snapshot.taken_at,
            snapshot.kind,
            snapshot.slots,
            records,
            snapshot.journal,
            snapshot.state,
        )
        reach("spool.manifest.begin")
        path = self.manifests / stem.manifest_name
        try:
            replace_atomically(
                path, manifest.to_bytes(), durable=False, before_rename=lambda: reach("spool.manifest.written")
            )
        except BaseException:
            (self.objects / stem.object_name()).unlink(missing_ok=True)
            raise
        reach("spool.committed")
        for source in snapshot.sources:
            source.buffer = None
        return manifest

    def _recycle_into(self, temporary: Path) -> None:
        """Makes the file of a superseded snapshot the one to write, where there is one."""
        for stem in self._superseded(KEEP_NEWEST):
            if self._take(stem, temporary):
                return

    def drop_superseded(self, keep_newest: int = KEEP_NEWEST) -> None:
        """Deletes the snapshots that nobody needs."""
        for stem in self._superseded(keep_newest):
            self.discard(stem)

    def discard(self, stem: Stem) -> None:
        """Deletes a snapshot, unless somebody reads it just now."""
        self._take(stem, None)

    def _superseded(self, keep_newest: int) -> list[Stem]:
        waiting = self.waiting()
        newest = {one.stem for one in waiting[-keep_newest:]}
        return sorted(superseded(waiting) - newest)

    def waiting(self) -> list[Waiting]:
        """The committed snapshots with what decides about them, oldest first; damaged ones are left out."""
        stems = self.stems()
        self._seen = {stem: self._seen[stem] for stem in stems if stem in self._seen}
        for stem in stems:
            if stem not in self._seen:  # immutable, so read once
                with suppress(ObjectNotFound, FormatInvalid):
                    manifest = self.manifest(stem)
                    self._seen[stem] = Waiting(stem, manifest.kind, manifest.slots)
        return [self._seen[stem] for stem in stems if stem in self._seen]

    def _take(self, stem: Stem, target: Path | None) -> bool:
        """Moves a snapshot's object to ``target``, or deletes it; its manifest goes first."""
        path = self.objects / stem.object_name()
        with (
            suppress(ObjectNotFound, FileNotFoundError),
            _opened(path, os.O_RDWR, fcntl.LOCK_EX),
        ):
            (self.manifests / stem.manifest_name).unlink(missing_ok=True)
            if target is None:
                path.unlink()
            else:
                move(path, target)
            return True
        return False


def _write_tensor(descriptor: int, source: TensorSource, offset: int, *, keep: bool) -> str:
    """Writes one tensor and returns its hash; unless it is kept, lets go of it.

    Hashed here, next to its source, so that all that can happen to the bytes from now on is found out.
    """
    assert source.buffer is not None, "a snapshot is written once"
    view = source.buffer()
    digest = xxhash.xxh3_128()
    for begin in range(0, len(view), CHUNK_BYTES):
        chunk = view[begin : begin + CHUNK_BYTES]
        digest.update(chunk)
        write_at(descriptor, chunk, offset + begin)
    reach("spool.object.middle")
    if not keep:
        source.buffer = None
    return digest.hexdigest()


@contextmanager
def _opened(path: Path, flags: int, lock: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise ObjectNotFound("Not in the spool", where=str(path)) from None
    try:
        try:
            fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
            same = os.path.samestat(os.stat(path), os.fstat(descriptor))
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise ObjectNotFound("Just being recycled", where=str(path))
        yield descriptor
    finally:
        os.close(descriptor)
