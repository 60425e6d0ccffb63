"""Holds an interrupt back to the next safe point of a loop, but not for long."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from holdfast.hooks.interrupts import StepShield

HOLD_SECONDS: Final = 5.0
"""An interrupt waits for a safe point so long: most steps are shorter, and a user who waits longer takes the
kernel for dead."""


class LoopShield(StepShield):
    """As in `fit`; where no safe point comes for a while, the interrupt comes through as it is.

    Args:
        in_fit: Whether a `fit` runs within the item: it has held an interrupt back to the end of its own step.
    """

    def __init__(self, in_fit: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._in_fit = in_fit
        self._stack = contextlib.ExitStack()
        self._timer: threading.Timer | None = None
        self._overdue = False
        self.is_installed = False

    @property
    def pending(self) -> bool:
        """Whether an interrupt waits."""
        return self._pending

    def install(self) -> None:
        """Stands before the interrupt handler from now on."""
        self._stack.enter_context(self.installed())
        self.is_installed = True

    def uninstall(self) -> None:
        """Gives the handler back; an interrupt that waits comes a moment later."""
        if not self.is_installed:
            return
        self.is_installed = self.in_step = False
        waiting, self._pending = self._pending, False
        self._cancel()
        self._stack.close()
        if waiting:
            threading.Timer(0.0, _interrupt_main).start()

    def step_ended(self) -> None:
        """As in `fit`."""
        self._cancel()
        super().step_ended()

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._overdue and not self._pending:
            self._overdue = False  # the safe point came at the very moment
            return
        self._overdue = False
        if self._in_fit():
            self.in_step = False
        held = self.in_step and not self._pending
        if not held:
            self._cancel()
        super()._handle(number, frame)
        if held:
            self._timer = threading.Timer(HOLD_SECONDS, self._let_through)
            self._timer.name, self._timer.daemon = "holdfast-interrupt", True
            self._timer.start()

    def _let_through(self) -> None:
        self._overdue = True
        _interrupt_main()


def _interrupt_main() -> None:
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)
