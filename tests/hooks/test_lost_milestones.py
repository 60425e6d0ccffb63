"""A finished training whose milestone is not to be had goes on from what there is."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from helpers.training import At, Count, Model, Start, bits
from holdfast.hooks.handle import Handle
from holdfast.runtime.files import write_at


@pytest.fixture(autouse=True)
def every_call_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that milestones are written at once, and states between epochs held, however fast the machine."""
    monkeypatch.setattr("holdfast.hooks.saving.LONG_CALL_SECONDS", 0.0)
    monkeypatch.setattr("holdfast.hooks.training_call.HOLD_SECONDS", 0.0)


def steps(made: Any, data: Any, epochs: int = 4, *callbacks: Any) -> int:
    counter = Count()
    made.fit(*data, epochs=epochs, batch_size=8, verbose=0, callbacks=[counter, *callbacks])
    return counter.steps()


def manifests(handle: Handle) -> list[Path]:
    handle._session.flush()
    return sorted(handle._session.spool.manifests.glob("*.json"))


def lose_store(tmp_path: Path) -> None:
    (tmp_path / "store").rename(tmp_path / "gone")


def test_one_that_is_damaged_gives_way_to_the_newest_checkpoint(
    start: Start, data: Any, model: Model, said: list[str], tmp_path: Path
) -> None:
    handle = start()
    first = model()
    steps(first, data, 4, At(12, handle.checkpoint))
    milestone = manifests(handle)[-1]
    assert handle.wait()  # nothing is left that the daemon would upload later
    handle.stop()
    milestone.write_bytes(milestone.read_bytes()[:100])
    lose_store(tmp_path)
    start()
    made = model()
    assert steps(made, data) == 8
    assert bits(made) == bits(first)
    assert any("resuming at epoch 3/4, after 2 batches" in line for line in said)


def test_where_a_later_call_was_saved_its_state_is_taken(
    start: Start, data: Any, model: Model, tmp_path: Path
) -> None:
    handle = start()
    first = model()
    steps(first, data, 1)
    milestone = manifests(handle)[-1]
    steps(first, data, 2)
    assert handle.wait()  # nothing is left that the daemon would upload later
    handle.stop()
    milestone.unlink()
    lose_store(tmp_path)
    start()
    made = model()
    assert steps(made, data, 1) == 0
    assert steps(made, data, 2) == 0
    assert bits(made) == bits(first)


def fill_disk(handle: Handle, monkeypatch: pytest.MonkeyPatch, times: int) -> list[OSError]:
    """Has the disk be full so many times once a first call is done, each time after some tensors."""
    failures = [OSError(errno.ENOSPC, "No space left on device") for _ in range(times)]

    written: list[int] = []

    def full(descriptor: int, view: memoryview, offset: int) -> None:
        if handle._session.journal.slots[0].calls[0].status == "done" and failures:
            written.append(offset)
            if len(written) % 5 == 0:
                raise failures.pop()
        write_at(descriptor, view, offset)

    monkeypatch.setattr("holdfast.runtime.spool_object.write_at", full)
    return failures


def test_one_for_which_there_is_no_room_is_written_once_more(
    start: Start, data: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = start()
    failures = fill_disk(handle, monkeypatch, 1)
    first = model()
    steps(first, data, 4, At(12, handle.checkpoint))
    handle._session.flush()
    assert not failures
    start()
    made = model()
    assert steps(made, data) == 0
    assert bits(made) == bits(first)


def test_one_that_was_never_written_gives_way_too_though_another_model_was_saved_since(
    start: Start, data: Any, model: Model, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    handle = start()
    failures = fill_disk(handle, monkeypatch, 2)
    first = model()
    steps(first, data, 4, At(12, handle.checkpoint))
    handle._session.flush()
    assert not failures
    steps(model(units=5), data, 1)
    start()
    made = model()
    assert steps(made, data) == 8
    assert bits(made) == bits(first)
    assert any("is not to be had" in line for line in said)
    assert any("resuming at epoch 3/4, after 2 batches" in line for line in said)
    assert steps(model(units=5), data, 1) == 0


class Wrong(Exception):
    """An error in the user's code."""


def raising(error: type[BaseException]) -> keras.callbacks.Callback:
    def on_train_end(logs: Any) -> None:
        raise error

    return keras.callbacks.LambdaCallback(on_train_end=on_train_end)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Wrong])
def test_an_error_at_the_end_of_training_costs_no_step(
    start: Start, data: Any, model: Model, said: list[str], error: type[BaseException]
) -> None:
    start()
    first = model()
    with pytest.raises(error):
        steps(first, data, 4, raising(error))
    start()
    made, ended = model(), list[int]()
    end = keras.callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(1))
    assert steps(made, data, 4, end) == 0
    assert ended == [1]
    assert bits(made) == bits(first)
    assert any("all 4 epochs are trained" in line for line in said)
    start()
    assert steps(model(), data, 4) == 0
    assert "no step is trained" in said[-1]


def test_one_that_had_stopped_itself_is_not_trained_on(start: Start, data: Any, model: Model) -> None:
    def stops(made: Any) -> keras.callbacks.Callback:
        def on_epoch_end(epoch: int, logs: Any) -> None:
            made.stop_training = epoch == 1

        return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)

    start()
    first = model()
    with pytest.raises(Wrong):
        steps(first, data, 4, stops(first), raising(Wrong))
    start()
    made = model()
    assert steps(made, data, 4, stops(made)) == 0
    assert made.stop_training
    assert bits(made) == bits(first)
    start()
    assert steps(model(), data, 9) == 0


def test_an_interrupt_while_the_milestone_is_handed_over_comes_after_it(
    start: Start, data: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = start()
    submit: Callable[..., None] = handle._session._writer.submit

    def interrupted(*snapshot: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        submit(*snapshot)

    monkeypatch.setattr(handle._session._writer, "submit", interrupted)
    first = model()
    with pytest.raises(KeyboardInterrupt):
        steps(first, data)
    start()
    made = model()
    assert steps(made, data) == 0
    assert bits(made) == bits(first)
