"""The daemon: the process beside the kernel that carries snapshots from the spool to the store.

It starts where TensorFlow cannot be imported, holds the spool's lock while it lives, serves one
kernel after another, and ends when the last one is gone and the spool is drained.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler

from holdfast.runtime.carrier import Carrier
from holdfast.runtime.errors import ClaimLost, HoldfastError, StoreUnavailable
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.service import Service
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import open_store
from holdfast.runtime.watching import watch

LOCK_NAME: Final = "daemon.lock"

POLL_SECONDS: Final = 1.0
"""The longest wait between two looks at the kernel; snapshots are seen at once, by watchdog."""

RETRY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Waits after failures of the store, one after another; the last is repeated."""

STORE_SECONDS: Final = 30.0
"""How long one operation of the store is tried again before the daemon looks after other things."""

NICE: Final = 19
"""The lowest priority: the training comes first."""

GRACE_SECONDS: Final = 30.0
"""How long a daemon whose store fails goes on trying once its kernel is gone and nobody came."""

log = logging.getLogger("holdfast.daemon")


class Daemon:
    """Serves one spool."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder)
        self.status = DaemonStatus(pid=os.getpid(), started=ProcessId.own().started)
        self._wake = threading.Event()
        self._carrier: Carrier | None = None
        self._failures = 0
        self._retry_at = float("-inf")
        self._gone_since: float | None = None

    def serve(self) -> None:
        """Works until there is no kernel and nothing left to do."""
        observer = watch(self.spool.folder, _Waker(self._wake), "holdfast-watch", recursive=True)
        try:
            while self._turn():
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
        finally:
            observer.stop()
            observer.join()
            self.status.uploading = ""
            self.status.save(self.spool.folder)

    def _turn(self) -> bool:
        """One round of work; False when the daemon should end."""
        service = Service.load(self.spool.folder)
        if service is None:
            return self._still_wanted(kernel_gone=True)
        kernel_gone = service.ended or not service.kernel.is_alive()
        if self.status.session != service.session:
            self.status.session, self.status.fenced = service.session, ""
            self.status.save(self.spool.folder)
        now = time.monotonic()
        if now >= self._retry_at and not self.status.fenced:
            self._attempt(service, draining=kernel_gone)
        if kernel_gone and (self.status.fenced or not self._left_to_do()):
            return False
        return self._still_wanted(kernel_gone)

    def _still_wanted(self, kernel_gone: bool) -> bool:
        """Without a kernel, a failing store is tried for a while and then left to the next start."""
        if not kernel_gone:
            self._gone_since = None
            return True
        now = time.monotonic()
        self._gone_since = now if self._gone_since is None else self._gone_since
        return now - self._gone_since < GRACE_SECONDS

    def _attempt(self, service: Service, *, draining: bool) -> None:
        try:
            self._carry(service, draining=draining)
        except ClaimLost as error:
            log.warning("%s", error)
            self.status.fenced = str(error)
        except Exception as error:  # the daemon's loop: it must not end over one snapshot
            if not isinstance(error, HoldfastError | OSError):
                log.exception("our own error")
            self._failures += 1
            wait = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1]
            self._retry_at = time.monotonic() + wait
            log.warning("attempt %d failed, next in %.0f s: %s", self._failures, wait, error)
            self._set_error(str(error) or repr(error))
        else:
            if self._carrier is not None and self._carrier.failing:
                return  # nothing is due just now, which does not mean that the store works again
            self._failures = 0
            damage = self._carrier.damage if self._carrier else ""
            if self.status.error == damage:
                return
            self._set_error(damage)
        self.status.save(self.spool.folder)

    def _carry(self, service: Service, *, draining: bool) -> None:
        if self._carrier is None or self._carrier.session != service.session:
            # Anew for each session: another machine may have written and deleted in between.
            self._carrier = None
            store = open_store(service.store, deadline=STORE_SECONDS, failed=self._note_failure)
            carrier = Carrier(self.spool, store.under(service.run), self.status, service.session)
            carrier.learn()
            self._carrier = carrier
        self._carrier.carry(service, draining=draining, wake=self._wake)

    def _note_failure(self, error: StoreUnavailable) -> None:
        """Lets the session know of a failure that the store is just trying again."""
        log.warning("tried again: %s", error)
        self._set_error(str(error))
        self.status.save(self.spool.folder)

    def _set_error(self, text: str) -> None:
        if text and not self.status.error:
            self.status.error_since = time.time()
        self.status.error = text

    def _left_to_do(self) -> bool:
        if self._carrier is None:
            return bool(self.spool.stems())
        return self._carrier.left_to_do()


class _Waker(FileSystemEventHandler):
    """Wakes the daemon when a manifest or the session's file comes into place."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake

    def on_moved(self, event: FileSystemEvent) -> None:
        if str(event.dest_path).endswith(".json") and not str(event.dest_path).endswith("daemon.json"):
            self._wake.set()


@contextlib.contextmanager
def sole_daemon(folder: Path) -> Iterator[bool]:
    """Holds the spool's lock; yields False where another daemon has it."""
    with open(folder / LOCK_NAME, "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def lower_priority() -> None:
    """Makes this process yield to everything else, where the system lets it."""
    process = psutil.Process()
    with contextlib.suppress(psutil.Error, OSError):
        process.nice(NICE)
    with contextlib.suppress(psutil.Error, OSError, AttributeError):
        process.ionice(psutil.IOPRIO_CLASS_IDLE)


def main(folder: Path) -> int:
    """Runs the daemon of one spool until its work is done.

    Args:
        folder: The spool.

    Returns:
        The exit status: 0, also where another daemon serves the spool already.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    lower_priority()
    with sole_daemon(folder) as alone:
        if alone:
            Daemon(folder).serve()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
