"""Holds an interrupt back to the end of the running step, so that the state is whole.

A step is one call into TensorFlow, which cannot be interrupted in its midst anyway; what is
held back is the moment between its end and that of the callbacks. A second interrupt comes
through at once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class StepShield:
    """Whether a step runs, and whether somebody wants it to end."""

    def __init__(self) -> None:
        self.in_step = False
        self._pending = self._over = False
        self._old: Callable[[int, FrameType | None], Any] | None = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Stands before the interrupt handler while a training call runs."""
        old = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(old):
            yield
            return
        self._old, self._over = old, False
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGINT) == self._handle:
                signal.signal(signal.SIGINT, old)
            self._over = True
            self._deliver()  # a step that raised has no end

    def step_ended(self) -> None:
        """Ends the step, and lets an interrupt through that came meanwhile."""
        self.in_step = False
        self._deliver()

    def _deliver(self) -> None:
        if self._pending and self._old is not None:
            self._pending = False
            self._old(int(signal.SIGINT), sys._getframe(1))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.in_step and not self._pending and not self._over:
            self._pending = True
        elif self._old is not None:
            self._pending = False
            self._old(number, frame)
