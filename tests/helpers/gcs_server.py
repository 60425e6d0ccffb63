"""A server that keeps Cloud Storage's promises and, where asked, breaks them: see `gcs_faults`."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from helpers.gcs_bucket import Bucket, Reply, Request
from helpers.gcs_faults import ConnectionBreaks, Fault, Stalls
from helpers.store_makers import Made
from holdfast.runtime.stores.gcs import GcsStore

BUCKET = "holdfast-test"
PREFIX = "team/ünder"


@dataclass(slots=True)
class Planned:
    """A fault that waits for its request."""

    fault: Fault
    method: str
    target: re.Pattern[str]
    after: int
    times: int


class GcsServer:
    """Serves one bucket on a free port of this machine, in threads.

    Attributes:
        bucket: The bucket's state.
        requests: All requests so far.
        url: Where it is.
    """

    def __init__(self, name: str = BUCKET) -> None:
        self.bucket = Bucket(name)
        self.requests: list[Request] = []
        self._planned: list[Planned] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        owner = self

        class Handler(_Handler):
            server_of = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = False  # so that closing joins them
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="gcs-server")
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> GcsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for planned in self._planned:
            if isinstance(planned.fault, Stalls):
                planned.fault.released.set()
        self._http.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()

    def plan(self, fault: Fault, method: str, target: str = "", *, after: int = 0, times: int = 1) -> None:
        """Lets ``fault`` befall requests.

        Args:
            fault: What is to happen.
            method: Of the requests.
            target: A pattern to be found in their path and query.
            after: So many of them are spared first.
            times: So many are befallen.
        """
        with self._lock:
            self._planned.append(Planned(fault, method, re.compile(target), after, times))

    def forgive(self) -> None:
        """Lets no planned fault befall anything any more."""
        with self._lock:
            self._planned.clear()

    def count(self, method: str, target: str = "") -> int:
        """How many such requests came."""
        with self._lock:
            return sum(one.method == method and bool(re.search(target, one.target)) for one in self.requests)

    def serve(self, request: Request) -> Reply:
        """The answer to one request, or a fault's."""
        with self._lock:
            self.requests.append(request if self.bucket.keeping else replace(request, body=b""))
            fault = self._choose(request)
        return self.bucket.answer(request) if fault is None else fault(request, self.bucket.answer)

    def _choose(self, request: Request) -> Fault | None:
        for planned in self._planned:
            if planned.times and planned.method == request.method and planned.target.search(request.target):
                if planned.after:
                    planned.after -= 1
                    continue
                planned.times -= 1
                return planned.fault
        return None

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    server_of: GcsServer

    def setup(self) -> None:
        super().setup()
        self.server_of.opened(self.connection)

    def finish(self) -> None:
        self.server_of.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client went away
            super().handle()

    def serve(self) -> None:
        address = urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, address.path, dict(parse_qsl(address.query)), headers, body)
        try:
            reply = self.server_of.serve(request)
        except ConnectionBreaks:
            self._reset()
            return
        self.send_response(reply.status)
        for key, value in reply.headers.items():
            self.send_header(key, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: reply.sent])
        self.wfile.flush()
        if reply.sent is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815 - the base class' names

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Says nothing."""


@contextmanager
def running(name: str = BUCKET) -> Iterator[GcsServer]:
    """A server to which this process's clients turn."""
    with GcsServer(name) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        for variable in ("HOLDFAST_GCS_USER_PROJECT", "GOOGLE_CLOUD_PROJECT"):
            patch.delenv(variable, raising=False)
        yield server


@contextmanager
def gcs_store(tmp_path: Path) -> Iterator[Made]:
    """A bucket's folder on the test server."""
    with running():
        yield Made(GcsStore(BUCKET, PREFIX), GcsStore(BUCKET, PREFIX))
