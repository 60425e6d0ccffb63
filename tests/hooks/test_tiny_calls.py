"""Thousands of short calls: milestones at the schedule's pace, no call repeated before the newest one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import colab_bootstrap
from helpers.training import Model, Start, bits
from holdfast.hooks.handle import Handle


@pytest.fixture
def batch(data: Any) -> tuple[Any, Any]:
    """One step's worth of data."""
    return data[0][:8], data[1][:8]


@pytest.fixture(autouse=True)
def no_call_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine."""
    monkeypatch.setattr("holdfast.hooks.saving.LONG_CALL_SECONDS", float("inf"))
    monkeypatch.setattr("holdfast.runtime.schedule.REFILL_SECONDS", float("inf"))


def begun(start: Start, milestones: int) -> Handle:
    """A runtime that writes only so many milestones of short calls at once."""
    handle = start()
    handle._tracker.saving._burst.left = float(milestones)
    return handle


def kill(handle: Handle) -> None:
    """What is not in the spool is lost."""
    handle._session.flush()
    handle._session.closed = True
    colab_bootstrap.stop()
    handle._session.closed = False
    handle._session.close()


class Steps(keras.callbacks.LambdaCallback):
    """Counts steps where no restore puts the count back."""

    def __init__(self) -> None:
        seen: list[int] = []
        super().__init__(on_train_batch_end=lambda batch, logs: seen.append(batch))
        self.count = seen.__len__


def calls(model: Any, data: Any, count: int) -> tuple[list[int], list[dict[str, list[float]]]]:
    """Makes one call after another; the numbers of those that trained, and their Histories."""
    trained, histories = [], []
    for number in range(count):
        counter = Steps()
        histories.append(model.fit(*data, batch_size=8, verbose=0, callbacks=[counter]).history)
        if counter.count():
            trained.append(number)
    return trained, histories


def test_after_a_kill_no_call_before_the_newest_checkpoint_is_repeated(
    start: Start, batch: Any, model: Model, said: list[str]
) -> None:
    alone = model()
    _, expected = calls(alone, batch, 40)
    handle = begun(start, milestones=3)
    calls(model(), batch, 30)
    handle.checkpoint()  # as the schedule would
    kill(handle)
    handle = begun(start, milestones=3)
    made = model()
    trained, histories = calls(made, batch, 40)
    assert trained == list(range(30, 40))
    assert bits(made) == bits(alone)
    assert histories == expected
    assert any("calls 4 to 29 of this model are done and not repeated" in line for line in said)


def test_data_that_differ_from_call_to_call_are_no_change(start: Start, batch: Any, model: Model) -> None:
    handle = begun(start, milestones=3)
    stream = np.random.Generator(np.random.PCG64(5))
    first = model()
    for _ in range(25):
        first.fit(stream.normal(size=(8, 4)).astype("float32"), batch[1], batch_size=8, verbose=0)
    handle.checkpoint()
    kill(handle)
    begun(start, milestones=3)
    made = model()
    counter = Steps()
    for _ in range(25):
        other = stream.normal(size=(8, 4)).astype("float32")
        made.fit(other, batch[1], batch_size=8, verbose=0, callbacks=[counter])
    assert counter.count() == 0
    assert bits(made) == bits(first)


def test_the_ends_of_many_small_models_share_a_checkpoint_and_are_all_replayed(
    start: Start, batch: Any, model: Model
) -> None:
    handle = begun(start, milestones=3)
    expected = []
    for number in range(12):
        made = model(units=3 + number % 2)
        made.fit(*batch, batch_size=8, verbose=0)
        expected.append(bits(made))
    handle.checkpoint()
    kill(handle)
    assert len(handle._session.spool.stems()) <= 3 + 1
    begun(start, milestones=3)
    for number in range(12):
        made, counter = model(units=3 + number % 2), Steps()
        made.fit(*batch, batch_size=8, verbose=0, callbacks=[counter])
        assert counter.count() == 0
        assert bits(made) == expected[number]


def test_what_is_kept_is_written_at_the_end_of_the_session(start: Start, batch: Any, model: Model) -> None:
    begun(start, milestones=1)
    first = model()
    calls(first, batch, 5)
    begun(start, milestones=1)
    made = model()
    assert calls(made, batch, 5)[0] == []
    assert bits(made) == bits(first)


def test_a_long_call_has_its_milestone_at_once(
    start: Start, batch: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.hooks.saving.LONG_CALL_SECONDS", 0.0)
    handle = begun(start, milestones=0)
    calls(model(), batch, 3)
    kill(handle)
    begun(start, milestones=0)
    assert calls(model(), batch, 3)[0] == []


def test_the_more_calls_there_are_the_longer_is_a_long_one(
    start: Start, batch: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each milestone's manifest holds the whole journal."""
    monkeypatch.setattr("holdfast.hooks.saving.LONG_CALL_SECONDS", 0.001)
    monkeypatch.setattr("holdfast.hooks.saving.LONG_CALLS", 1e-6)
    handle = begun(start, milestones=0)
    calls(model(), batch, 3)
    handle._session.flush()
    assert handle._session.spool.stems() == []
    handle.stop()
    assert len(handle._session.spool.stems()) == 1


def test_nothing_kept_keeps_a_model_alive(start: Start, batch: Any, model: Model) -> None:
    import gc
    import weakref

    begun(start, milestones=0)
    made = model()
    calls(made, batch, 2)
    gone = weakref.ref(made)
    del made
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None
