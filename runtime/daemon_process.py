"""Starting the daemon and telling whether it lives."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from holdfast.runtime import crashpoints
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.status import DaemonStatus

LOG_NAME: Final = "daemon.log"

_released: list[subprocess.Popen[bytes]] = []
"""Daemons let go that this process must still reap, lest they stay as zombies while it lives."""


@atexit.register
def _outlived() -> None:
    for child in _released:
        child.returncode = 0  # no warning that it still runs: it is meant to


class DaemonProcess:
    """The daemon of one spool, be it of our own making or found alive."""

    def __init__(self, spool_folder: Path) -> None:
        self._folder = spool_folder
        self._child: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def is_alive(self) -> bool:
        """Whether a daemon serves the spool, or has just been started to."""
        if self._child is not None and self._child.poll() is None:
            return True
        status = DaemonStatus.load(self._folder)
        return bool(status.pid) and ProcessId(status.pid, status.started).is_alive()

    def ensure(self) -> bool:
        """Starts a daemon unless one lives; says whether it did."""
        if self.is_alive():
            return False
        environment = dict(os.environ)
        if self.starts:  # a test's order to die at a step is for the first one only
            environment.pop(crashpoints.VARIABLE, None)
        _released[:] = [child for child in _released if child.poll() is None]
        with open(self._folder / LOG_NAME, "ab") as log:
            # -P and another working folder: a user's own yaml.py must not be imported there.
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "holdfast.runtime.daemon", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                close_fds=True,
                start_new_session=True,  # Colab kills the kernel's whole process group
            )
        self.starts += 1
        return True

    def release(self) -> None:
        """Lets the daemon go on by itself."""
        if self._child is not None:
            _released.append(self._child)
            self._child = None
