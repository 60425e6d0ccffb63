"""A bucket as the documentation of Cloud Storage's JSON API describes it: what each request does and answers.

https://cloud.google.com/storage/docs/json_api, https://cloud.google.com/storage/docs/performing-resumable-uploads,
https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import google_crc32c

UNIT = 256 << 10
"""Bytes in whose multiples a session keeps what is not the end."""

UNTYPED = "application/octet-stream"
PRECONDITION = "At least one of the pre-conditions you specified did not hold."


@dataclass(frozen=True, slots=True)
class Request:
    """A request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """Path and query, for faults to choose by."""
        return self.path + "?" + "&".join(f"{key}={value}" for key, value in self.query.items())


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Of its body only ``sent`` bytes are sent, then the connection breaks."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status, self.reason, self.message = status, reason, message
        super().__init__(message)

    def reply(self, *, plain: bool) -> Reply:
        """As JSON, or as text where media was asked for."""
        if plain:
            return Reply(self.status, self.message.encode(), {"Content-Type": "text/html; charset=UTF-8"})
        inner = {"message": self.message, "domain": "global", "reason": self.reason}
        return as_json(
            {"error": {"code": self.status, "message": self.message, "errors": [inner]}}, self.status
        )


@dataclass(slots=True)
class Stored:
    """An object. Of one that is not kept, only its length and checksum are known."""

    data: bytes | None
    size: int
    crc32c: str
    generation: int
    content_type: str


@dataclass(slots=True)
class Session:
    """A resumable upload."""

    name: str
    query: dict[str, str]
    metadata: dict[str, Any]
    data: bytearray = field(default_factory=bytearray)
    received: int = 0
    crc: int = 0
    done: Stored | None = None


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def encoded_crc(crc: int) -> str:
    """A CRC32C as the API writes it."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


class Bucket:
    """One bucket's state.

    Attributes:
        name: Its name; every other bucket is missing.
        objects: What is in it.
        created: Each name once for each generation that was made of it.
        denied: Permissions that the caller does not have.
        payer_wanted: Whether it is requester-pays.
        retention: Whether a retention policy forbids to delete.
        keeping: Whether bytes are kept; without, objects of any size take no memory.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects: dict[str, Stored] = {}
        self.sessions: dict[str, Session] = {}
        self.created: list[str] = []
        self.denied: set[str] = set()
        self.payer_wanted = self.retention = False
        self.keeping = True
        self._lock = threading.RLock()

    def answer(self, request: Request) -> Reply:
        """Does what is asked."""
        plain = request.query.get("alt") == "media"
        try:
            with self._lock:
                return self._answer(request)
        except Refusal as refusal:
            return refusal.reply(plain=plain)

    def _answer(self, request: Request) -> Reply:
        found = re.fullmatch(r"/(?:(upload|download)/)?storage/v1/b/([^/]+)/o(?:/(.+))?", request.path)
        if found is None:
            raise Refusal(404, "notFound", "Not Found")
        kind, bucket, quoted = found.groups()
        if kind == "upload" and "upload_id" in request.query:
            return self._continue(request)
        if bucket != self.name:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        if self.payer_wanted and "userProject" not in request.query:
            raise Refusal(400, "required", "Bucket is requester pays bucket but no user project provided.")
        name = unquote(quoted) if quoted else ""
        match kind, request.method, bool(name):
            case "upload", "POST", False:
                self._permit("create")
                if request.query["uploadType"] == "resumable":
                    return self._begin(request)
                return self._multipart(request)
            case _, "GET", True:
                self._permit("get")
                return self._get(name, request)
            case None, "GET", False:
                self._permit("list")
                return self._list(request)
            case None, "DELETE", True:
                self._permit("delete")
                self._find(name, request)
                if self.retention:
                    text = f"Object '{self.name}/{name}' is subject to bucket's retention policy or object"
                    raise Refusal(403, "retentionPolicyNotMet", text + " retention and cannot be deleted")
                del self.objects[name]
                return Reply(204)
        raise Refusal(405, "methodNotAllowed", "Method Not Allowed")

    def _permit(self, act: str) -> None:
        permission = f"storage.objects.{act}"
        if permission in self.denied:
            text = f"trainer@example.com does not have {permission} access to the Google Cloud Storage object."
            text += f" Permission '{permission}' denied on resource (or it may not exist)."
            raise Refusal(403, "forbidden", text)

    def _find(self, name: str, request: Request) -> Stored:
        stored = self.objects.get(name)
        generation = request.query.get("generation")
        if stored is None or generation not in (None, str(stored.generation)):
            raise Refusal(404, "notFound", f"No such object: {self.name}/{name}")
        return stored

    def _resource(self, name: str) -> dict[str, Any]:
        stored = self.objects[name]
        made = {
            "kind": "storage#object",
            "id": f"{self.name}/{name}/{stored.generation}",
            "name": name,
            "bucket": self.name,
            "generation": str(stored.generation),
            "metageneration": "1",
            "contentType": stored.content_type,
            "storageClass": "STANDARD",
            "size": str(stored.size),
            "crc32c": stored.crc32c,
        }
        if stored.data is not None:
            made["md5Hash"] = base64.b64encode(hashlib.md5(stored.data).digest()).decode()
        return made

    def _require(self, name: str, query: dict[str, str]) -> None:
        """The precondition."""
        wanted = query.get("ifGenerationMatch")
        stored = self.objects.get(name)
        if wanted is not None and int(wanted) != (stored.generation if stored else 0):
            raise Refusal(412, "conditionNotMet", PRECONDITION)

    def _store(self, name: str, data: bytes | None, size: int, crc: int, metadata: dict[str, Any]) -> Stored:
        promised = metadata.get("crc32c", encoded_crc(crc))
        if promised != encoded_crc(crc):
            text = f'Provided CRC32C "{promised}" doesn\'t match calculated CRC32C "{encoded_crc(crc)}".'
            raise Refusal(400, "invalid", text)
        content_type = metadata.get("contentType", UNTYPED)
        self.created.append(name)
        generation = 1_700_000_000_000_000 + len(self.created)
        self.objects[name] = Stored(data, size, encoded_crc(crc), generation, content_type)
        return self.objects[name]

    def _multipart(self, request: Request) -> Reply:
        marked = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        assert marked, "no boundary"
        mark = b"--" + marked[1].encode()
        _, first, second = request.body.split(mark, 2)
        metadata = json.loads(first.partition(b"\r\n\r\n")[2])
        typed = re.match(rb"\s*content-type: *(\S+)", second, re.IGNORECASE)
        metadata.setdefault("contentType", typed[1].decode() if typed else UNTYPED)
        data = second.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n" + mark + b"--")
        name = request.query.get("name") or metadata["name"]
        self._require(name, request.query)
        self._store(name, data if self.keeping else None, len(data), google_crc32c.value(data), metadata)
        return as_json(self._resource(name))

    def _begin(self, request: Request) -> Reply:
        metadata = json.loads(request.body or b"{}")
        metadata.setdefault("contentType", request.headers.get("x-upload-content-type", UNTYPED))
        name = request.query.get("name") or metadata["name"]
        self._require(name, request.query)
        upload_id = "ABPtcP" + secrets.token_urlsafe(60)
        self.sessions[upload_id] = Session(name, request.query, metadata)
        host = request.headers["host"]
        query = f"uploadType=resumable&upload_id={upload_id}"
        return Reply(200, headers={"Location": f"http://{host}/upload/storage/v1/b/{self.name}/o?{query}"})

    def _continue(self, request: Request) -> Reply:
        session = self.sessions.get(request.query["upload_id"])
        if session is None:
            raise Refusal(404, "notFound", "Not Found")
        if session.done is not None:
            return as_json(self._resource(session.name))
        found = re.fullmatch(r"bytes (?:\*|(\d+)-(\d+))/(\d+|\*)", request.headers["content-range"])
        if found is None:
            raise Refusal(400, "invalid", "Invalid Content-Range")
        start, _, total = found.groups()
        if start is not None and int(start) <= session.received:
            self._take(session, request.body[session.received - int(start) :], total)
        if total != "*" and session.received == int(total):
            self._require(session.name, session.query)
            promised = re.search(r"crc32c=([^,]+)", request.headers.get("x-goog-hash", ""))
            metadata = {**session.metadata, **({"crc32c": promised[1]} if promised else {})}
            data = bytes(session.data) if self.keeping else None
            session.done = self._store(session.name, data, session.received, session.crc, metadata)
            session.data = bytearray()
            return as_json(self._resource(session.name))
        return Reply(308, headers={"Range": f"bytes=0-{session.received - 1}"} if session.received else {})

    def _take(self, session: Session, data: bytes, total: str) -> None:
        if total == "*" or session.received + len(data) < int(total):
            data = data[: len(data) // UNIT * UNIT]
        if self.keeping:
            session.data += data
        session.received += len(data)
        session.crc = google_crc32c.extend(session.crc, data)

    def _get(self, name: str, request: Request) -> Reply:
        stored = self._find(name, request)
        if request.query.get("alt") != "media":
            return as_json(self._resource(name))
        data = stored.data if stored.data is not None else bytes(stored.size)
        headers = {
            "Content-Type": stored.content_type,
            "X-Goog-Hash": f"crc32c={stored.crc32c}",
            "X-Goog-Generation": str(stored.generation),
            "X-Goog-Stored-Content-Length": str(stored.size),
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if wanted is None:
            return Reply(200, data, headers)
        start, end = int(wanted[1]), min(int(wanted[2] or stored.size), stored.size - 1)
        if start >= stored.size:
            raise Refusal(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
        headers["Content-Range"] = f"bytes {start}-{end}/{stored.size}"
        return Reply(206, data[start : end + 1], headers)

    def _list(self, request: Request) -> Reply:
        """One page; objects and prefixes count alike, in the order of their names' bytes."""
        query = request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        last = base64.b64decode(query.get("pageToken", "")).decode()
        limit = min(int(query.get("maxResults", 1000)), 1000)
        items: list[dict[str, Any]] = []
        prefixes: list[str] = []
        for name in sorted(self.objects, key=str.encode):
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            entry = name if cut < 0 else name[: cut + len(delimiter)]
            if (
                not name.startswith(prefix)
                or name.encode() < query.get("startOffset", "").encode()
                or entry.encode() <= last.encode()
                or (prefixes and entry == prefixes[-1])
            ):
                continue
            if len(items) + len(prefixes) == limit:
                token = max([*prefixes[-1:], *[item["name"] for item in items[-1:]]], key=str.encode)
                following = {"nextPageToken": base64.b64encode(token.encode()).decode()}
                break
            if cut < 0:
                items.append(self._resource(name))
            else:
                prefixes.append(entry)
        else:
            following = {}
        page: dict[str, Any] = {"kind": "storage#objects", "items": items, "prefixes": prefixes, **following}
        return as_json(_only(query.get("fields"), {key: value for key, value in page.items() if value}))


def _only(fields: str | None, page: dict[str, Any]) -> dict[str, Any]:
    """The part of a page that was asked for, such as ``items(name,size),nextPageToken``."""
    if fields is None:
        return page
    wanted = {
        name: inner.split(",") if inner else None for name, inner in re.findall(r"(\w+)(?:\((.*?)\))?", fields)
    }
    made = {key: value for key, value in page.items() if key in wanted}
    inner = wanted.get("items")
    if inner and "items" in made:
        made["items"] = [{key: item[key] for key in inner if key in item} for item in made["items"]]
    return made
