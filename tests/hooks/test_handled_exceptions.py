"""A program that handles an exception out of `fit` and trains on makes its next call, no resume."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from helpers.training import At, Count, Model, Start, bits, run_cell


class Enough(Exception):
    """What the program's own callback raises."""


class StopAfter(keras.callbacks.Callback):
    """Raises at the end of an epoch, of each call."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise Enough


@pytest.fixture(autouse=True)
def every_epoch_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is interrupted between epochs is saved, however fast the machine."""
    monkeypatch.setattr("holdfast.hooks.training_call.HOLD_SECONDS", 0.0)


def rounds(made: Any, data: Any, count: int = 3) -> list[int]:
    """Trains by calls that each end with an exception; the steps of each."""
    steps = []
    for _ in range(count):
        counter = Count()
        with pytest.raises(Enough):
            made.fit(*data, epochs=6, batch_size=8, verbose=0, callbacks=[StopAfter(1), counter])
        steps.append(counter.steps())
    return steps


def test_each_call_trains_as_without_the_runtime(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    alone = model()
    assert rounds(alone, data) == [10, 10, 10]
    start()
    made = model()
    assert rounds(made, data) == [10, 10, 10]
    assert bits(made) == bits(alone)
    assert sum("counts as ended" in line for line in said) == 1


def test_after_a_restart_what_was_ended_is_not_trained_again(start: Start, data: Any, model: Model) -> None:
    start()
    first = model()
    rounds(first, data, 2)
    expected = first.fit(*data, epochs=2, batch_size=8, verbose=0).history
    start()
    made, counter = model(), Count()
    for _ in range(2):
        made.fit(*data, epochs=6, batch_size=8, verbose=0, callbacks=[StopAfter(1), counter])
    history = made.fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=[counter]).history
    assert counter.steps() == 0
    assert history == expected
    assert bits(made) == bits(first)


def test_a_rerun_of_the_cell_resumes(start: Start, data: Any, model: Model, said: list[str]) -> None:
    handle = start()
    made = model()
    rounds(made, data, 1)
    run_cell(handle, handle._tracker.cells.cell)
    counter = Count()
    made.fit(*data, epochs=6, batch_size=8, verbose=0, callbacks=[counter])
    assert counter.steps() == 4 * 5
    assert any("resuming at epoch 2/6, after 5 batches" in line for line in said)


def test_a_call_that_raised_before_its_first_step_is_none(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    made = model()
    made.fit(*data, epochs=1, batch_size=8, verbose=0)

    class Refuses(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            raise Enough

    with pytest.raises(Enough):
        made.fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=[Refuses()])
    counter = Count()
    made.fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=[counter])
    assert counter.steps() == 10
    assert not any("no sound checkpoint" in line for line in said)
    start()
    again, counter = model(), Count()
    again.fit(*data, epochs=1, batch_size=8, verbose=0, callbacks=[counter])
    again.fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=[counter])
    assert counter.steps() == 0
    assert bits(again) == bits(made)


def test_a_replay_that_raises_counts_too(start: Start, data: Any, model: Model) -> None:
    class Refuses(keras.callbacks.Callback):
        def on_train_end(self, logs: Any = None) -> None:
            raise Enough

    def program() -> tuple[Any, int]:
        made, counter = model(), Count()
        for epochs in (2, 3):
            with pytest.raises(Enough):
                made.fit(*data, epochs=epochs, batch_size=8, verbose=0, callbacks=[counter, Refuses()])
        return made, counter.steps()

    start()
    first, steps = program()
    assert steps == 25
    first.fit(*data, epochs=1, batch_size=8, verbose=0)
    start()
    made, steps = program()
    assert steps == 0
    made.fit(*data, epochs=1, batch_size=8, verbose=0, callbacks=[At(1, pytest.fail)])
    assert bits(made) == bits(first)
