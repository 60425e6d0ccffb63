"""A server that speaks the used part of Google Drive's interface, version 3, and fails as told."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from helpers.drive_faults import Exchange, Fault, answers, resets
from helpers.drive_query import QueryInvalid, parse
from helpers.drive_wire import Refused, Reply, Request, as_json
from helpers.store_makers import Made
from holdfast.runtime.stores.drive_api import DriveApiStore
from holdfast.runtime.stores.drive_client import ENDPOINT
from holdfast.runtime.stores.drive_rest import FOLDER

__all__ = ["GRAIN_BYTES", "DriveServer", "Fault", "answers", "drive_api_store", "drive_server", "resets"]

GRAIN_BYTES = 256 << 10
"""All pieces of an upload but the last are a multiple of this, as Drive wants it."""


@dataclass(slots=True)
class File:
    """A file or folder in the server."""

    id: str
    name: str
    parent: str
    created: str
    folder: bool = False
    content: bytes = b""
    size: int = 0
    md5: str = ""
    trashed: bool = False
    hidden: bool = False


@dataclass(slots=True)
class Session:
    """An upload under way."""

    body: dict[str, Any]
    received: bytearray = field(default_factory=bytearray)
    count: int = 0
    digest: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    done: str = ""


class DriveServer:
    """Drive with one account, in this process.

    Attributes:
        url: Its address.
        files: All there is, by id; the trash too.
        requests: What was asked, in order.
        limit: Bytes that the account may hold; None for any number.
        hiding: Whether new files stay out of listings until `reveal`.
        frozen: Whether the clock stands still.
        discarding: Whether contents are counted and hashed, and not kept.
        page_entries: The most entries in one listing.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.files: dict[str, File] = {"0Aroot": File("0Aroot", "My Drive", "", "2020", folder=True)}
        self.sessions: dict[str, Session] = {}
        self.requests: list[Request] = []
        self.limit: int | None = 15 << 30
        self.hiding = self.frozen = self.discarding = self.flipping = False
        self.page_entries = 1000
        self._faults: list[tuple[str, Fault | None]] = []
        self._issued: set[str] = set()
        self._ticks = 0
        self._http = _Server(self)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), name="drive server")
        self._thread.start()

    def close(self) -> None:
        """Ends it, with all connections."""
        self._http.shutdown()
        self._thread.join()
        self._http.hang_up()
        self._http.server_close()

    def fail(self, operation: str, *faults: Fault | None) -> None:
        """The next requests for an operation meet these faults, one each; None lets one pass."""
        with self.lock:
            self._faults += [(operation, fault) for fault in faults]

    def forgive(self) -> None:
        """Lets no planned fault meet anything any more."""
        with self.lock:
            self._faults.clear()

    def count(self, operation: str) -> int:
        """How many requests for an operation there were."""
        return sum(request.operation == operation for request in self.requests)

    def reveal(self) -> None:
        """Lists what was hidden."""
        self.hiding = False
        for file in self.files.values():
            file.hidden = False

    def trash(self, file_id: str) -> None:
        """Puts a file or folder into the trash."""
        self.files[file_id].trashed = True

    def named(self, name: str) -> list[File]:
        """All files and folders of that name."""
        with self.lock:
            return [file for file in self.files.values() if file.name == name]

    def add(self, name: str, content: bytes = b"", *, parent: str = "0Aroot", folder: bool = False) -> File:
        """A file or folder that somebody else has made."""
        with self.lock:
            return self._make({"id": self._new_id(), "name": name, "parents": [parent]}, content, folder=folder)

    def fault_for(self, operation: str) -> Fault | None:
        """What the request at hand meets."""
        with self.lock:
            for number, (name, fault) in enumerate(self._faults):
                if re.fullmatch(name, operation):
                    del self._faults[number]
                    return fault
        return None

    def perform(self, request: Request) -> Reply:
        """Does what is asked.

        Raises:
            Refused: It cannot be.
        """
        with self.lock:
            act = getattr(self, f"_{request.operation.replace('.', '_')}", None)
            if act is None:
                raise Refused(404, "notFound")
            reply: Reply = act(request)
            return reply

    def receive(self, request: Request, keep: int | None = None) -> Reply:
        """Takes a piece of an upload, or tells how far it has come."""
        session = self.sessions.get(request.query.get("upload_id", ""))
        if session is None:
            raise Refused(404, "notFound")
        if session.done:
            return self._told(request, self.files[session.done])
        span = request.headers.get("content-range", f"bytes 0-{len(request.body) - 1}/{len(request.body)}")
        total = int(span.rpartition("/")[2])
        if not span.startswith("bytes */") and request.body:
            begin = int(re.findall(r"\d+", span)[0])
            if begin > session.count:
                raise Refused(400, "badRequest")
            whole = begin + len(request.body) == total
            if len(request.body) % GRAIN_BYTES and not whole:
                raise Refused(400, "badRequest")
            taken = request.body[session.count - begin :]  # what has arrived already is passed over
            taken = taken if keep is None else taken[:keep]
            session.digest.update(taken)
            session.count += len(taken)
            if not self.discarding:
                session.received += taken
        if session.count == total and not (span.startswith("bytes */") and total):
            made = self._make(session.body, bytes(session.received))
            if self.discarding:
                made.size, made.md5 = session.count, session.digest.hexdigest()
            session.done = made.id
            return self._told(request, made)
        return Reply(308, headers={"Range": f"bytes=0-{session.count - 1}"} if session.count else {})

    def _files_generateIds(self, request: Request) -> Reply:  # noqa: N802 - Drive's own name
        ids = [self._new_id() for _ in range(int(request.query.get("count", 10)))]
        self._issued.update(ids)
        return as_json({"ids": ids})

    def _files_list(self, request: Request) -> Reply:
        try:
            match, folders = parse(request.query["q"])
        except QueryInvalid:
            raise Refused(400, "invalid") from None
        if any(folder not in self.files for folder in folders):
            raise Refused(404, "notFound")
        found = [self._fields(file) for file in self.files.values() if not file.hidden]
        found = [entry for entry in found if match(entry)]
        begin = int(request.query.get("pageToken", 0))
        end = begin + min(self.page_entries, int(request.query.get("pageSize", 100)))
        reply: dict[str, Any] = {"files": found[begin:end]}
        if end < len(found):
            reply["nextPageToken"] = str(end)
        return as_json(_selected(reply, request.query.get("fields", "files(id,name,mimeType)")))

    def _files_get(self, request: Request) -> Reply:
        file = self._file(request)
        return self._told(request, file)

    def _media(self, request: Request) -> Reply:
        content = self._file(request).content
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if asked is None:
            return Reply(200, content)
        begin, end = int(asked[1]), int(asked[2]) + 1
        if begin >= len(content):
            raise Refused(416, "requestedRangeNotSatisfiable")
        body = content[begin:end]
        span = f"bytes {begin}-{begin + len(body) - 1}/{len(content)}"
        return Reply(206, body, {"Content-Range": span})

    def _files_create(self, request: Request) -> Reply:
        body = json.loads(request.body)
        self._check_new(body)
        return self._told(request, self._make(body, folder=body.get("mimeType") == FOLDER))

    def _files_delete(self, request: Request) -> Reply:
        doomed = [self._file(request).id]
        for one in doomed:  # which grows
            doomed += [file.id for file in self.files.values() if file.parent == one]
        for one in doomed:
            del self.files[one]
        return Reply(204)

    def _about_get(self, request: Request) -> Reply:
        quota = {"usage": str(self._usage())}
        if self.limit is not None:
            quota["limit"] = str(self.limit)
        return as_json(_selected({"storageQuota": quota}, request.query["fields"]))

    def _upload_start(self, request: Request) -> Reply:
        body = json.loads(request.body)
        self._check_new(body)
        size = int(request.headers.get("x-upload-content-length", 0))
        if self.limit is not None and self._usage() + size > self.limit:
            raise Refused(403, "storageQuotaExceeded")
        token = secrets.token_urlsafe(24)
        self.sessions[token] = Session(body)
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        return Reply(200, headers={"Location": f"{self.url}{request.path}?{query}&upload_id={token}"})

    def _upload_piece(self, request: Request) -> Reply:
        return self.receive(request)

    _upload_query = _upload_piece

    def _check_new(self, body: dict[str, Any]) -> None:
        parent = body.get("parents", ["0Aroot"])[0]
        if parent not in self.files:
            raise Refused(404, "notFound")
        if body.get("id") in self.files:
            raise Refused(409, "fileIdInUse")
        if "id" in body and body["id"] not in self._issued:
            raise Refused(400, "invalid")

    def _make(self, body: dict[str, Any], content: bytes = b"", *, folder: bool = False) -> File:
        self._check_new({name: value for name, value in body.items() if name != "id"})
        if body["id"] in self.files:
            raise Refused(409, "fileIdInUse")
        if self.flipping and content:
            content = bytes([content[0] ^ 0x10]) + content[1:]
        self._ticks += 0 if self.frozen else 1
        created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self._ticks)
        made = File(
            id=body["id"],
            name=body["name"],
            parent=body.get("parents", ["0Aroot"])[0],
            created=created.strftime("%Y-%m-%dT%H:%M:%S.") + f"{created.microsecond // 1000:03}Z",
            folder=folder,
            content=content,
            size=len(content),
            md5="" if folder else hashlib.md5(content, usedforsecurity=False).hexdigest(),
            hidden=self.hiding,
        )
        self.files[made.id] = made
        return made

    def _new_id(self) -> str:
        return f"1{secrets.token_urlsafe(24)}"

    def _file(self, request: Request) -> File:
        file_id = unquote(request.path.rpartition("/")[2])
        file = self.files.get("0Aroot" if file_id == "root" else file_id)
        if file is None:
            raise Refused(404, "notFound")
        return file

    def _usage(self) -> int:
        return sum(file.size for file in self.files.values())

    def _told(self, request: Request, file: File) -> Reply:
        return as_json(_selected(self._fields(file), request.query.get("fields", "id,name,mimeType")))

    def _fields(self, file: File) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": file.id,
            "name": file.name,
            "createdTime": file.created,
            "mimeType": FOLDER if file.folder else "application/octet-stream",
            "trashed": self._in_trash(file),
            "parents": [file.parent],
        }
        if not file.folder:
            fields |= {"size": str(file.size), "md5Checksum": file.md5}
        return fields

    def _in_trash(self, file: File) -> bool:
        parent = self.files.get(file.parent)
        return file.trashed or (parent is not None and self._in_trash(parent))


def _selected(value: dict[str, Any], fields: str) -> dict[str, Any]:
    """What a ``fields`` parameter leaves of an answer."""
    chosen = {}
    for name, inner in re.findall(r"(\w+)(?:\(([^)]*)\))?", fields):
        if name in value:
            part = value[name]
            chosen[name] = [_selected(one, inner) for one in part] if inner else part
    return chosen


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, drive: DriveServer) -> None:
        self.drive = drive
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def hang_up(self) -> None:
        """Ends the connections that clients keep."""
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no matter."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    _OPERATIONS: ClassVar = {
        ("GET", "/drive/v3/files"): "files.list",
        ("POST", "/drive/v3/files"): "files.create",
        ("GET", "/drive/v3/files/generateIds"): "files.generateIds",
        ("GET", "/drive/v3/about"): "about.get",
        ("POST", "/upload/drive/v3/files"): "upload.start",
        ("PUT", "/upload/drive/v3/files"): "upload.piece",
    }

    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's own name
        """Tests look at `DriveServer.requests`."""

    def reply(self, reply: Reply, of_body: float = 1.0) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: int(len(reply.body) * of_body)])
        self.wfile.flush()

    def _serve(self) -> None:
        request = self._request()
        drive = self.server.drive
        with drive.lock:
            drive.requests.append(request)
        exchange = Exchange(drive, self, request)
        fault = drive.fault_for(request.operation)
        with suppress(OSError):
            if fault is None:
                exchange.send(exchange.perform())
            else:
                try:
                    fault(exchange)
                except Refused as refused:
                    exchange.send(refused.reply)

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        method, query = self.command, dict(parse_qsl(parts.query))
        if headers.get("x-http-method-override") == "GET":  # of what is too long for an address
            method, query = "GET", dict(parse_qsl(body.decode()))
        operation = self._OPERATIONS.get((method, parts.path), "")
        if operation == "upload.piece" and headers.get("content-range", "").startswith("bytes */"):
            operation = "upload.query"
        if not operation and parts.path.startswith("/drive/v3/files/"):
            operation = {"GET": "files.get", "DELETE": "files.delete"}.get(method, "")
            if query.get("alt") == "media":
                operation = "media"
        return Request(operation, method, parts.path, query, headers, b"" if "media" in operation else body)


@contextmanager
def drive_server() -> Iterator[DriveServer]:
    """A Drive that clients made meanwhile use."""
    server = DriveServer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENDPOINT, server.url)
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def drive_api_store(tmp_path: Path) -> Iterator[Made]:
    """A folder in a Drive of the tests, and an independent client of it."""
    with drive_server():
        yield Made(DriveApiStore("team/holdfast"), DriveApiStore("team/holdfast"))
