"""The demo's folders, and the virtual machine that it loses."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from demo_parts.errors import DemoFailed

SNAPSHOT_SECONDS: Final = 0.9
"""Between two snapshots to the spool: short, so that a demo of a minute sees some."""
PERSIST_SECONDS: Final = 4.0
"""Between two checkpoints to the store."""
STEP_PAUSE_SECONDS: Final = 0.035
"""Sleep in each training step: it makes a training of seconds long enough to be killed twice."""
DEATH_SECONDS: Final = 20.0
"""The longest that a killed process may take to be gone."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies. Whatever is under `vm` goes when the virtual machine does.

    Attributes:
        out: The folder that holds all of it.
    """

    out: Path

    @property
    def store(self) -> Path:
        """The store, which outlives every machine."""
        return self.out / "store"

    @property
    def vm(self) -> Path:
        """The local disk of the machine that the kernels run on."""
        return self.out / "vm"

    @property
    def spool(self) -> Path:
        """The base folder of the spools, on that disk."""
        return self.vm / "spool"

    @property
    def picture(self) -> Path:
        """The loss curve."""
        return self.out / "loss.png"

    @property
    def table(self) -> Path:
        """The tables, as text."""
        return self.out / "table.txt"

    def results(self, *, interrupted: bool) -> Path:
        """Where a training's logs and end state are put."""
        return self.out / ("interrupted" if interrupted else "uninterrupted")

    def prepare(self) -> None:
        """Removes what a former demo left, and makes the folders anew; other files are let be.

        Raises:
            DemoFailed: The folder cannot be written.
        """
        try:
            kill_all(local_processes(self.vm))
            for folder in (
                self.store,
                self.vm,
                self.results(interrupted=True),
                self.results(interrupted=False),
            ):
                if folder.exists():
                    shutil.rmtree(folder)
                folder.mkdir(parents=True)
            self.picture.unlink(missing_ok=True)
            self.table.unlink(missing_ok=True)
        except OSError as error:
            raise DemoFailed(
                f"{self.out} cannot be prepared: {error}. Name another folder with --out"
            ) from None

    def environment(self, *, interrupted: bool, log: Path) -> dict[str, str]:
        """The environment of a kernel; nobody's own settings reach it."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")}
        return inherited | {
            "DIGITS_LOG": str(log),
            "DIGITS_PAUSE": str(STEP_PAUSE_SECONDS),
            "DIGITS_RESULT": str(self.results(interrupted=interrupted)),
            "HOLDFAST_STORE": str(self.store),
            "HOLDFAST_SPOOL": str(self.spool),
            "HOLDFAST_SNAPSHOT_SECONDS": str(SNAPSHOT_SECONDS),
            "HOLDFAST_PERSIST_SECONDS": str(PERSIST_SECONDS),
            "IPYTHONDIR": str(self.vm / "ipython"),
            "JPY_SESSION_NAME": str(self.vm / "digits.ipynb"),  # as Jupyter's server says it
            "KERAS_HOME": str(self.vm / "keras"),
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }

    def lose_vm(self) -> None:
        """Removes the machine's disk, once none of its processes lives."""
        kill_all(local_processes(self.vm))
        shutil.rmtree(self.vm)
        self.vm.mkdir()


def local_processes(vm: Path) -> list[psutil.Process]:
    """The daemons that serve a spool on that machine."""
    inside = str(vm.absolute()) + os.sep
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "holdfast.runtime.daemon" in command and any(word.startswith(inside) for word in command):
            found.append(process)
    return found


def kill_all(processes: list[psutil.Process]) -> None:
    """Kills processes with SIGKILL, and waits until they are gone.

    Raises:
        DemoFailed: One is still there.
    """
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    wait_until_gone(processes, DEATH_SECONDS)


def wait_until_gone(processes: list[psutil.Process], seconds: float) -> None:
    """Waits until processes have ended.

    Raises:
        DemoFailed: One has not.
    """
    deadline = time.monotonic() + seconds
    while alive := [one for one in processes if _is_alive(one)]:
        if time.monotonic() > deadline:
            numbers = ", ".join(str(one.pid) for one in alive)
            raise DemoFailed(f"Process {numbers} has not ended in {seconds:.0f} s")
        time.sleep(0.05)


def newest_taken_at(tier: Path) -> float:
    """When the newest checkpoint under a folder was taken, as a Unix time in seconds; 0 for none."""
    names = sorted(
        (path for folder in tier.rglob("manifests") for path in folder.rglob("*.json")),
        key=lambda path: path.name,
    )
    try:
        return float(json.loads(names[-1].read_bytes())["taken_at"])
    except (IndexError, FileNotFoundError):  # none yet, or superseded meanwhile
        return 0.0


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
