"""The store in Google Drive as Colab mounts it. A mount that is dead or gone never looks empty here."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from holdfast.runtime.errors import (
    FormatInvalid,
    ObjectExists,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.files import TEMPORARY_SUFFIX, sync, write_at
from holdfast.runtime.stores.base import Capabilities, Confirmation, Content, Listing, Quota
from holdfast.runtime.stores.drive_confirm import Evidence
from holdfast.runtime.stores.drive_mount import DEAD, Mount, Remains
from holdfast.runtime.stores.folder import FolderStore
from holdfast.runtime.stores.urls import Location

LOCAL_DISK: Final = Path("/")
"""Where the mount keeps its cache of what is not uploaded yet: Colab's only disk."""

LOCAL_ROOM_BYTES: Final = 1 << 30
"""With less than this free, it is the local disk that is full: Drive's client keeps some room back."""

_OUTCOME_UNKNOWN: Final = DEAD | {errno.EIO, errno.EINTR, errno.ETIMEDOUT}
"""Errors after which a file may have been made all the same."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_DOUBLE: Final = re.compile(r"(?P<stem>.+) \(\d+\)(?P<suffix>\.[^.]*)?")
"""How the mount names the second of two files with one title."""


class DriveFolder(FolderStore):
    """Objects as files below a folder of My Drive, on the mount.

    The mount promises less than a disk. What is written lies in a cache of this machine, and is uploaded
    later, in any order: see `confirm`. Drive may hold two files of one title, so creating is exclusive on
    this machine only. A rename may be undone, so each object is written under its final name at once.
    What is deleted goes into the trash and counts until it is emptied, so it is cut to nothing before.

    Args:
        path: The folder, from My Drive on.
    """

    capabilities = Capabilities(atomic_create=False, confirmed_on_return=False, parallel=1)

    def __init__(self, path: str) -> None:
        self._settle(path, path, Mount(), Evidence())

    def _settle(self, root: str, path: str, mount: Mount, evidence: Evidence) -> None:
        super().__init__(mount.drive / path)
        self.url = Location("drive", path).url
        self._root, self._path_in_drive, self._mount, self._evidence = root, path, mount, evidence

    def under(self, prefix: str) -> DriveFolder:
        self._path(prefix)
        store = DriveFolder.__new__(DriveFolder)
        store._settle(self._root, f"{self._path_in_drive}/{prefix}", self._mount, self._evidence)
        return store

    def read_ahead(self, name: str, offset: int, size: int) -> None:
        """Nothing: what the mount downloads on such advice is not known."""

    def check(self) -> None:
        try:
            self._mount.verify()
        except StoreUnavailable as error:
            hint = self._mount.line(again=not self._mount.absent)
            raise StoreUnusable(error.what, where=self.url, hint=hint) from None
        probe = f".probe-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
        try:
            self.create(probe, Content.of(b"holdfast"))
            same = self.read(probe, 8) == b"holdfast"
            self.delete(probe)
        except (StoreRefused, ObjectNotFound, FormatInvalid) as error:
            raise StoreUnusable(
                f"The store cannot be used: {error.what}", where=self.url, hint=error.hint
            ) from None
        if not same:
            raise StoreUnusable("The store gives back other bytes than were written", where=self.url)

    def create(self, name: str, content: Content) -> None:
        path = self._path(name)
        self._verify(path.parent)
        with self._translated(name):
            try:
                descriptor = self._open_new(path)
            except FileNotFoundError:
                self._verify(path.parent)
                raise StoreUnavailable("A new folder is not visible yet", where=self._where(name)) from None
        try:
            try:
                position = 0
                for chunk in content.chunks():
                    view = memoryview(chunk).cast("B")
                    with self._translated(name):
                        write_at(descriptor, view, position)
                    position += len(view)
                with self._translated(name):
                    sync(descriptor)
            except BaseException:
                with suppress(OSError):
                    os.close(descriptor)
                raise
            with self._translated(name):
                os.close(descriptor)  # the last moment at which the mount tells of a failed write
            self._verify(path.parent)  # else it may have been written beside the mount
        except BaseException:
            self._discard(path, "ours")
            raise
        self._mount.remains.pop(path, None)

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        parent = self._path(name).parent
        self._verify(parent)
        try:
            super().read_into(name, offset, buffer)
        except FormatInvalid:
            self._verify(parent)
            raise

    def size(self, name: str) -> int:
        self._verify(self._path(name).parent)
        return super().size(name)

    def list(self, prefix: str) -> Listing:
        path = self._path(prefix) if prefix else self.folder
        self._verify(path)
        with self._translated(prefix):
            try:
                listing, ghosts = _scan(path)
                # Between listing and looking a file may be deleted; but then it is not listed again.
                if ghosts and not ghosts.isdisjoint(_scan(path)[1]):
                    raise self._mount.dead("it lists files which it says are not there")
            except FileNotFoundError:
                self._make_sure_it_is_missing(path)
                listing = Listing()
        self._verify(path)
        return listing

    def leftovers(self, prefix: str) -> dict[str, str]:
        self._path(prefix)
        return {}

    def delete(self, name: str) -> None:
        path = self._path(name)
        self._verify(path.parent)
        with self._translated(name):
            try:
                _empty(path)
                path.unlink()
            except FileNotFoundError:
                self._make_sure_it_is_missing(path)

    def confirm(self, name: str, content: Content | None = None) -> Confirmation:
        path = self._path(name)
        self._verify(path.parent)
        with self._translated(name):
            return self._evidence.judge(path, f"{self._path_in_drive}/{name}", content, self._mount.remounts)

    def quota(self) -> Quota | None:
        self._verify()
        quota = self._evidence.quota(self._mount.remounts)
        if quota is not None:
            return quota
        try:
            room = os.statvfs(self._mount.drive)
        except OSError as error:
            raise self._unavailable("", error) from None
        if room.f_blocks == 0:
            return None
        return Quota(total=room.f_frsize * room.f_blocks, free=room.f_frsize * room.f_bavail)

    def _verify(self, *folders: Path) -> None:
        self._mount.verify(self._mount.drive / self._root, self.folder, *folders)

    def _make_sure_it_is_missing(self, path: Path) -> None:
        """Raises `StoreUnavailable` where the mount cannot be believed that a path is not there."""
        self._verify(path.parent)
        try:
            listed = any(entry.name == path.name for entry in path.parent.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            listed = False
        except OSError as error:
            raise self._unavailable(path.name, error) from None
        if listed:
            raise self._mount.dead(f"it lists {path.name}, which it says is not there")

    def _open_new(self, path: Path) -> int:
        try:
            return _open_exclusively(path)
        except FileNotFoundError:
            self._verify(path.parent)
            self._make_folders(path.parent)
        except FileExistsError:
            if not self._is_remains(path):
                raise
            _empty(path)
            path.unlink()
        except OSError as error:
            if error.errno in _OUTCOME_UNKNOWN:
                self._discard(path, "perhaps")
            raise
        return _open_exclusively(path)

    def _make_folders(self, folder: Path) -> None:
        """Makes a folder and those above it, but never My Drive: without it there is no mount."""
        way = self._mount.drive
        for part in folder.relative_to(way).parts:
            way /= part
            with suppress(FileExistsError):
                way.mkdir()

    def _discard(self, path: Path, whose: Remains) -> None:
        """Removes what a failed write has made, or takes note of it for the next try."""
        self._mount.remains[path] = whose
        if whose == "ours":
            with suppress(OSError):
                _empty(path)
            with suppress(OSError):
                path.unlink()
                self._mount.remains.pop(path, None)

    def _is_remains(self, path: Path) -> bool:
        """Whether a file is only what a failed write of this process has left."""
        whose = self._mount.remains.get(path)
        return whose == "ours" or (whose == "perhaps" and os.stat(path).st_size == 0)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            self._make_sure_it_is_missing(self._path(name))
            raise ObjectNotFound("Not in the store", where=self._where(name)) from None
        except FileExistsError:
            raise ObjectExists("Already in the store", where=self._where(name)) from None
        except OSError as error:
            raise self._unavailable(name, error) from None

    def _unavailable(self, name: str, error: OSError) -> StoreUnavailable | StoreRefused:
        if error.errno in DEAD:
            return self._mount.dead(error.strerror or str(error))
        failure = super()._unavailable(name, error)
        hint = failure.hint
        if error.errno == errno.EIO:
            hint = f"If it goes on: {self._mount.line(again=True)}"
        elif error.errno == errno.ENOSPC and shutil.disk_usage(LOCAL_DISK).free < LOCAL_ROOM_BYTES:
            hint = "The local disk is full, on which Drive's client keeps its cache: free some space on it"
        elif error.errno in _FULL:
            hint = "Drive is full: delete what is not needed, and empty Drive's trash, which counts"
        return type(failure)(failure.what, where=failure.where, hint=hint)


def _open_exclusively(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)


def _empty(path: Path) -> None:
    """Cuts a file that is to be deleted to nothing: in the trash it would use the quota for 30 days."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link: there is nothing to cut off
            raise
        return
    try:
        try:
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _FULL:  # where all is full, it must still go
            raise


def _scan(folder: Path) -> tuple[Listing, set[str]]:
    """What lies in a folder, without what is no object of a store; and names that are listed and not there."""
    sizes, folders, ghosts = {}, set(), set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(TEMPORARY_SUFFIX):
                continue
            try:
                # Not DirEntry.is_file: it takes an error for no.
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                ghosts.add(entry.name)
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.add(entry.name)
            elif stat.S_ISREG(status.st_mode) and not _DOUBLE.fullmatch(entry.name):
                sizes[entry.name] = status.st_size
    return Listing(sizes, frozenset(name for name in folders if _original(name) not in folders)), ghosts


def _original(name: str) -> str | None:
    """The title that a double of it has in Drive."""
    double = _DOUBLE.fullmatch(name)
    return None if double is None else f"{double['stem']}{double['suffix'] or ''}"
