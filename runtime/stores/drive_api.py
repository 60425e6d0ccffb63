"""The Drive store: a folder in My Drive, by Drive's REST interface, without the mount."""

from __future__ import annotations

import builtins
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import quote

from holdfast.runtime.errors import (
    FormatInvalid,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores.base import Capabilities, Confirmation, Content, Listing, Quota, Store, parts_of
from holdfast.runtime.stores.drive_rest import PACKAGE, WHERE, DriveRest, FileInfo, md5_of

T = TypeVar("T")

NAME_BYTES: Final = 255
"""The longest part of a name. Drive takes more, but the mounted Drive could not show it."""

_DOUBLE: Final = re.compile(r"(.*?) \(\d+\)(\.[^.]*)?", re.DOTALL)
"""What the mounted Drive calls the second of two with one name."""


@dataclass(slots=True)
class _Known:
    """What is known of the files by their whole path; shared by the stores under one.

    Attributes:
        ids: Id of each file met. What has a name never changes, so only its end can make this wrong.
        begun: Ids under which files were to be made, as long as it is not known whether they were.
    """

    ids: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    _making: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def alone(self, path: str) -> Iterator[None]:
        """Lets one thread at a time create a name: another would take what is begun for its own."""
        with self._changed:
            self._changed.wait_for(lambda: path not in self._making)
            self._making.add(path)
        try:
            yield
        finally:
            with self._changed:
                self._making.discard(path)
                self._changed.notify_all()


class DriveApiStore(Store):
    """Objects as files in a folder of My Drive.

    Drive lets several files have one name. Of these the oldest counts, for whoever reads, and who finds
    after an upload that his is not the oldest takes it back. Two that create one name at the very same
    time may both believe to have won, hence no ``atomic_create``.

    Args:
        path: The folder, from My Drive on.
        rest: Drive, where it is in use already.

    Raises:
        StoreUnusable: The package for it is missing.
    """

    capabilities = Capabilities(atomic_create=False, confirmed_on_return=True, parallel=3, remote=True)

    def __init__(self, path: str, rest: DriveRest | None = None, known: _Known | None = None) -> None:
        self.path = path
        self.url = f"drive-api:{quote(path)}"
        if not DriveRest.installed():
            raise StoreUnusable(
                "The package for Google Drive is missing", where=self.url, hint=f"Run: pip install {PACKAGE}"
            )
        self._rest = rest or DriveRest()
        self._known = known or _Known()

    def under(self, prefix: str) -> DriveApiStore:
        return DriveApiStore(self._path(prefix), self._rest, self._known)

    def check(self) -> None:
        probe = f".probe-{secrets.token_hex(4)}"
        try:
            self.create(probe, Content.of(b"holdfast"))
            try:
                self.read(probe, 8)
            finally:
                self.delete(probe)
        except (StoreRefused, ObjectNotFound, FormatInvalid) as error:
            what = error.what if isinstance(error, StoreRefused) else "What is written is not there"
            raise StoreUnusable(
                f"The store cannot be used: {what}", where=self.url, hint=error.hint or "Name another folder"
            ) from None

    def create(self, name: str, content: Content) -> None:
        path = self._path(name)
        with self._located(name), self._known.alone(path):
            folder = self._rest.folder_id(path.rpartition("/")[0], create=True) or ""
            file_id = self._known.begun.pop(path, "")
            made = self._come_through(file_id, content) if file_id else None
            if made is None:
                if self._present(path):
                    raise ObjectExists("Already in the store", where=self._where(name))
                made = self._upload(path, folder, file_id or self._rest.client.new_id(), content)
            self._settle(path, made)

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        path = self._path(name)

        def read(file_id: str) -> None:
            if len(buffer):
                self._rest.client.read_into(file_id, offset, buffer)
            else:
                self._rest.client.get(file_id)

        with self._located(name):
            self._with_id(path, read)

    def size(self, name: str) -> int:
        return self._info(name).size

    def list(self, prefix: str) -> Listing:
        path = self._path(prefix) if prefix else self.path
        with self._located(prefix):
            try:
                parents = self._rest.folder_ids(path, anew=True)
                entries = self._rest.children(parents) if parents else []
            except ObjectNotFound:  # deleted since
                self._rest.forget()
                raise StoreUnavailable("The folder changes", where=self._where(prefix)) from None
        sizes: dict[str, int] = {}
        for one in entries:
            if one.size >= 0 and not _DOUBLE.fullmatch(one.name):
                sizes.setdefault(one.name, one.size)
        folders = {one.name for one in entries if one.folder}
        # A run may well be called so; what has its plain name beside it is a double.
        doubles = {name for name in folders if (plain := _DOUBLE.fullmatch(name)) and plain[1] in folders}
        return Listing(sizes, frozenset(folders - doubles))

    def delete(self, name: str) -> None:
        path = self._path(name)
        with self._located(name):
            ids = {self._known.ids.get(path, ""), self._known.begun.get(path, "")} - {""}
            for file_id in ids | {one.id for one in self._among(path)}:
                self._rest.delete(file_id)
        self._known.ids.pop(path, None)
        self._known.begun.pop(path, None)

    def confirm(self, name: str, content: Content | None = None) -> Confirmation:
        try:
            found = self._info(name)
        except ObjectNotFound:
            return "pending"
        return "confirmed" if content is None or _has(found, content) else "pending"

    def quota(self) -> Quota | None:
        with self._located(""):
            return self._rest.about_quota()

    def holds(self, name: str, content: Content) -> bool:
        try:
            found = self._info(name)
        except ObjectNotFound:
            return False
        return _has(found, content)

    def _upload(self, path: str, folder: str, file_id: str, content: Content) -> FileInfo:
        """Makes the file, and finds out whether it was made where the end is odd."""
        try:
            made, md5 = self._rest.client.upload(file_id, folder, path.rpartition("/")[2], content)
        except ObjectNotFound:
            self._rest.forget()
            raise StoreUnavailable("The folder was deleted meanwhile", where=WHERE) from None
        except (StoreUnavailable, ObjectExists) as error:
            if error.where != WHERE:  # what the content has raised
                raise
            self._known.begun[path] = file_id
            try:
                found = self._come_through(file_id, content)
            except StoreUnavailable:
                found = None
            if found is None:
                raise StoreUnavailable(error.what, where=WHERE, hint=error.hint) from None
            return found
        if (made.size, made.md5) != (content.size, md5):
            self._known.begun[path] = file_id  # until it is gone
            self._rest.delete(file_id)
            self._known.begun.pop(path, None)
            raise StoreUnavailable("Drive holds other bytes than were sent; they are deleted", where=WHERE)
        return made

    def _come_through(self, file_id: str, content: Content) -> FileInfo | None:
        """The file of an earlier try, if it is there and whole; where it is not whole, it is deleted."""
        try:
            found = self._rest.client.get(file_id)
        except ObjectNotFound:
            return None
        if _has(found, content):
            return found
        self._rest.delete(file_id)
        return None

    def _settle(self, path: str, made: FileInfo) -> None:
        """Sees to it that what was made is what its name stands for."""
        self._known.begun[path] = made.id
        if made.trashed:
            self._rest.delete(made.id)
            self._rest.forget()
            raise StoreUnavailable("The folder lies in Drive's trash; a new one is made", where=WHERE)
        if any(rival < made for rival in self._among(path)):
            self._rest.delete(made.id)
            self._known.begun.pop(path, None)
            raise ObjectExists("Another has created it at the same time", where=WHERE)
        self._known.ids[path] = made.id
        self._known.begun.pop(path, None)

    def _present(self, path: str) -> bool:
        """Whether the name is taken; what was made here may not be listed yet."""
        known = self._known.ids.get(path)
        if known is not None:
            with suppress(ObjectNotFound):
                return not self._rest.client.get(known).trashed
        return bool(self._among(path))

    def _among(self, path: str) -> builtins.list[FileInfo]:
        """The files of that path, the one that counts first, by the folders that are known."""
        folder, _, title = path.rpartition("/")
        try:
            parents = self._rest.folder_ids(folder)
            return self._rest.find_in(parents, title) if parents else []
        except ObjectNotFound:
            self._rest.forget()
            raise StoreUnavailable("The folder was deleted meanwhile", where=WHERE) from None

    def _info(self, name: str) -> FileInfo:
        def get(file_id: str) -> FileInfo:
            found = self._rest.client.get(file_id)
            if found.trashed:
                raise ObjectNotFound("Lies in the trash", where=WHERE)
            return found

        with self._located(name):
            return self._with_id(self._path(name), get)

    def _with_id(self, path: str, act: Callable[[str], T]) -> T:
        """Does something with the file of that path, by its id."""
        known = self._known.ids.get(path)
        if known is not None:
            with suppress(ObjectNotFound):
                return act(known)
            self._known.ids.pop(path, None)
        found = self._rest.lookup(path)
        if found is None:
            raise ObjectNotFound("Not in the store", where=WHERE)
        self._known.ids[path] = found.id
        return act(found.id)

    def _path(self, name: str) -> str:
        parts_of(name, NAME_BYTES)
        return f"{self.path}/{name}"

    def _where(self, name: str) -> str:
        return f"{self.url}/{name}"

    @contextmanager
    def _located(self, name: str) -> Iterator[None]:
        """Puts the name into messages that know only of Drive."""
        try:
            yield
        except (StoreError, FormatInvalid) as error:
            if error.where != WHERE:
                raise
            raise type(error)(error.what, where=self._where(name), hint=error.hint) from None


def _has(found: FileInfo, content: Content) -> bool:
    """Whether a file has just these bytes, which are read only where the size is right."""
    return found.size == content.size and found.md5 == md5_of(content)
