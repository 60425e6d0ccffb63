"""Interrupts in loops with `resumable`."""

from __future__ import annotations

import gc
import signal
from typing import Any

import keras
import numpy as np
import pytest

from colab_bootstrap import resumable
from helpers.loops import Act, Program, interrupt, nothing
from helpers.training import Start
from holdfast.hooks.loop_interrupts import LoopShield


def test_the_interrupt_handler_is_the_users_again_afterwards(start: Start) -> None:
    start()
    before = signal.getsignal(signal.SIGINT)
    Program().run(1)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ValueError, match="x"):
        for _ in resumable(range(3)):
            raise ValueError("x")
    gc.collect()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_comes_through_where_no_safe_point_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.hooks.loop_interrupts.HOLD_SECONDS", 0.01)
    shield = LoopShield()
    shield.install()
    try:
        shield.in_step = True
        with pytest.raises(KeyboardInterrupt):
            interrupt()
            assert shield.pending
            signal.pause()
    finally:
        shield.uninstall()


def test_a_second_interrupt_comes_through_at_once() -> None:
    shield = LoopShield()
    shield.install()
    try:
        shield.in_step = True
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert not shield.pending
    finally:
        shield.uninstall()


@pytest.mark.parametrize("interrupted_in_fit", [1, 6])
def test_an_interrupt_within_a_fit_does_not_wait_for_the_loops_item(
    start: Start, interrupted_in_fit: int
) -> None:
    class Steps(keras.callbacks.Callback):
        def __init__(self, act: Act) -> None:
            super().__init__()
            self.act, self.done = act, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.done += 1
            self.act(self.done)

    def run(act: Act = nothing) -> tuple[list[bytes], int]:
        program = Program(built=False)
        program.model.compile(program.optimizer, "mse")
        x, steps = np.linspace(0, 1, 8).reshape(4, 2).astype("float32"), 0
        for _ in resumable(range(2)):
            counter = Steps(act)
            program.model.fit(x, x[:, :1], batch_size=1, epochs=2, verbose=0, callbacks=[counter])
            steps += counter.done
        return program.bits(), steps

    expected, steps = run()
    assert steps == 16
    start()
    seen = 0

    def act(step: int) -> None:
        nonlocal seen
        seen += 1
        if seen == interrupted_in_fit:
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        run(act)
    assert seen == interrupted_in_fit
    start()
    found, steps = run()
    assert found == expected
