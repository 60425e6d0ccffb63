"""A bug of ours never reaches the user's training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.training import At, Start, bits
from holdfast.hooks.training_call import FitCall

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
