"""The clock of a training: lets the variants take turns and times every step."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras
import psutil

from peers import Variant
from plan import Block, Sample

WARM_STEPS: Final = 3
QUIET_STEPS: Final = 2
QUIET_SECONDS: Final = 0.4
"""Steps before each checkpoint that tell how long a step takes: at least so many, and so long."""

FOLLOWING_STEPS: Final = 2
FOLLOWING_SECONDS: Final = 0.3
"""Steps after each checkpoint that are counted to it whatever it does: later costs are no less costs."""

FOLLOWING_LIMIT: Final = 60.0
"""Seconds after which a checkpoint is given up."""


@dataclass(frozen=True, slots=True)
class Used:
    """What was used up to now: CPU seconds and bytes written, by this process and by the daemon."""

    cpu: float
    daemon_cpu: float
    written: int
    stored: int


class Meter:
    """Reads what this process and the daemon have used."""

    def __init__(self, daemon: psutil.Process) -> None:
        self._own, self._daemon = psutil.Process(), daemon

    def read(self) -> Used:
        """Now; of this process finer than psutil, whose unit is a hundredth of a second."""
        times = self._daemon.cpu_times()
        written = self._own.io_counters().write_chars
        stored = self._daemon.io_counters().write_chars
        return Used(time.process_time(), times.user + times.system, written, stored)


class Clock(keras.callbacks.Callback):
    """The first callback of the training: says whose turn it is, and hands on a sample of each turn.

    A turn: the disks are let come to rest; some quiet steps; the step whose end is to be saved; the
    steps that follow until the checkpoint is written.
    """

    def __init__(
        self, variants: Mapping[str, Variant], block: Block, meter: Meter, done: Callable[[Sample], None]
    ) -> None:
        super().__init__()
        self._variants, self._meter, self._done = variants, meter, done
        self._turns = block.turns()
        self._began = self._ended = 0.0
        self._times: list[float] = []
        self._gaps: list[float] = []
        self._script = self._play()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A step begins."""
        del batch, logs
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A step has ended; what comes up to the next beginning is the gap."""
        del batch, logs
        now = time.perf_counter()
        if self._ended:
            self._gaps.append(self._began - self._ended)
            self._times.append(now - self._ended)
        try:
            next(self._script)
        except StopIteration:
            self.model.stop_training = True
        self._ended = time.perf_counter()

    def _play(self) -> Iterator[None]:
        """Goes on at the end of every step."""
        for _ in range(WARM_STEPS):
            yield
        for number, name in self._turns:
            yield from self._turn(number, name, self._variants[name])

    def _turn(self, number: int, name: str, variant: Variant) -> Iterator[None]:
        os.sync()
        yield  # the step after it is not counted
        self._forget()
        before = self._meter.read()
        begin = time.perf_counter()
        while len(self._times) < QUIET_STEPS or time.perf_counter() - begin < QUIET_SECONDS:
            yield
        quiet, gap = tuple(self._times), statistics.median(self._gaps)
        quiet_cpu = (self._meter.read().cpu - before.cpu) / len(quiet)
        self._forget()
        before = self._meter.read()
        begin = time.perf_counter()
        variant.ask()
        yield  # at this very end of a step the checkpoint is taken, after this callback's part of it
        variant.over()
        while self._goes_on(variant, begin):
            yield
        after = self._meter.read()
        following = (self._times[0] - self._gaps[0], *self._times[1:])
        self._done(
            Sample(
                name,
                number,
                quiet,
                gap,
                quiet_cpu,
                self._gaps[0],
                following,
                after.cpu - before.cpu,
                after.daemon_cpu - before.daemon_cpu,
                after.written - before.written,
                after.stored - before.stored,
            )
        )

    def _goes_on(self, variant: Variant, begin: float) -> bool:
        spent = time.perf_counter() - begin
        if spent > FOLLOWING_LIMIT:
            raise TimeoutError("a checkpoint was not written")
        return len(self._times) < FOLLOWING_STEPS or spent < FOLLOWING_SECONDS or not variant.written()

    def _forget(self) -> None:
        self._times.clear()
        self._gaps.clear()
