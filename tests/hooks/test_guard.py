"""A bug of ours never reaches the user's training."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from helpers.training import At, Start, bits
from holdfast.hooks import capture
from holdfast.hooks.training_call import FitCall
from holdfast.runtime.timing import RETRY_SECONDS

METHODS = [
    "__init__",
    "source_made",
    "source_of",
    "before_train_begin",
    "after_train_begin",
    "epoch_begins",
    "step_ends",
    "batches_over",
    "epoch_ends",
    "returned",
]


@pytest.mark.parametrize("method", METHODS)
def test_a_training_goes_on_as_if_unhooked(
    start: Start,
    data: Any,
    model: Callable[..., Any],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    alone = model()
    expected = alone.fit(*data, epochs=2, batch_size=8, verbose=0, validation_split=0.2).history

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug of ours")

    start()
    monkeypatch.setattr(FitCall, method, broken)
    made = model()
    history = made.fit(*data, epochs=2, batch_size=8, verbose=0, validation_split=0.2)
    assert bits(made) == bits(alone)
    assert history.history == expected
    assert sum("a bug of ours" in line for line in said) == 1
    logs = list((tmp_path / "spool").glob("spools/*/kernel.log"))
    assert "ZeroDivisionError" in logs[0].read_text(encoding="utf-8")


def test_a_bug_while_saving_an_interrupted_training_leaves_the_interrupt_as_it_is(
    start: Start, data: Any, model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug of ours")

    def interrupt() -> None:
        raise KeyboardInterrupt("the user's")

    start()
    monkeypatch.setattr(FitCall, "raised", broken)
    with pytest.raises(KeyboardInterrupt, match="the user's"):
        model().fit(*data, verbose=0, callbacks=[At(2, interrupt)])


def test_a_bug_at_every_snapshot_neither_fills_the_log_nor_is_run_into_at_every_step(
    start: Start, data: Any, model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0

    def broken(*_: Any, **__: Any) -> None:
        nonlocal times
        times += 1
        raise ZeroDivisionError("a bug of ours")

    start(snapshot_seconds=0.05)
    monkeypatch.setattr(capture, "references", broken)
    made = model()

    def enough(*_: Any) -> None:
        made.stop_training = times >= 40

    began = time.monotonic()
    made.fit(*data, epochs=10_000, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=enough)])
    asked = (time.monotonic() - began) / RETRY_SECONDS
    assert 3 <= times <= 2 * asked + 3  # at steps, at ends of epochs, and at the call's
    (log,) = (tmp_path / "spool").glob("spools/*/kernel.log")
    logged = log.read_text(encoding="utf-8").count("Traceback")
    assert logged <= 4 * times.bit_length() < times  # for each of the places, fewer and fewer
