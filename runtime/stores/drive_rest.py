"""Paths in Google Drive, by its REST interface: Drive itself knows only ids, and names one thing twice."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast.runtime.errors import ObjectNotFound, StoreRefused, StoreUnavailable
from holdfast.runtime.stores.base import Content, Quota
from holdfast.runtime.stores.credentials import at_hand

if TYPE_CHECKING:
    from holdfast.runtime.stores.drive_client import DriveClient

FOLDER: Final = "application/vnd.google-apps.folder"
"""Media type by which Drive tells a folder."""

WHERE: Final = "Google Drive"
"""Where an error happened, as long as no more is known."""

PACKAGE: Final = "google-api-python-client"


@dataclass(frozen=True, slots=True, order=True)
class FileInfo:
    """A file or folder in Drive. Of several with one name, the least counts: the oldest, on every machine.

    Attributes:
        created: When it was made, as Drive says it: RFC 3339, UTC, of fixed length.
        id: Names it for good.
        name: Its title; not unique.
        size: Bytes of its content; -1 for folders, and documents of Google's own kinds.
        md5: Hex digest of its content as it lies in Drive; empty where there is none.
        folder: Whether it is a folder.
        trashed: Whether it, or a folder that it is in, lies in the trash.
        parents: Ids of the folders that it is in.
    """

    created: str
    id: str
    name: str = field(compare=False)
    size: int = field(default=-1, compare=False)
    md5: str = field(default="", compare=False)
    folder: bool = field(default=False, compare=False)
    trashed: bool = field(default=False, compare=False)
    parents: tuple[str, ...] = field(default=(), compare=False)


def md5_of(content: Content) -> str:
    """Hex digest of a content, as `FileInfo.md5` tells it."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in content.chunks():
        digest.update(chunk)
    return digest.hexdigest()


class DriveRest:
    """My Drive by paths. Several threads may use it at once.

    Every method raises `StoreUnavailable` where Drive does not answer, and `StoreRefused` where it
    will not, also for want of credentials: see `available`.

    Folders of one name in one place, which two machines made at the same time, count as one folder with
    the content of all; what is new goes into the oldest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._changing = threading.Lock()
        self._client: DriveClient | None = None
        self._root = ""
        self._folders: dict[str, list[FileInfo]] = {}
        self._made: dict[str, list[FileInfo]] = {}

    @staticmethod
    def installed() -> bool:
        """Whether the package is there that this needs."""
        return importlib.util.find_spec("googleapiclient") is not None

    @staticmethod
    def available() -> bool:
        """Whether the package is there, and credentials are."""
        return DriveRest.installed() and at_hand("drive-api")

    @property
    def client(self) -> DriveClient:
        """Drive's requests.

        Raises:
            StoreRefused: The package for it is missing.
        """
        with self._lock:
            if self._client is None:
                try:
                    from holdfast.runtime.stores.drive_client import DriveClient
                except ImportError as error:
                    raise StoreRefused(
                        f"Google Drive's client cannot be imported: {error}",
                        where=WHERE,
                        hint=f"Run: pip install {PACKAGE}",
                    ) from None
                self._client = DriveClient()
            return self._client

    def folder_id(self, path: str, create: bool = False) -> str | None:
        """The id of a folder.

        Args:
            path: From My Drive on, without a slash at either end; empty for My Drive itself.
            create: Whether to make it, and those above, where it is missing.

        Returns:
            Its id; None where it is missing and is not to be made.
        """
        found = self.folder_ids(path)
        if found or not create:
            return found[0] if found else None
        with self._making:  # so that threads of one process do not make it twice
            return self._make(path)

    def folder_ids(self, path: str, *, anew: bool = False) -> list[str]:
        """The ids of all folders of that path, the one to write to first.

        Args:
            path: As in `folder_id`.
            anew: Whether to look for those that others have made since.
        """
        if not path:
            return [self._root_id()]
        if anew or not self._folders.get(path):
            self._look(path)
        return [one.id for one in self._folders.get(path, [])]

    def forget(self) -> None:
        """Forgets where folders are: one of them has been deleted or trashed."""
        with self._changing:
            self._folders.clear()
            self._made.clear()

    def find(self, parent_id: str, name: str) -> list[FileInfo]:
        """The files of that name in a folder; the first is the one that counts."""
        return self.find_in([parent_id], name)

    def find_in(self, parents: Iterable[str], name: str) -> list[FileInfo]:
        """The files of that name in any of some folders; the first is the one that counts."""
        titled = f"name = '{_escaped(name)}' and mimeType != '{FOLDER}'"
        query = f"{_within(parents)} and {titled} and trashed = false"
        # Compared once more, since Drive's own comparison is of titles, not of letters.
        return sorted(one for one in self.client.query(query) if one.name == name and one.size >= 0)

    def children(self, parents: Iterable[str]) -> list[FileInfo]:
        """What lies directly in some folders, without the trash; of each name the one that counts first."""
        return sorted(self.client.query(f"{_within(parents)} and trashed = false"))

    def lookup(self, path: str) -> FileInfo | None:
        """The file at a path from My Drive on; None where there is none."""
        folder, _, name = path.rpartition("/")
        for anew in (False, True):
            try:
                parents = self.folder_ids(folder, anew=anew)
                found = self.find_in(parents, name) if parents else []
            except ObjectNotFound:  # a folder that was known is gone
                self.forget()
                continue
            if found:
                return found[0]
        return None

    def delete(self, file_id: str) -> None:
        """Removes a file for good, past the trash; no error where it is not there."""
        self.client.delete(file_id)

    def about_quota(self) -> Quota | None:
        """The account's room; None where it is unlimited."""
        limit, usage = self.client.storage()
        return None if limit is None else Quota(limit, max(0, limit - usage))

    def _root_id(self) -> str:
        if not self._root:
            # Queries understand "root", but a folder's parents are told by id.
            self._root = self.client.get("root").id
        return self._root

    def _look(self, path: str) -> None:
        """Finds all folders on the way to a path, in one request."""
        parts = path.split("/")
        names = " or ".join(f"name = '{_escaped(part)}'" for part in sorted(set(parts)))
        listed = set(self.client.query(f"mimeType = '{FOLDER}' and trashed = false and ({names})"))
        parents, way = {self._root_id()}, ""
        with self._changing:
            for part in parts:
                way = f"{way}/{part}" if way else part
                here = {one for one in listed if one.name == part and not parents.isdisjoint(one.parents)}
                # What was made here may not be listed yet. Once it has been, it is no longer believed in.
                self._made[way] = [one for one in self._made.get(way, []) if one not in listed]
                here.update(self._made[way])
                self._folders[way] = sorted(here)
                parents = {one.id for one in here}

    def _make(self, path: str) -> str:
        self._look(path)
        parts, made = path.split("/"), False
        for depth in range(1, len(parts) + 1):
            way = "/".join(parts[:depth])
            if not self._folders.get(way):
                parent = self._first("/".join(parts[: depth - 1]))
                folder = self.client.make_folder(parent, parts[depth - 1])
                with self._changing:
                    self._made.setdefault(way, []).append(folder)
                    self._folders[way] = [folder]
                made = True
        if made:
            self._look(path)  # another machine may have made one at the same time
        return self._first(path)

    def _first(self, path: str) -> str:
        found = self.folder_ids(path)
        if not found:  # another thread has found one of them deleted
            raise StoreUnavailable("The folder was deleted meanwhile", where=WHERE)
        return found[0]


def _within(parents: Iterable[str]) -> str:
    return "(" + " or ".join(f"'{parent}' in parents" for parent in parents) + ")"


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")
