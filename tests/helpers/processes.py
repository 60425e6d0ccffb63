"""Real processes for tests: kernels and daemons, started, told, killed and waited for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil

from holdfast.runtime.machine import ProcessId
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import FolderStore

TESTS = Path(__file__).parents[1]
GIVE_UP_SECONDS = 60.0
"""How long a test waits for what must come. Not a limit on speed: nothing comes this late."""


def eventually(holds: Callable[[], Any], what: str) -> None:
    """Waits until something holds, or fails the test."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def daemons_in(folder: Path) -> list[psutil.Process]:
    """The daemons alive whose spool is in a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (words := process.info["cmdline"] or [])
        and "holdfast.runtime.daemon" in words
        and words[-1].startswith(str(folder))
    ]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a test's process: it can import the helpers, and crashes only when told to."""
    extra = dict(extra or {})
    first, last = extra.pop("PYTHONPATH", None), os.environ.get("PYTHONPATH")
    path = os.pathsep.join(filter(None, [first, str(TESTS), last]))
    kept = {key: value for key, value in os.environ.items() if key != "HOLDFAST_CRASH_AT"}
    return {**kept, "PYTHONPATH": path, **extra}


class Kernel:
    """A process with a session, in the place of a notebook's kernel."""

    def __init__(self, settings: Mapping[str, Any], log: Path, extra: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "helpers.kernel", json.dumps(dict(settings))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(extra),
            )
        self.found: dict[str, Any] = {}

    def opened(self) -> Self:
        """Waits until its session is open."""
        self.found = self._answer()
        return self

    def tell(self, do: str, **order: Any) -> dict[str, Any]:
        """Has it do one thing, and returns its answer; empty where it died over it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return dict(json.loads(line)) if line else {}

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has written to standard error."""
        return self.log.read_text(encoding="utf-8")

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    @property
    def spool(self) -> Path:
        """The folder of its spool."""
        return Path(self.found["spool"])

    def kill(self) -> int:
        """Kills it as the out-of-memory killer would, and returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        return self.ended()

    def ended(self) -> int:
        """Lets it end, waits for that, and returns its exit status."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        return self._process.wait()


class Machine:
    """A place with a store and a local disk, on which kernels are started."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder, self.base = folder, folder / "local"
        self.url = url or str(folder / "store")
        self.kernels: list[Kernel] = []
        self.spools: set[Path] = set()

    @property
    def store(self) -> FolderStore:
        """The run's folder in the store."""
        return FolderStore(self.folder / "store" / "run")

    @property
    def shelf(self) -> Shelf:
        """The same as a shelf to restore from."""
        return Shelf("store", self.store)

    def start(
        self,
        *,
        base: Path | None = None,
        crash_at: str = "",
        extra: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Kernel:
        """Starts a kernel; its session opens meanwhile."""
        given = {
            "store": self.url,
            "run": "run",
            "spool": str(base or self.base),
            "persist_seconds": 86_400.0,
            "overhead_percent": 0.0,
            **settings,
        }
        log = self.folder / f"kernel-{len(self.kernels)}.log"
        crash = {"HOLDFAST_CRASH_AT": crash_at} if crash_at else {}
        kernel = Kernel(given, log, {**(extra or {}), **crash})
        self.kernels.append(kernel)
        return kernel

    def open(self, **settings: Any) -> Kernel:
        """Starts a kernel and waits until its session is open."""
        kernel = self.start(**settings).opened()
        self.spools.add(kernel.spool)
        return kernel

    def clean_up(self) -> None:
        """Kills what still runs."""
        for kernel in self.kernels:
            kernel.kill()
        for daemon in self.daemons():
            daemon.kill()

    def daemons(self) -> list[psutil.Process]:
        """The daemons alive on this machine."""
        return daemons_in(self.folder)


@contextmanager
def machine(folder: Path, url: str = "") -> Iterator[Machine]:
    """A machine on which nothing is left running; by default its store is a folder on it."""
    made = Machine(folder, url)
    try:
        yield made
    finally:
        made.clean_up()


def daemon_process(spool: Path) -> ProcessId:
    """The daemon that last served a spool."""
    status = DaemonStatus.load(spool)
    return ProcessId(status.pid, status.started)
