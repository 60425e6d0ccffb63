"""The thread that writes snapshots into the spool, at most one at a time."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

import psutil

from holdfast.runtime.manifest import Manifest
from holdfast.runtime.names import Stem
from holdfast.runtime.snapshot import Snapshot
from holdfast.runtime.spool import Spool

NICE: Final = 10
"""How far the writer's thread yields to the training's. With all cores busy, the steps during a snapshot took
half as much longer as with 0; 19 gained no more than the noise, and wrote twice as long."""

LOWEST: Final = 7
"""The lowest priority at a disk but for the idle class."""

STOP_SECONDS: Final = 60.0
"""How long the end of a session waits for the last snapshot to be written."""


class Writer:
    """Writes what it is handed, and tells how it went.

    Args:
        spool: Where to.
        run: Name of the run.
        committed: Called on the writer thread after each snapshot that was committed.
        failed: Called on the writer thread after each that was not.
    """

    def __init__(
        self,
        spool: Spool,
        run: str,
        committed: Callable[[Manifest], None],
        failed: Callable[[Stem, Exception], None],
    ) -> None:
        self._spool, self._run, self._committed, self._failed = spool, run, committed, failed
        self._changed = threading.Condition()
        self._next: tuple[Stem, Snapshot] | None = None
        self._busy = self._stopping = False
        self._thread = threading.Thread(target=self._work, name="holdfast-writer", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a snapshot is in the making."""
        with self._changed:
            return self._busy

    def submit(self, stem: Stem, snapshot: Snapshot) -> None:
        """Hands over a snapshot; waits first for the one in the making, if there is one."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._next, self._busy = (stem, snapshot), True
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until nothing is in the making; False if the time in seconds ran out before."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout)

    def stop(self) -> None:
        """Ends the thread after the snapshot in the making."""
        self.flush(STOP_SECONDS)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        _lower_priority()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._stopping)
                if self._next is None:
                    return
                stem, snapshot = self._next
                self._next = None
            try:
                self._committed(self._spool.write(self._run, stem, snapshot))
            except Exception as error:  # a thread's top: nothing may end it
                self._failed(stem, error)
            del snapshot
            with self._changed:
                self._busy = False
                self._changed.notify_all()


def _lower_priority() -> None:
    """Makes the calling thread yield to the others, on Linux, where threads have priorities of their own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)
        with contextlib.suppress(OSError, psutil.Error):  # not idle: behind a busy disk that might be never
            psutil.Process(thread).ionice(psutil.IOPRIO_CLASS_BE, LOWEST)
