"""Keeps the panel true while the session lives: a thread that sends what has changed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final

from holdfast.hooks.panel_output import PanelOutput
from holdfast.runtime.panel_view import headline_of, view
from holdfast.runtime.run_status import Status

UPDATE_SECONDS: Final = 1.0
"""The least time between two updates."""

AGE_SECONDS: Final = 10.0
"""While a training goes on, ages alone are brought up to date this often."""

log = logging.getLogger("holdfast.hooks")


class Panel:
    """The panel of a session in a notebook.

    Args:
        status: Tells where the run stands.
        output: Where to show it.
    """

    def __init__(self, status: Callable[[], Status], output: PanelOutput) -> None:
        self._status, self._output = status, output
        self._process = os.getpid()
        self._sent: Hashable = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self) -> None:
        """Shows it in the running cell's output, and keeps it true until it is closed."""
        status = self._status()
        self._output.show(view(status, time.time()))
        if self._thread is None and not self._stop.is_set():
            self._sent = signature(status, time.time())
            self._thread = threading.Thread(target=self._work, name="holdfast-panel", daemon=True)
            self._thread.start()

    def close(self, *, say_last: bool = True) -> None:
        """Ends it.

        Args:
            say_last: Whether to show the end; not where the kernel is ending too.
        """
        if self._thread is None or os.getpid() != self._process:  # a forked child has neither
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        if say_last:
            self._update()

    def _work(self) -> None:
        while not self._stop.wait(UPDATE_SECONDS):
            try:
                self._update()
            except Exception:  # a thread's top; what is shown says as of when it is
                log.exception("the panel")

    def _update(self) -> None:
        status, now = self._status(), time.time()
        new = signature(status, now)
        if new != self._sent and self._output.replace(view(status, now)):
            self._sent = new


def signature(status: Status, now: float) -> Hashable:
    """What has to differ for the panel to be sent again: ages count in steps, and only while steps end.

    The cell's beginning and end are left out too: as such they change nothing that is shown.
    """
    level = headline_of(status, now)[0]
    cell = status.cell if status.cell in ("interrupted", "failed") else ""
    unsaved = (status.last_step_at > status.snapshot_at, status.last_step_at > status.confirmed_taken_at)
    again = bool(cell) and status.cell_again
    still = replace(status, last_step_at=status.last_step_at // AGE_SECONDS, cell=cell, cell_again=again)
    return level, unsaved, still
