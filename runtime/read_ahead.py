"""Has the system read the newest checkpoint ahead, while the user's code still builds its model."""

from __future__ import annotations

import logging
import threading
from typing import Final

import psutil

from holdfast.runtime.restore import Checkpoint

STRETCH_BYTES: Final = 16 << 20
"""Asked for at a time: between two of them it can be stopped."""

SHARE_OF_MEMORY: Final = 0.5
"""Of the memory that is available, the part that may be filled, so that nothing else is pushed out."""

log = logging.getLogger("holdfast.session")


class ReadAhead:
    """A thread that asks for the objects of a checkpoint, and ends.

    They come into the system's page cache, so this takes no memory of the process. Where they are there
    already, as after a kernel restart, nothing happens.

    Args:
        checkpoint: What will probably be restored; None for nothing.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint, self._stop = checkpoint, threading.Event()
        self._thread = threading.Thread(target=self._run, name="holdfast-read-ahead", daemon=True)
        if checkpoint is not None:
            self._thread.start()

    def close(self) -> None:
        """Stops it, and does not wait: it may be held up by a mount that hangs, and touches nothing."""
        self._stop.set()

    def _run(self) -> None:
        assert self._checkpoint is not None
        try:
            self._ask(self._checkpoint)
        except Exception:  # a thread's top: without it, reading takes longer
            log.exception("reading ahead")

    def _ask(self, checkpoint: Checkpoint) -> None:
        shelf, ends = checkpoint.shelf, dict[str, int]()
        for record in checkpoint.manifest.tensors:
            for name, _, end in record.places:
                ends[name] = max(end, ends.get(name, 0))
        if sum(ends.values()) > SHARE_OF_MEMORY * psutil.virtual_memory().available:
            return
        for name, end in ends.items():
            for begin in range(0, end, STRETCH_BYTES):
                if self._stop.is_set():
                    return
                shelf.store.read_ahead(shelf.object_path(name), begin, min(STRETCH_BYTES, end - begin))
