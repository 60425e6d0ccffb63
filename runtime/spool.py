"""The spool: the local folder through which the kernel hands snapshots to the daemon.

It has a store's layout (``objects/``, ``manifests/``) and formats. A snapshot's manifest names the object with
what changed, and older ones for what did not. It must outlive processes, not the machine, so nothing here is
synced to disk. Files that no manifest names any more are written over again, since the first touch of fresh
pages costs as much as the copy itself. Whoever reads an object, or is about to name it in a manifest, holds a
shared lock on it; whoever takes it an exclusive one, and looks once more then that nobody names it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import FormatInvalid, ObjectNotFound, SpoolFull
from holdfast.runtime.files import TEMPORARY_SUFFIX, move, replace_atomically
from holdfast.runtime.manifest import Manifest, TensorRecord, manifest_from_bytes
from holdfast.runtime.names import OBJECT_SUFFIX, Stem, parse_stem
from holdfast.runtime.schedule import Waiting, superseded
from holdfast.runtime.snapshot import Snapshot, TensorSource
from holdfast.runtime.spool_object import WrittenTensor, unlock_and_close, write_object
from holdfast.runtime.stores.folder import FolderStore
from holdfast.runtime.unchanged import Unchanged

KEEP_NEWEST: Final = 2
"""Snapshots kept whatever happens: the newest, and one to fall back on should it be damaged."""

LIVE_WRITER_SECONDS: Final = 5.0
"""An object without a manifest that is younger may be a live writer's, which commits it just now."""

LIVE_SHARE: Final = 0.5
"""Share of an object's bytes that must still be needed for it to be named once more: with less, these bytes are
written anew, so that the spool is never larger than twice what its snapshots need."""

ENDS: Final = ("milestone", "interrupted")
"""Snapshots after which nothing is trained for a while: then no reference is kept."""

MOST_OBJECTS: Final = 8
"""Older objects that a snapshot names at the most; what lies in further ones is written anew, together."""


def spool_folder(base: Path, store_url: str, run: str) -> Path:
    """The spool of one run in one store."""
    key = hashlib.sha256(f"{store_url}\n{run}".encode()).hexdigest()[:16]
    return base / "spools" / key


class _Committed(NamedTuple):
    """What is known of a snapshot whose manifest has been read."""

    waiting: Waiting
    objects: frozenset[str]


class Spool(FolderStore):
    """One run's spool. As a `Store` it can be restored from."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.objects = folder / "objects"
        self.manifests = folder / "manifests"
        self._seen: dict[Stem, _Committed] = {}
        self._unchanged = Unchanged()
        self._distrusted = False

    def make_folders(self) -> None:
        """Creates the folders, readable by this user alone, and clears what a dead writer left."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.objects, self.manifests):
            folder.mkdir(exist_ok=True)
            for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
                leftover.unlink(missing_ok=True)
        named = self._named(self._look())
        for path in self.objects.glob(f"*{OBJECT_SUFFIX}"):
            with suppress(FileNotFoundError):
                if path.name not in named and time.time() - path.stat().st_mtime > LIVE_WRITER_SECONDS:
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
        if self._distrusted:
            self._distrusted = False
            self._unchanged.forget()
        if snapshot.late:
            self._unchanged.let_go()
        keep = snapshot.kind == "milestone"
        made: list[Path] = []
        try:
            with ExitStack() as locks:  # until the manifest names what is locked
                same = self._unchanged.find(snapshot)
                there = self._still_there(same, locks)
                changed = [one for one in snapshot.sources if one.spec.name not in same]
                moved = [one for one in snapshot.sources if one.spec.name in same.keys() - there.keys()]
                for one in snapshot.sources:
                    if one.spec.name in same:
                        self._unchanged.hold(snapshot, one)
                written: list[WrittenTensor] = []
                # What does not change gets an object of its own, which is named as long as that is so.
                for part, sources in enumerate((changed, moved)):
                    if sources:
                        written += self._write_object(stem.object_name(part), sources, made, locks, keep=keep)
                reach("spool.object.written")
                records = there | {one.record.spec.name: one.record for one in written}
                manifest = self._commit(run, stem, snapshot, records)
        except BaseException:
            for path in made:
                path.unlink(missing_ok=True)
            raise
        reach("spool.committed")
        for new in written:
            self._unchanged.written(snapshot, new.record, new.probe)
        self._unchanged.forget(keep=self._named(self._look()))
        if snapshot.kind in ENDS:
            self._unchanged.let_go()
        for source in snapshot.sources:
            source.let_go()
        return manifest

    def _still_there(self, same: Mapping[str, TensorRecord], locks: ExitStack) -> dict[str, TensorRecord]:
        """Those of the unchanged tensors whose objects are to be named once more, and are locked now."""
        live: dict[str, int] = {}
        ends: dict[str, int] = {}
        for record in same.values():
            live[record.object] = live.get(record.object, 0) + record.spec.nbytes
            ends[record.object] = max(ends.get(record.object, 0), record.offset + record.spec.nbytes)
        usable = set()
        for name in sorted(live, key=live.__getitem__, reverse=True)[:MOST_OBJECTS]:
            path = self.objects / name
            with suppress(ObjectNotFound, FileNotFoundError):
                size = path.stat().st_size
                if ends[name] <= size and live[name] >= LIVE_SHARE * size:
                    locks.enter_context(self.shared(path))
                    usable.add(name)
        return {name: record for name, record in same.items() if record.object in usable}

    def _write_object(
        self, name: str, sources: list[TensorSource], made: list[Path], locks: ExitStack, *, keep: bool
    ) -> list[WrittenTensor]:
        temporary, path = self.objects / f".{name}{TEMPORARY_SUFFIX}", self.objects / name
        made += (temporary, path)
        for stem in self._superseded(KEEP_NEWEST):
            if self._take(stem, temporary):
                break
        written = write_object(temporary, name, sources, locks, keep=keep)
        move(temporary, path)
        return written

    def _commit(
        self, run: str, stem: Stem, snapshot: Snapshot, records: Mapping[str, TensorRecord]
    ) -> Manifest:
        manifest = Manifest(
            run,
            stem,
            snapshot.taken_at,
            snapshot.kind,
            snapshot.slots,
            tuple(replace(records[one.spec.name], spec=one.spec) for one in snapshot.sources),
            snapshot.journal,
            snapshot.state,
        )
        reach("spool.manifest.begin")
        path = self.manifests / stem.manifest_name
        replace_atomically(
            path, manifest.to_bytes(), durable=False, before_rename=lambda: reach("spool.manifest.written")
        )
        self._seen[stem] = _committed(manifest)
        return manifest

    def let_go(self) -> None:
        """Drops the references of unchanged tensors that are kept between snapshots."""
        self._unchanged.let_go()

    def distrust(self) -> None:
        """The local disk has damaged something: the next snapshot is written whole. From any thread."""
        self._distrusted = True

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
        stems = self._look()
        return [self._seen[stem].waiting for stem in stems if stem in self._seen]

    def _look(self) -> list[Stem]:
        """Reads the manifests that are new, and forgets those that are gone; returns all snapshots."""
        stems = self.stems()
        self._seen = {stem: self._seen[stem] for stem in stems if stem in self._seen}
        for stem in stems:
            if stem not in self._seen:  # immutable, so read once
                with suppress(ObjectNotFound, FormatInvalid):
                    self._seen[stem] = _committed(self.manifest(stem))
        return stems

    def _objects_of(self, stem: Stem) -> frozenset[str]:
        """The objects that a snapshot names; of one whose manifest is damaged, those that it wrote."""
        if stem in self._seen:
            return self._seen[stem].objects
        return frozenset(path.name for path in self.objects.glob(f"{stem}*{OBJECT_SUFFIX}"))

    def _named(self, stems: Iterable[Stem]) -> set[str]:
        """The objects that these snapshots name."""
        return {name for stem in stems for name in self._objects_of(stem)}

    def _only_of(self, stem: Stem) -> frozenset[str]:
        """The objects that a snapshot needs and no other one."""
        others = self._named(other for other in self._look() if other != stem)
        return self._objects_of(stem) - others

    def _take(self, stem: Stem, target: Path | None) -> bool:
        """Deletes a snapshot and the objects that it alone needs, unless somebody reads one of them just now.

        Args:
            stem: The snapshot. Its manifest goes first.
            target: Where to move the largest of these objects, instead of deleting it.

        Returns:
            Whether there is a file at ``target`` now.
        """
        alone, named = self._only_of(stem), self._objects_of(stem)
        with ExitStack() as locks:
            sizes = {}
            for path in (self.objects / name for name in alone):
                try:
                    descriptor = locks.enter_context(_opened(path, os.O_RDWR, fcntl.LOCK_EX))
                    sizes[path] = os.fstat(descriptor).st_size
                except ObjectNotFound:
                    if path.exists():
                        return False
            if self._only_of(stem) != alone:  # named meanwhile, or deleted by another process
                return False
            (self.manifests / stem.manifest_name).unlink(missing_ok=True)
            paths = sorted(sizes, key=sizes.__getitem__)
            moved = target is not None and bool(paths)
            if target is not None and paths:
                move(paths.pop(), target)
            for path in paths:
                path.unlink(missing_ok=True)
        for name in named - alone - self._named(self._look()):  # another process took the others meanwhile
            self._remove_unnamed(self.objects / name)
        return moved

    def _remove_unnamed(self, path: Path) -> None:
        """Deletes an object unless a snapshot names it, or somebody reads it or is about to name it."""
        with suppress(ObjectNotFound), _opened(path, os.O_RDWR, fcntl.LOCK_EX):
            if path.name not in self._named(self._look()):
                path.unlink(missing_ok=True)


def _committed(manifest: Manifest) -> _Committed:
    waiting = Waiting(manifest.stem, manifest.kind, manifest.slots)
    return _Committed(waiting, frozenset(record.object for record in manifest.tensors))


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
        unlock_and_close(descriptor)
