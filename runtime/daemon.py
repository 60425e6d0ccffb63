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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler

from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import CheckpointDamaged, ClaimLost, FormatInvalid, HoldfastError, ObjectNotFound
from holdfast.runtime.files import read_json
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.manifest import Stem, parse_stem
from holdfast.runtime.schedule import Waiting, next_to_persist, superseded
from holdfast.runtime.spool import KEEP_NEWEST, Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import open_store
from holdfast.runtime.upload import Uploader
from holdfast.runtime.watching import watch

LOCK_NAME: Final = "daemon.lock"
SESSION_NAME: Final = "session.json"

POLL_SECONDS: Final = 1.0
"""The longest wait between two looks at the kernel; snapshots are seen at once, by watchdog."""

RETRY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Waits after failures of the store, one after another; the last is repeated."""

NICE: Final = 19
"""The lowest priority: the training comes first."""

GRACE_SECONDS: Final = 30.0
"""How long a daemon whose store fails goes on trying once its kernel is gone and nobody came."""

log = logging.getLogger("holdfast.daemon")


@dataclass(frozen=True, slots=True)
class Service:
    """What the daemon is to serve: the session's own words, from ``session.json``."""

    session: str
    incarnation: int
    kernel: ProcessId
    ended: bool
    run: str
    store: str
    persist_seconds: float
    keep_last: int
    rejected: frozenset[Stem]

    @classmethod
    def load(cls, folder: Path) -> Service | None:
        """Reads it; None where there is no session yet."""
        value = read_json(folder / SESSION_NAME)
        if value is None:
            return None
        try:
            return cls(
                str(value["session"]),
                int(value["incarnation"]),
                ProcessId(int(value["pid"]), float(value["started"])),
                bool(value["ended"]),
                str(value["run"]),
                str(value["store"]),
                float(value["persist_seconds"]),
                int(value["keep_last"]),
                frozenset(parse_stem(text) for text in value["rejected"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, FormatInvalid):
            return None


class Daemon:
    """Serves one spool."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder)
        self.status = DaemonStatus(pid=os.getpid(), started=ProcessId.own().started)
        self._wake = threading.Event()
        self._uploader: Uploader | None = None
        self._served = ""
        self._damage = ""
        self._last_persist = float("-inf")
        self._failures = 0
        self._retry_at = float("-inf")
        self._unusable: set[Stem] = set()
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
        except (HoldfastError, OSError) as error:
            self._failures += 1
            wait = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1]
            self._retry_at = time.monotonic() + wait
            log.warning("attempt %d failed, next in %.0f s: %s", self._failures, wait, error)
            if not self.status.error:
                self.status.error_since = time.time()
            self.status.error = str(error)
        else:
            self._failures = 0
            if self.status.error == self._damage:
                return
            self.status.error, self.status.error_since = self._damage, time.time()
        self.status.save(self.spool.folder)

    def _carry(self, service: Service, *, draining: bool) -> None:
        uploader = self._open(service)
        while (snapshot := self._next(uploader, service, draining=draining)) is not None:
            reach("daemon.noticed")
            self._last_persist = time.monotonic()
            self._upload(uploader, service, snapshot.stem)
            self._wake.clear()
        self._discard_uploaded(uploader)

    def _open(self, service: Service) -> Uploader:
        if self._uploader is None or self._served != service.session:
            # Anew for each session: another machine may have written and deleted in between.
            store = open_store(service.store).under(service.run)
            uploader = Uploader(store, self.spool, service.keep_last)
            uploader.learn()
            self._uploader, self._served = uploader, service.session
            self._last_persist = time.monotonic()
            sound = uploader.known.keys() - uploader.unsound
            if sound:
                self._note_written(uploader, max(sound), uploader.known[max(sound)].taken_at)
        self._uploader.keep_last = service.keep_last
        self._uploader.unsound |= service.rejected
        return self._uploader

    def _note_written(self, uploader: Uploader, stem: Stem, at: float) -> None:
        self.status.written, self.status.written_at = str(stem), at
        if uploader.store.capabilities.confirmed_on_return:
            self.status.confirmed, self.status.confirmed_at = str(stem), at
        self.status.save(self.spool.folder)

    def _waiting(self, uploader: Uploader) -> list[Waiting]:
        done = uploader.known.keys() | self._unusable
        found = [one for one in self.spool.waiting() if one.stem not in done]
        newest = max(uploader.known, default=None)
        stale = set() if newest is None else {one.stem for one in found if one.stem < newest}
        # A scheduled snapshot older than what the store has of its slot brings nothing.
        covered = {slot for stem in uploader.known for slot in uploader.known[stem].slots if stem == newest}
        return [
            one
            for one in found
            if one.stem not in stale or one.kind == "milestone" or not covered.issuperset(one.slots)
        ]

    def _next(self, uploader: Uploader, service: Service, *, draining: bool) -> Waiting | None:
        waiting = self._waiting(uploader)
        return next_to_persist(
            waiting, time.monotonic(), self._last_persist, service.persist_seconds, draining=draining
        )

    def _upload(self, uploader: Uploader, service: Service, stem: Stem) -> None:
        try:
            snapshot = self.spool.manifest(stem)
            self.status.uploading, self.status.uploading_bytes = str(stem), 0
            self.status.uploading_total = snapshot.nbytes
            self.status.save(self.spool.folder)
            uploader.upload(snapshot, service.incarnation, self._progress())
        except ObjectNotFound as error:
            log.info("superseded meanwhile: %s", error)
            return
        except (CheckpointDamaged, FormatInvalid) as error:
            log.error("not uploaded: %s", error)
            self._unusable.add(stem)
            self.status.unusable = str(max(self._unusable))
            self._damage = f"a snapshot was damaged on the local disk before its upload: {error}"
            return
        finally:
            self.status.uploading = ""
        self._damage = ""
        self.status.bytes_written = uploader.bytes_written
        self._note_written(uploader, stem, time.time())
        log.info("checkpoint %s written", stem)
        uploader.enforce_retention(service.incarnation)

    def _progress(self) -> _Progress:
        return _Progress(self.status, self.spool.folder)

    def _discard_uploaded(self, uploader: Uploader) -> None:
        """Frees the spool of what the store has, but for the newest."""
        for stem in self.spool.stems()[:-KEEP_NEWEST]:
            if stem in uploader.known:
                self.spool.discard(stem)

    def _left_to_do(self) -> bool:
        if self._uploader is None:
            return bool(self.spool.stems())
        waiting = self._waiting(self._uploader)
        return bool({one.stem for one in waiting} - superseded(waiting))


class _Progress:
    """Writes upload progress into the status, at most twice a second."""

    def __init__(self, status: DaemonStatus, folder: Path) -> None:
        self._status, self._folder, self._last = status, folder, 0.0

    def __call__(self, count: int) -> None:
        self._status.uploading_bytes += count
        if (now := time.monotonic()) - self._last >= 0.5:
            self._last = now
            self._status.save(self._folder)


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
