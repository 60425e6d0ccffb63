"""One process of the benchmark of many checkpoints: does what the daemon does, and prints what it took as JSON.

``kept_worker.py kept FOLDER COUNT``: a run that has COUNT checkpoints already, all of which are to be kept.
``kept_worker.py made FOLDER COUNT``: COUNT checkpoints are made one after another under the default policy.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import psutil

from filling import SECONDS_APART, SESSION, small_snapshot
from holdfast.runtime import claims
from holdfast.runtime.carrier import Carrier
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.names import Stem
from holdfast.runtime.restore import newest
from holdfast.runtime.retention import Policy
from holdfast.runtime.service import Service
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import open_store

LAST: Final = 20
"""Uploads at the end that are reported."""

SEARCHES: Final = 9
"""Of which the first alone compiles the schema of manifests."""

MOST_CATCHING_UP: Final = 200
"""Uploads after which every manifest is to be known."""


class Daemon:
    """The daemon's carrier on one run, in this process."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        url = str(folder / "store")
        self.store = open_store(url).under("run")
        self.spool = Spool(folder / "spool")
        self.spool.make_folders()
        kernel = ProcessId.own()
        self.service = Service(SESSION, 1, kernel, False, "run", url, 0.0, policy, frozenset())  # noqa: FBT003
        self.carrier = Carrier(self.spool, self.store, DaemonStatus(), SESSION)
        self.taken_at = time.time()

    def upload(self, sequence: int) -> tuple[float, float]:
        """Seconds and CPU seconds for one small snapshot that lies in the spool."""
        self.taken_at += SECONDS_APART
        stem = Stem(1, sequence, SESSION)
        self.spool.write("run", stem, small_snapshot(sequence, self.taken_at))
        begun, used = time.perf_counter(), time.process_time()
        self.carrier.carry(self.service, draining=True, wake=threading.Event())
        took = time.perf_counter() - begun, time.process_time() - used
        assert self.carrier._catalogue.has(stem), "it was not uploaded"
        return took

    def about(self) -> dict[str, float]:
        """What there is at the end."""
        catalogue = self.carrier._catalogue
        files = [path for path in self.spool.folder.rglob("*") if path.is_file()]
        return {
            "rss": psutil.Process().memory_info().rss,
            "checkpoints": len(catalogue.read) + len(catalogue.unread),
            "objects": len(catalogue.objects),
            "spool": sum(path.stat().st_size for path in files),
        }


def kept(folder: Path, count: int) -> dict[str, Any]:
    """A start's search and a daemon's uploads where so many are kept."""
    found: dict[str, Any] = {}
    daemon = Daemon(folder, Policy(last=count + MOST_CATCHING_UP + LAST, hourly=0, daily=0))
    found["search"] = []
    for _ in range(SEARCHES):
        begun = time.perf_counter()
        claims.read_highest(daemon.store)
        pair = newest([Shelf("spool", daemon.spool), Shelf("store", daemon.store)], set(), print)
        found["search"].append(time.perf_counter() - begun)
        assert pair is not None and pair[0].stem.sequence == count
    begun, used = time.perf_counter(), time.process_time()
    daemon.carrier.learn()
    found["learn"] = time.perf_counter() - begun, time.process_time() - used
    sequence = count + 1
    catching_up = [daemon.upload(sequence)]
    while daemon.carrier._catalogue.unread:
        sequence += 1
        catching_up.append(daemon.upload(sequence))
        assert len(catching_up) <= MOST_CATCHING_UP
    found["catching up"] = catching_up
    found["uploads"] = [daemon.upload(sequence + more) for more in range(1, LAST + 1)]
    return found | daemon.about()


def made(folder: Path, count: int) -> dict[str, Any]:
    """A daemon's last uploads of so many."""
    daemon = Daemon(folder, Policy())
    claims.make_claim(daemon.store, SESSION, "bench", ProcessId.own(), time.time())
    daemon.carrier.learn()
    uploads = [daemon.upload(sequence) for sequence in range(1, count + 1)]
    return {"uploads": uploads[-LAST:]} | daemon.about()


def main() -> None:
    """Does what the command line says."""
    kind, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    found = kept(folder, count) if kind == "kept" else made(folder, count)
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
