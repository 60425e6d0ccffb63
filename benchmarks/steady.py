"""The process of one role of the overhead's benchmark: one `fit` that goes on for a while whenever it is told.

While it stands still its clocks do too, and its daemon is stopped: to the schedule the training is one that
never paused, and nothing that it costs falls into the other's time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

CLOCKS: Final = ("monotonic", "perf_counter")


SHARE_OF_TIME: Final = 0.5
"""Of the time this training works, and of the time of the daemon's clock."""

TIMES: Final = ("uploaded_from", "uploaded_to", "uploading_since")
"""What the daemon says by its own clock and the schedule takes as it is."""


class Clocks:
    """The process's steady clocks, which can be held. Made before anything else may have taken hold of them."""

    def __init__(self) -> None:
        self._held = 0.0
        self._pauses: list[tuple[float, float]] = []
        self._real = time.monotonic
        for name in CLOCKS:
            setattr(time, name, self._late(getattr(time, name)))

    def _late(self, clock: Callable[[], float]) -> Callable[[], float]:
        return lambda: clock() - self._held

    def hold(self, during: Callable[[], str]) -> str:
        """Calls that, in no time."""
        date, began = time.time(), self._real()
        try:
            return during()
        finally:
            took = self._real() - began
            self._held += took
            self._pauses.append((date, took))

    def held_since(self, date: float) -> float:
        """For how many seconds they were held since that Unix time."""
        return sum(took for began, took in self._pauses if began >= date)


def translate(clocks: Clocks) -> None:
    """Between the daemon, whose clock cannot be held, and this process."""
    from holdfast.runtime.service import Service
    from holdfast.runtime.status import DaemonStatus

    load, save = DaemonStatus.load, Service.save

    def loaded(cls: type[DaemonStatus], folder: Path) -> DaemonStatus:
        del cls
        status = load(folder)
        for name in TIMES:
            if date := getattr(status, name, 0.0):
                setattr(status, name, date + clocks.held_since(date))
        return status

    def saved(service: Service, folder: Path) -> None:
        seconds = service.persist_seconds / SHARE_OF_TIME
        save(dataclasses.replace(service, persist_seconds=seconds), folder)

    DaemonStatus.load = classmethod(loaded)  # type: ignore[assignment]
    Service.save = saved  # type: ignore[assignment,method-assign]


class Daemon:
    """The daemon, where there is one."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @property
    def status(self) -> Any:
        """What it says of itself."""
        return self._handle._session.status()

    def send(self, number: signal.Signals) -> None:
        """Stops it, or has it go on."""
        if self._handle is not None:
            os.kill(self.status.pid, number)

    def writing(self) -> bool:
        """Whether a snapshot is being written."""
        return self._handle is not None and self._handle._session._writer.busy

    def done(self) -> tuple[str, int]:
        """The newest snapshot, and the bytes in the store."""
        return ("", 0) if self._handle is None else (self._handle.status().snapshot, self.status.bytes_written)


def main(role: str, megabytes: int) -> None:
    """Answers each line, a number of seconds, with the times of the steps of that long."""
    clocks = Clocks()
    import keras

    import ours
    from plan import Block
    from subject import make_data, make_model

    translate(clocks)

    class Stretches(keras.callbacks.Callback):
        def __init__(self, daemon: Daemon) -> None:
            super().__init__()
            self._daemon = daemon
            self._times: list[float] = []
            self._until = self._last = 0.0
            self._snapshot, self._snapshots, self._stored = "", 0, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del logs
            now = time.perf_counter()
            if batch > 0:
                self._times.append(now - self._last)
                self._see()
            if now >= self._until and not self._daemon.writing():
                self._rest()
            self._last = time.perf_counter()

        def _see(self) -> None:
            snapshot, _ = self._daemon.done()
            self._snapshots += snapshot != self._snapshot
            self._snapshot = snapshot

        def _rest(self) -> None:
            self._daemon.send(signal.SIGSTOP)
            stored = self._daemon.done()[1]
            answer = {"times": self._times, "snapshots": self._snapshots, "stored": stored - self._stored}
            print(json.dumps(answer), flush=True)
            line = clocks.hold(sys.stdin.readline)
            self._daemon.send(signal.SIGCONT)
            if not line.strip():
                self.model.stop_training = True
                return
            self._times, self._snapshots, self._stored = [], 0, stored
            self._until = time.perf_counter() + float(line)

    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as folder:
        handle, process = ours.start(folder) if role == "followed" else (None, None)
        try:
            model = make_model(Block("dense", "saturated", megabytes, 0))
            callbacks = [Stretches(Daemon(handle))]
            model.fit(make_data(model), steps_per_epoch=1_000_000, callbacks=callbacks, verbose=0)
        finally:
            if handle is not None and process is not None:
                handle.stop()
                process.kill()
                process.wait(30)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
