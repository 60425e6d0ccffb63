"""The emulator of Cloud Storage from PyPI, on a free port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gcp_storage_emulator.server import create_server


@contextmanager
def emulator(bucket: str) -> Iterator[None]:
    """An emulator with one bucket, to which this process's clients turn."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=bucket)
    server.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server._api._httpd.server_port}")
            yield
    finally:
        server.stop()
        threading.Thread.join(server._api)  # its own `join` does not wait
