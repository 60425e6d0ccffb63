"""Several models in one execution of a cell: none takes what another was trained to, nor loses its own."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from helpers.loops import Notebook
from helpers.training import Model, Start, bits
from holdfast.hooks.handle import Handle
from holdfast.hooks.tf1_followed import Sessions

Run = Callable[[str], None]


class Pruned(Exception):
    """What a search for hyperparameters raises to end a trial."""


def prune() -> None:
    raise Pruned


def stop() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def run(start: Start) -> Run:
    """Begins an execution of a cell."""
    notebook = Notebook(start()._tracker.cells)
    return lambda cell: notebook.run(cell, lambda: None)


def steps(model: Any, data: Any, *, at: int = 0, action: Callable[[], None] = prune) -> int:
    """Trains, perhaps not to the end; the steps done."""
    seen: list[int] = []  # no attribute of the callback: a restore would put it back

    def count(batch: int, logs: Any) -> None:
        seen.append(batch)
        if len(seen) == at:
            action()

    counter = keras.callbacks.LambdaCallback(on_train_batch_end=count)
    with contextlib.suppress(Pruned, KeyboardInterrupt):
        model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[counter])
    return len(seen)


def test_the_next_trial_begins_as_its_code_made_it_where_the_one_before_was_pruned(
    run: Run, data: Any, model: Model
) -> None:
    alone = model()
    steps(alone, data)
    keras.backend.clear_session()
    run("search")
    first = model()
    assert steps(first, data, at=7) == 7
    del first
    gc.collect()
    second = model()
    assert steps(second, data) == 10
    assert bits(second) == bits(alone)


def test_a_training_that_the_user_interrupted_goes_on_even_in_the_same_execution(
    run: Run, data: Any, model: Model
) -> None:
    run("search")
    first = model()
    assert steps(first, data, at=7, action=stop) == 7
    del first
    gc.collect()
    assert steps(model(), data) == 3


def test_where_only_the_cell_of_the_second_model_is_run_again_it_does_not_take_the_first_ones_place(
    run: Run, data: Any, model: Model
) -> None:
    run("teacher")
    teacher = model()
    run("both")
    assert steps(teacher, data) == 10
    student = model(rate=0.02)
    assert steps(student, data) == 10
    learned = bits(student)
    run("both")
    assert steps(teacher, data) == 10  # the same live object: plain Keras trains on
    student = model(rate=0.02)
    assert steps(student, data) == 0
    assert bits(student) == learned


def test_a_model_that_is_still_used_keeps_its_slot_however_it_is_used(
    run: Run, start: Start, data: Any, model: Model
) -> None:
    run("teacher")
    teacher = model()
    run("both")
    teacher.predict(data[0], verbose=0)
    student = model()
    assert steps(student, data) == 10
    learned = bits(student)
    run("both")
    teacher.predict(data[0], verbose=0)
    student = model()
    assert steps(student, data) == 0
    assert bits(student) == learned


def test_a_model_from_a_file_trains_on_in_a_cell_that_never_trained_it(
    run: Run, data: Any, model: Model, tmp_path: Path
) -> None:
    run("day one")
    made = model()
    assert steps(made, data) == 10
    made.save(tmp_path / "made.keras")
    del made
    gc.collect()
    trained = []
    for _ in range(2):
        run("day two")
        trained.append(steps(keras.models.load_model(tmp_path / "made.keras"), data))
        gc.collect()
    assert trained == [10, 0]  # run once more, that cell replays its own


def test_a_snapshot_of_others_and_a_session_of_tf1_in_another_thread_do_not_wait_for_each_other(
    start: Start,
) -> None:
    handle: Handle = start()
    sessions = Sessions(handle._tracker)
    saving, entered = handle._tracker.saving, threading.Event()

    def run_a_session() -> None:
        entered.set()
        with sessions.ours(), saving.alone():
            pass

    other = threading.Thread(target=run_a_session)
    with saving.alone():
        other.start()
        entered.wait()
        while not (other.is_alive() and _waits(other)):
            pass
        assert sessions._lock.acquire(timeout=60), "the other thread holds it, and waits for what we hold"
        sessions._lock.release()
    other.join()


def _waits(thread: Any) -> bool:
    """Whether a thread stands at a lock."""
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code.co_name in ("alone", "__enter__")
