"""A real training under the schedule's own budget."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from helpers.training import Model, Start
from holdfast.hooks import capture
from holdfast.hooks.handle import Handle

SLOW = 0.12
MOST_STEPS = 100_000
"""Of some milliseconds: what has not come by then never does."""


def train_until(model: Any, data: Any, done: Callable[[], bool]) -> int:
    """Trains until that is so; how many steps that took."""
    steps = 0

    class Stopper(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            nonlocal steps
            steps += 1
            assert steps < MOST_STEPS, "what it trains for never came"
            if steps % 50 == 0 and done():
                self.model.stop_training = True

    model.fit(*data, batch_size=1, epochs=1_000_000, verbose=0, callbacks=[Stopper()])
    return steps


@pytest.fixture
def data(data: Any) -> Any:
    """Epochs of seconds: an epoch's end is no step, and what takes all the time is not to be that."""
    return tuple(np.concatenate([one] * 100) for one in data)


def snapshots(handle: Handle) -> int:
    """How many this session has taken."""
    return handle._session.next_stem().sequence - 1


def test_a_slow_save_stretches_the_interval_and_that_is_said_once(
    start: Start, model: Model, data: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    references = capture.references

    def slowly(*arguments: Any, **named: Any) -> Any:
        time.sleep(SLOW)
        return references(*arguments, **named)

    monkeypatch.setattr(capture, "references", slowly)
    handle = start(snapshot_seconds=1.0, persist_seconds=60.0, overhead_percent=1)
    train_until(model(), data, lambda: bool(handle.status().schedule_problem))
    status = handle.status()
    schedule = status.schedule
    assert schedule is not None and schedule.stall is not None and schedule.snapshot_cost is not None
    assert SLOW <= schedule.stall <= schedule.snapshot_cost
    assert schedule.plan.snapshot_seconds >= 100 * SLOW
    assert schedule.overhead is not None and schedule.overhead > 0.01  # three were taken to learn that
    line = status.schedule_problem
    assert line in " ".join(str(status).split())  # wrapped to a width
    assert re.match(r"a snapshot costs 0\.\d\d s of training: ", line)
    assert "with at most 1 % overhead a killed kernel may lose" in line
    assert "rather than 1.0 s; overhead_percent: " in line
    told = [one for one in said if "a killed kernel may lose" in one]
    assert len(told) == 1
    taken = snapshots(handle)
    began = time.monotonic()
    train_until(model(), data, lambda: time.monotonic() - began > 5.0)
    assert snapshots(handle) == taken + 1  # the end of the call, which the schedule has no part in


def test_the_defaults_keep_bounds_and_budget_of_a_small_training(start: Start, model: Model, data: Any) -> None:
    handle = start(snapshot_seconds=15.0, persist_seconds=120.0, overhead_percent=1)
    train_until(model(), data, lambda: snapshots(handle) >= 2)
    handle._session.flush()
    handle._session._look_once()
    status = handle.status()
    schedule = status.schedule
    assert schedule is not None and schedule.overhead is not None
    assert schedule.snapshot_cost is not None and schedule.snapshot_cost < 1.0
    assert schedule.plan.overhead <= 0.01
    assert schedule.plan.snapshot_seconds <= 15.0
    # As measured, after two snapshots on a machine that may do other things: near it at the least.
    assert schedule.overhead <= 0.05
    assert not status.schedule_problem
    assert "snapshots every" in str(status)


def test_without_a_budget_the_intervals_are_what_was_asked_for(start: Start, model: Model, data: Any) -> None:
    handle = start(snapshot_seconds=0.3, persist_seconds=60.0, overhead_percent=0)
    train_until(model(), data, lambda: snapshots(handle) >= 3)
    schedule = handle.status().schedule
    assert schedule is not None
    assert (schedule.plan.snapshot_seconds, schedule.plan.persist_seconds) == (0.3, 60.0)
