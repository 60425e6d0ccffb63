"""The folder store: a local or mounted folder. The reference for the others."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from holdfast.runtime.errors import (
    FormatInvalid,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.files import TEMPORARY_SUFFIX, create_durably
from holdfast.runtime.stores.base import Capabilities, Chunk, Content, Listing, Quota, Store, parts_of

_HINTS = {
    errno.ENOSPC: "Free some space there",
    errno.EDQUOT: "The quota is used up: free some space there",
    errno.EACCES: "Give this user write permission",
    errno.EROFS: "The file system is mounted read-only",
    errno.ENOTCONN: "The mount is dead: mount it again",
}
_PERMANENT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
"""What does not pass while one waits for it."""

ADVISED_BYTES: Final = 128 << 10
"""Bytes that the system is asked to read ahead at a time: Linux's default ``read_ahead_kb``, beyond which it
forgets what it was asked for."""


class FolderStore(Store):
    """Objects as files below one folder."""

    capabilities = Capabilities(atomic_create=True, confirmed_on_return=True, parallel=2)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.absolute().as_uri()

    def under(self, prefix: str) -> FolderStore:
        return FolderStore(self._path(prefix))

    def check(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".probe-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
            probe.write_bytes(b"holdfast")
            probe.unlink()
        except OSError as error:
            hint = _HINTS.get(error.errno or 0, "Name a folder that this user can write")
            raise StoreUnusable(
                f"The store cannot be written: {error.strerror}", where=self.url, hint=hint
            ) from None

    def create(self, name: str, content: Content) -> None:
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # also where a file stands in a folder's place
            raise self._unavailable(name, error) from None
        failed: list[OSError] = []

        def chunks() -> Iterator[Chunk]:
            try:
                yield from content.chunks()
            except OSError as error:  # not the store's failure
                failed.append(error)
                raise

        try:
            with self._translated(name):
                create_durably(path, chunks())
        except StoreError:
            if failed:
                raise failed[0] from None
            raise

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        with self._translated(name), open(self._path(name), "rb", buffering=0) as file:
            file.seek(offset)
            rest = buffer
            while rest:
                count = file.readinto(rest)
                if not count:
                    raise FormatInvalid(f"The file ends {len(rest)} bytes too early", where=self._where(name))
                rest = rest[count:]

    def read_ahead(self, name: str, offset: int, size: int) -> None:
        advise = getattr(os, "posix_fadvise", None)
        if advise is None:
            return
        with suppress(OSError), open(self._path(name), "rb", buffering=0) as file:
            for begin in range(offset, offset + size, ADVISED_BYTES):
                advise(file.fileno(), begin, ADVISED_BYTES, os.POSIX_FADV_WILLNEED)

    def size(self, name: str) -> int:
        with self._translated(name):
            status = os.stat(self._path(name), follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise ObjectNotFound("Not in the store", where=self._where(name))
        return status.st_size

    def list(self, prefix: str) -> Listing:
        sizes, folders = {}, []
        with self._translated(prefix):
            try:
                entries = list(os.scandir(self._path(prefix) if prefix else self.folder))
            except FileNotFoundError:
                return Listing()
            for entry in entries:
                if entry.name.endswith(TEMPORARY_SUFFIX):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # deleted since it was listed
                        sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
        return Listing(sizes, frozenset(folders))

    def leftovers(self, prefix: str) -> dict[str, str]:
        with self._translated(prefix):
            found = {}
            for path in self._path(prefix).glob(f".*{TEMPORARY_SUFFIX}"):
                found[path.name] = path.name[1:].removesuffix(TEMPORARY_SUFFIX).rpartition(".")[0]
            return found

    def delete(self, name: str) -> None:
        with self._translated(name):
            self._path(name).unlink(missing_ok=True)

    def quota(self) -> Quota | None:
        with self._translated(""):
            room = os.statvfs(self.folder)
        return Quota(total=room.f_frsize * room.f_blocks, free=room.f_frsize * room.f_bavail)

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*parts_of(name))

    def _where(self, name: str) -> str:
        return f"{self.url}/{name}"

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Turns the system's errors into the project's, at this edge only."""
        try:
            yield
        except FileNotFoundError:
            raise ObjectNotFound("Not in the store", where=self._where(name)) from None
        except FileExistsError:
            raise ObjectExists("Already in the store", where=self._where(name)) from None
        except OSError as error:
            raise self._unavailable(name, error) from None

    def _unavailable(self, name: str, error: OSError) -> StoreUnavailable | StoreRefused:
        kind = StoreRefused if error.errno in _PERMANENT else StoreUnavailable
        hint = _HINTS.get(error.errno or 0)
        return kind(f"The store failed: {error.strerror or error}", where=self._where(name), hint=hint)
