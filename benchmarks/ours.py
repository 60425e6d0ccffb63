"""Holdfast's own ways to checkpoint, asked like its peers."""

from __future__ import annotations

import time
from typing import Any, Final

import psutil

import colab_bootstrap
from colab_bootstrap import Handle
from holdfast.runtime.names import parse_stem
from peers import Nothing

NEVER: Final = 86_400.0
ALWAYS: Final = 0.05
"""Seconds between two snapshots, so that none, or one at the next step, is due."""

FORCED: Final[dict[str, Any]] = {
    "snapshot_seconds": NEVER,
    "persist_seconds": NEVER,
    "overhead_percent": 0,
}
"""Settings of a run whose checkpoints are asked for one by one: no schedule of its own, no budget."""


class Holdfast(Nothing):
    """A snapshot when the schedule wants one, until it is committed to the spool."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self._before = ""

    def ask(self) -> None:
        self._before = self.handle.status().snapshot
        self._interval(ALWAYS)

    def over(self) -> None:
        self._interval(NEVER)

    def written(self) -> bool:
        return self.handle.status().snapshot != self._before

    def _interval(self, seconds: float) -> None:
        # What the settings watch calls when holdfast.yaml was edited.
        self.handle._session.change_settings(
            lambda old: old.with_changes({"snapshot_seconds": seconds}, where="")
        )


class HoldfastUploaded(Holdfast):
    """`handle.checkpoint()`, until the daemon has it confirmed in the store."""

    def ask(self) -> None:
        self._before = self.handle.status().snapshot
        self.handle.checkpoint()

    def over(self) -> None: ...

    def written(self) -> bool:
        status = self.handle.status()
        if status.snapshot == self._before or not status.confirmed:
            return False
        return parse_stem(status.confirmed) >= parse_stem(status.snapshot)


def start(folder: str, **settings: Any) -> tuple[Handle, psutil.Process]:
    """Holdfast with store and spool below ``folder``, and its daemon's process."""
    handle = colab_bootstrap.start(f"{folder}/store", run="bench", spool=f"{folder}/spool", **settings)
    for _ in range(100):
        try:
            return handle, psutil.Process(handle._session.status().pid)
        except (psutil.NoSuchProcess, ValueError):
            time.sleep(0.1)
    raise TimeoutError("the daemon did not start")
