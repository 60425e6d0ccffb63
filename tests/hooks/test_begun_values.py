"""What a callback's `on_train_begin` sets: times and paths are this process's, all else is the training's."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from helpers.training import At, Model, Start, bits


def interrupt() -> None:
    raise KeyboardInterrupt


def fit(model: Any, data: Any, *callbacks: Any, epochs: int = 4) -> Any:
    return model.fit(*data, epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks))


def interrupted(model: Any, data: Any, *callbacks: Any, step: int = 8) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, *callbacks, At(step, interrupt))


class TimeStopping(keras.callbacks.Callback):
    """Stops when a time is reached, as TensorFlow Addons' callback of that name does."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.seconds, self._now = seconds, clock
        self.stopping_time = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self.stopping_time = self._now() + self.seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._now() >= self.stopping_time:
            self.model.stop_training = True


@pytest.mark.parametrize("clock", [time.time, time.monotonic])
def test_a_time_to_stop_at_is_the_one_of_the_process_that_trains(
    start: Start, data: Any, model: Model, clock: Callable[[], float]
) -> None:
    start()
    interrupted(model(), data, TimeStopping(0.0, clock), step=3)
    start()
    made = model()
    history = fit(made, data, TimeStopping(3600.0, clock))
    assert len(history.epoch) == 4


class InFolder(keras.callbacks.Callback):
    """Writes into a folder that it makes anew for each training."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="holdfast-test-")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        (Path(self.folder) / str(epoch)).write_text("")

    def on_train_end(self, logs: Any = None) -> None:
        shutil.rmtree(self.folder)


def test_a_folder_that_was_lost_with_its_machine_is_not_written_to(
    start: Start, data: Any, model: Model
) -> None:
    start()
    lost = InFolder()
    interrupted(model(), data, lost)
    shutil.rmtree(lost.folder)
    start()
    fit(model(), data, InFolder())


class Anchor(keras.callbacks.Callback):
    """Remembers at the beginning what is the training's own."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.weights = [np.array(one) for one in self.model.get_weights()]
        self.first_step = int(self.model.optimizer.iterations)
        self.order = np.random.default_rng().permutation(100)
        self.drawn = float(np.random.default_rng().normal())
        self.title = f"training {np.random.default_rng().integers(1 << 30)}"


def test_what_else_it_sets_is_the_one_of_the_training(start: Start, data: Any, model: Model) -> None:
    handle = start()
    made, first = model(), Anchor()
    interrupted(made, data, first)
    handle._tracker.cells.execution += 1  # the cell is run again
    second = Anchor()
    interrupted(made, data, second, step=9)
    start()
    third = Anchor()
    fit(model(), data, third)
    for one in (second, third):
        assert one.first_step == 0
        assert (one.drawn, one.title) == (first.drawn, first.title)
        assert np.array_equal(one.order, first.order)
        assert all(map(np.array_equal, one.weights, first.weights))


class Counting(keras.callbacks.Callback):
    """Counts the steps of a training from nought, also where it was used before."""

    def __init__(self, count: int = 0) -> None:
        super().__init__()
        self.count, self.seen = count, 0

    def on_train_begin(self, logs: Any = None) -> None:
        self.count = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count += 1


def test_a_value_that_comes_to_be_what_it_was_before_the_training_is_restored_too(
    start: Start, data: Any, model: Model
) -> None:
    start()
    interrupted(model(), data, Counting(count=8))
    start()
    counting = Counting()
    fit(model(), data, counting)
    assert counting.count == 20


def test_what_was_restored_is_saved_again(start: Start, data: Any, model: Model) -> None:
    class Once(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.value = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) == 1:
                self.value = 8

    start()
    once = Once()
    interrupted(model(), data, once, step=3)
    start()
    interrupted(model(), data, once, step=4)  # the same object begins with what it ended with
    start()
    last = Once()
    fit(model(), data, last)
    assert last.value == 8


def test_early_stopping_ends_as_without_interruption(start: Start, data: Any, model: Model) -> None:
    def stopping() -> Any:
        return keras.callbacks.EarlyStopping(
            monitor="loss", mode="max", patience=3, restore_best_weights=True, start_from_epoch=1
        )

    alone, wanted = model(), stopping()
    expected = fit(alone, data, wanted, epochs=20)
    start()
    for step in (4, 8):
        interrupted(model(), data, stopping(), step=step)
        start()
    made, got = model(), stopping()
    history = fit(made, data, got, epochs=20)
    assert history.history == expected.history
    assert bits(made) == bits(alone)
    assert (got.wait, got.best, got.best_epoch, got.stopped_epoch) == (
        wanted.wait,
        wanted.best,
        wanted.best_epoch,
        wanted.stopped_epoch,
    )
