"""The used part of Google Drive's interface, version 3: one method for each request, and one for an upload."""

from __future__ import annotations

import json
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import google_auth_httplib2
import httplib2
from googleapiclient import discovery, discovery_cache
from googleapiclient.errors import HttpError

from holdfast.runtime.errors import FormatInvalid, ObjectExists, ObjectNotFound, StoreUnavailable
from holdfast.runtime.stores.base import Content
from holdfast.runtime.stores.credentials import default_credentials
from holdfast.runtime.stores.drive_errors import translated
from holdfast.runtime.stores.drive_rest import FOLDER, WHERE, FileInfo
from holdfast.runtime.stores.drive_upload import PiecewiseUpload

ENDPOINT: Final = "HOLDFAST_DRIVE_ENDPOINT"
"""Environment variable with the address of a server that stands in for Drive, without credentials."""

TIMEOUT_SECONDS = 60.0
"""How long Drive may keep silent within one request; its slowest answer, to a last piece, takes seconds."""

READ_BYTES: Final = 16 << 20
"""Bytes asked for in one request: the client holds each answer in memory whole."""

RESUMES: Final = 3
"""Times in a row that one upload goes on after a failure without an advance. Longer waits are the caller's."""

PAGE_ENTRIES: Final = 1000
"""Entries listed in one request, the most that Drive gives."""

IDS_AT_ONCE: Final = 50

_FIELDS: Final = "id,name,size,md5Checksum,createdTime,mimeType,trashed,parents"

# Without a handler, Python would print the clients' warnings; failures are told by the errors.
for _name in ("googleapiclient", "google_auth_httplib2", "google.auth"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

_USED: Final = {"about": ("get",), "files": ("create", "delete", "generateIds", "get", "list")}
"""Methods of each resource of Drive."""


class _Drive(NamedTuple):
    """Builds requests; for use by any thread."""

    files: Any
    about: Any


class DriveClient:
    """Drive's requests. Several threads may use it at once. Errors are those of `drive_errors`."""

    def __init__(self) -> None:
        self._endpoint = os.environ.get(ENDPOINT, "").rstrip("/")
        self._lock = threading.Lock()
        self._made: _Drive | None = None
        self._credentials: Any = None
        self._ids: deque[str] = deque()
        # httplib2's connections are not for use by several threads at a time.
        self._idle: deque[Any] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def new_id(self) -> str:
        """An id for a file to be made. Making one under a taken id fails, so a second try cannot double it."""
        while True:
            try:
                return self._ids.popleft()
            except IndexError:
                reply = self._ask(self._drive.files.generateIds(count=IDS_AT_ONCE, fields="ids"))
                with translated():
                    self._ids.extend(str(one) for one in reply["ids"])

    def get(self, file_id: str) -> FileInfo:
        """A file or folder by its id, also one in the trash.

        Raises:
            ObjectNotFound: There is none.
        """
        return _info(self._ask(self._drive.files.get(fileId=file_id, fields=_FIELDS)))

    def query(self, query: str) -> Iterator[FileInfo]:
        """Files and folders that match a query, in no order."""
        token = None
        while True:
            reply = self._ask(
                self._drive.files.list(
                    q=query,
                    pageSize=PAGE_ENTRIES,
                    pageToken=token,
                    spaces="drive",
                    fields=f"nextPageToken,files({_FIELDS})",
                )
            )
            with translated():
                entries = list(reply["files"])
                token = reply.get("nextPageToken")
            yield from map(_info, entries)
            if not token:
                return

    def make_folder(self, parent: str, name: str) -> FileInfo:
        """Makes a folder, beside others of that name if there are any."""
        file_id = self.new_id()
        body = {"id": file_id, "name": name, "mimeType": FOLDER, "parents": [parent]}
        try:
            return _info(self._ask(self._drive.files.create(body=body, fields=_FIELDS)))
        except ObjectExists:  # an earlier try, whose answer was lost, has made it
            return self.get(file_id)

    def delete(self, file_id: str) -> None:
        """Removes a file for good; no error where it is not there."""
        try:
            self._execute(self._drive.files.delete(fileId=file_id))
        except ObjectNotFound:
            return

    def storage(self) -> tuple[int | None, int]:
        """The account's bytes: how many there may be, None for any number, and how many there are."""
        reply = self._ask(self._drive.about.get(fields="storageQuota"))
        with translated():
            quota = reply["storageQuota"]
            return int(quota["limit"]) if "limit" in quota else None, int(quota["usage"])

    def read_into(self, file_id: str, offset: int, buffer: memoryview) -> None:
        """Fills ``buffer`` with a file's bytes from ``offset`` on.

        Raises:
            ObjectNotFound: There is no such file.
            FormatInvalid: It is too short for that.
        """
        for begin in range(0, len(buffer), READ_BYTES):
            piece = buffer[begin : begin + READ_BYTES]
            piece[:] = self._read(file_id, offset + begin, len(piece))

    def upload(self, file_id: str, parent: str, name: str, content: Content) -> tuple[FileInfo, str]:
        """Makes a file with a content.

        Args:
            file_id: From `new_id`.
            parent: Id of the folder to put it in.
            name: Its title.
            content: What `Content.chunks` raises passes through, and leaves nothing.

        Returns:
            What Drive says that it has, and the hex MD5 digest of what was sent.

        Raises:
            ObjectNotFound: There is no such folder.
            ObjectExists: The id is taken: an earlier try has come through.
            StoreUnavailable: It broke off. The file may be there all the same.
        """
        media = PiecewiseUpload(content)
        body = {"id": file_id, "name": name, "parents": [parent]}
        request = self._drive.files.create(body=body, media_body=media, fields=_FIELDS)
        reply, stuck = None, 0
        while reply is None:
            before = request.resumable_progress
            try:
                _, reply = self._step(request, media)
            except StoreUnavailable:
                if media.failures:
                    raise
                # Drive knows how far it has come. Waits belong to the caller, so only a few tries in a row.
                stuck = stuck + 1 if request.resumable_progress == before else 0
                if stuck > RESUMES or request.resumable_uri is None:
                    raise
        return _info(_whole(reply)), media.md5

    def _step(self, request: Any, media: PiecewiseUpload) -> tuple[Any, Any]:
        """Sends the next piece, or asks how many have arrived."""
        with translated(media.failures), self._connection() as connection:
            try:
                step: tuple[Any, Any] = request.next_chunk(http=connection)
            except HttpError as error:
                status, begun = int(error.resp.status), request.resumable_uri is not None
                if status < 500:  # waiting, or another try from the beginning, is the caller's
                    request.resumable_uri = None
                if begun and status in (400, 404, 410, 412, 416):  # about the upload, not about a folder
                    raise StoreUnavailable("Drive has forgotten the upload", where=WHERE) from None
                raise
        return step

    def _read(self, file_id: str, offset: int, count: int) -> bytes:
        request = self._drive.files.get_media(fileId=file_id)
        # Packed, a range would be one of the packed bytes.
        headers = {"range": f"bytes={offset}-{offset + count - 1}", "accept-encoding": "identity"}
        with translated(), self._connection() as connection:
            reply, data = connection.request(request.uri, "GET", headers=headers)
            if reply.status >= 300:
                raise HttpError(reply, data)
        if reply.status == 200:  # the whole file
            data = data[offset : offset + count]
        total = reply.get("content-range", "").rpartition("/")[2]
        if len(data) != count:
            if reply.status == 206 and total.isdigit() and int(total) >= offset + count:
                raise StoreUnavailable("Drive's answer is cut off", where=WHERE)
            raise FormatInvalid("The file is shorter than that", where=WHERE)
        return bytes(data)

    @property
    def _drive(self) -> _Drive:
        with self._lock:
            if self._made is None:
                with translated():
                    if not self._endpoint:
                        self._credentials = default_credentials()
                    service = discovery.build_from_document(self._document(), http=httplib2.Http())
                # Kept, since each look at one builds all its methods.
                self._made = _Drive(service.files(), service.about())
            return self._made

    def _document(self) -> dict[str, Any]:
        """The interface's description as it comes with the client, less what is not used."""
        document: dict[str, Any] = json.loads(discovery_cache.get_static_doc("drive", "v3") or "{}")
        used = {name: document["resources"][name]["methods"] for name in _USED}
        document["resources"] = {
            name: {"methods": {method: used[name][method] for method in methods}}
            for name, methods in _USED.items()
        }
        if self._endpoint:
            document["rootUrl"] = f"{self._endpoint}/"
        return document

    def _ask(self, request: Any) -> dict[str, Any]:
        return _whole(self._execute(request))

    def _execute(self, request: Any) -> Any:
        with translated(), self._connection() as connection:
            return request.execute(http=connection)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection that no other thread uses meanwhile."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        except HttpError:
            self._idle.append(connection)
            raise
        except BaseException:  # it may be in mid-reply
            connection.close()
            raise
        self._idle.append(connection)

    def _connect(self) -> Any:
        connection = httplib2.Http(timeout=TIMEOUT_SECONDS)
        # To Drive, 308 is no redirection: it asks for the rest of an upload.
        connection.redirect_codes = connection.redirect_codes - {308}
        if self._credentials is None:
            return connection
        return google_auth_httplib2.AuthorizedHttp(self._credentials, http=connection)


def _close_all(idle: deque[Any]) -> None:
    while idle:
        idle.pop().close()


def _whole(reply: Any) -> dict[str, Any]:
    """An answer, if it is one: what is cut off, the client hands out as text."""
    if not isinstance(reply, dict):
        raise StoreUnavailable("Drive's answer is cut off or garbled", where=WHERE)
    return reply


def _info(entry: dict[str, Any]) -> FileInfo:
    with translated():
        return FileInfo(
            created=str(entry.get("createdTime", "")),
            id=str(entry["id"]),
            name=str(entry["name"]),
            size=int(entry.get("size", -1)),
            md5=str(entry.get("md5Checksum", "")),
            folder=entry.get("mimeType") == FOLDER,
            trashed=bool(entry.get("trashed", False)),
            parents=tuple(map(str, entry.get("parents", []))),
        )
