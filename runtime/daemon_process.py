"""Starting the daemon and telling whether it lives."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil

from holdfast.runtime import crashpoints
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.status import DaemonStatus

LOG_NAME: Final = "daemon.log"

DETACHED: Final = '"$@" >&2 & echo $!'
"""For the shell: it starts the daemon, says its number and ends at once. So the daemon is nobody's child here:
the user's `os.wait` waits for the user's own children alone, and whoever is left to reap it is the system."""


class DaemonProcess:
    """The daemon of one spool, be it of our own making or found alive."""

    def __init__(self, spool_folder: Path) -> None:
        self._folder = spool_folder
        self._started: ProcessId | None = None
        self.starts = 0

    def is_alive(self) -> bool:
        """Whether a daemon serves the spool, or has just been started to."""
        if self._started is not None and self._started.is_alive():
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
        # -P and another working folder: a user's own yaml.py must not be imported there.
        command = [sys.executable, "-P", "-m", "holdfast.runtime.daemon", str(self._folder)]
        with open(self._folder / LOG_NAME, "ab") as log:
            shell = subprocess.run(
                ["/bin/sh", "-c", DETACHED, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env=environment,
                close_fds=True,
                start_new_session=True,  # Colab kills the kernel's whole process group
                check=False,
            )
        with contextlib.suppress(ValueError, psutil.NoSuchProcess):  # which the next look finds out
            pid = int(shell.stdout)
            self._started = ProcessId(pid, psutil.Process(pid).create_time())
        self.starts += 1
        return True

    def release(self) -> None:
        """Lets the daemon go on by itself."""
        self._started = None
