"""The part of Colab's own Jupyter server that tells which notebook a kernel runs."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def session(name: str, file_id: str, kernel: str = "11111111-2222-3333-4444-555555555555") -> dict[str, Any]:
    """An entry of ``/api/sessions``, as Colab writes it."""
    return {
        "id": "a" * 8,
        "path": f"fileId={urllib.parse.quote(file_id, safe='')}",
        "name": f"{name}.ipynb",
        "type": "notebook",
        "kernel": {"id": kernel, "name": "python3", "execution_state": "busy", "connections": 1},
        "notebook": {"path": f"fileId={file_id}", "name": f"{name}.ipynb"},
    }


class ColabServer:
    """Answers ``/api/sessions`` on a port of this machine.

    Attributes:
        body: What it answers; None for never an answer.
        status: With which status.
        asked: The paths that were asked for.
    """

    def __init__(self) -> None:
        self.body: bytes | None = b"[]"
        self.status = 200
        self.asked: list[str] = []
        self._ends = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                body = owner.body
                if body is None:
                    owner._ends.wait()
                    return
                self.send_response(owner.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                del args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="colab-server")
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which Colab's kernels find it."""
        return {"COLAB_JUPYTER_IP": "127.0.0.1", "KMP_TARGET_PORT": str(self._server.server_port)}

    def answer(self, *sessions: Any) -> None:
        """Sets what it answers."""
        self.body = json.dumps(sessions).encode()

    def close(self) -> None:
        """Ends it, and whatever waits for an answer."""
        self._ends.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def colab_server() -> Iterator[ColabServer]:
    """A server, for as long as the block runs."""
    server = ColabServer()
    try:
        yield server
    finally:
        server.close()
