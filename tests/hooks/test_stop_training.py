"""`model.stop_training` after a replay is what it was after the training."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from helpers.training import Model, Start


def rounds(made: Any, data: Any, stop_after: int) -> int:
    """Trains until a call stops itself, in its second epoch; how many calls that takes."""
    for number in range(5):

        def on_epoch_end(epoch: int, logs: Any, number: int = number) -> None:
            made.stop_training = number == stop_after and epoch == 1

        callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
        made.fit(*data, epochs=2 if number else 3, batch_size=8, verbose=0, callbacks=[callback])
        if made.stop_training:
            return number + 1
    return 5


@pytest.mark.parametrize("stop_after", [0, 1])
@pytest.mark.parametrize("milestones", [50.0, 0.0])
def test_a_program_that_reads_it_makes_as_many_calls(
    start: Start, data: Any, model: Model, stop_after: int, milestones: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.hooks.saving.LONG_CALL_SECONDS", float("inf"))
    monkeypatch.setattr("holdfast.runtime.schedule.BURST", milestones)
    handle = start()
    handle._tracker.saving._burst.left = milestones
    first = model()
    assert rounds(first, data, stop_after) == stop_after + 1
    start()
    made = model()
    assert rounds(made, data, stop_after) == stop_after + 1
    assert int(made.optimizer.iterations) == int(first.optimizer.iterations)
