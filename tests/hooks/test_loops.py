"""What loops with `resumable` do about their past, in one process."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tqdm import tqdm

import colab_bootstrap
from colab_bootstrap import resumable
from helpers.loops import Act, Notebook, Program, at, interrupt, interrupted, nothing
from helpers.training import Start
from holdfast.hooks import resumable as module


def test_without_a_runtime_it_is_a_plain_iterator() -> None:
    colab_bootstrap.stop()
    assert list(resumable([3, 1])) == [3, 1]
    assert len(resumable(range(4))) == 4  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        len(resumable(iter([])))  # type: ignore[arg-type]


def test_an_interrupt_waits_for_the_item_and_the_loop_goes_on_at_the_next(
    start: Start, said: list[str]
) -> None:
    alone = Program()
    expected = alone.run()
    start()
    interrupted(Program(), step=7)
    start()
    program = Program()
    assert program.run() == expected
    assert program.steps == 15 - 7
    assert program.items == [1, 2]
    assert any(
        "resuming the loop at item 2/3, after 2 items" in line and "%holdfast fresh" in line for line in said
    )


def test_it_goes_on_in_the_same_process_with_the_same_objects(start: Start) -> None:
    expected = Program().run()
    start()
    program = Program()
    interrupted(program, step=7)
    assert program.run() == expected
    assert program.steps == 15


def test_an_unbuilt_model_takes_a_first_step_that_leaves_no_trace(start: Start) -> None:
    expected = Program(built=False, optimizer="Adam").run()
    start()
    interrupted(Program(built=False, optimizer="Adam"), step=7)
    start()
    program = Program(built=False, optimizer="Adam")
    assert program.run() == expected
    assert program.steps == 15 - 7 + 1


def test_a_loop_that_is_done_is_replayed_without_an_item(start: Start, said: list[str]) -> None:
    start()
    expected = Program().run()
    start()
    program = Program()
    assert program.run() == expected
    assert program.steps == 0
    assert any("this loop is done" in line for line in said)


def test_a_loop_that_is_done_is_replayed_by_an_unbuilt_model_with_one_step(start: Start) -> None:
    start()
    expected = Program(built=False).run()
    start()
    program = Program(built=False)
    assert program.run() == expected
    assert program.steps == 1


def test_done_with_more_items_asked_it_runs_the_rest(start: Start, said: list[str]) -> None:
    expected = Program().run(5)
    start()
    Program().run(3)
    start()
    program = Program()
    assert program.run(5) == expected
    assert program.items == [3, 4]
    assert any("3 items of the loop are done" in line for line in said)


def test_done_with_the_same_live_objects_it_runs_again(start: Start) -> None:
    start()
    program = Program()
    program.run()
    program.run()
    assert program.steps == 30


def test_done_with_another_definition_a_new_experiment_begins(start: Start, said: list[str]) -> None:
    start()
    Program().run()
    handle = start()
    program = Program(rate=0.5)
    program.run()
    assert program.steps == 15
    assert any("so a new one begins" in line and "learning_rate" in line for line in said)
    handle.continue_changed()
    continued = Program(rate=0.5)
    continued.run(5)
    assert continued.items == [3, 4]


def test_open_with_another_definition_the_weights_are_resumed(start: Start, said: list[str]) -> None:
    start()
    first = Program()
    interrupted(first, step=7)
    start()
    program = Program(rate=0.5)
    program.run(3, at(1, lambda: None))
    assert program.items == [1, 2]
    assert program.steps == 10
    assert float(program.optimizer.learning_rate.numpy()) == 0.5
    assert int(program.optimizer.iterations.numpy()) == 7 + 10
    assert any("learning_rate" in line and "resuming the weights" in line for line in said)


def test_an_optimizer_that_comes_after_the_first_snapshot_is_no_change(start: Start, said: list[str]) -> None:
    expected = Program().run()
    handle = start()
    handle.checkpoint()  # before the first step: the metric alone was used by then
    interrupted(Program(), 7)
    start()
    program = Program()
    assert program.run() == expected
    assert any("resuming the loop" in line for line in said)


def test_another_structure_begins_anew(start: Start, said: list[str]) -> None:
    start()
    interrupted(Program(), step=7)
    start()
    program = Program(units=4)
    program.run()
    assert program.steps == 15
    assert any("structure of what this loop trains changed" in line for line in said)


def test_fresh_begins_anew(start: Start) -> None:
    start()
    Program().run()
    handle = start()
    handle.fresh()
    program = Program()
    program.run()
    assert program.steps == 15


def test_an_error_in_an_item_leaves_the_last_snapshot(start: Start) -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    expected = Program().run()
    handle = start()
    program = Program()
    with pytest.raises(ValueError, match="on purpose"):
        program.run(3, lambda step: handle.checkpoint() if step == 6 else at(9, fail)(step))
    start()
    again = Program()
    assert again.run() == expected
    assert again.steps == 15 - 6


def test_a_loop_broken_off_is_done(start: Start) -> None:
    start()
    first = Program()
    for x in resumable(first.data):
        first.step(x)
        if first.optimizer.iterations.numpy() == 2:
            break
    start()
    program, count = Program(), 0
    for x in resumable(program.data):
        program.step(x)
        count += 1
    assert count == 0
    assert program.bits() == first.bits()


def test_a_loop_left_by_an_error_is_not_done(start: Start) -> None:
    handle = start()
    first = Program()
    with pytest.raises(ZeroDivisionError):
        for number, x in enumerate(resumable(first.data)):
            first.step(x)
            if number == 1:
                handle.checkpoint()
            if number == 3:
                number // 0
    start()
    program, seen = Program(), []
    for number, x in enumerate(resumable(program.data)):
        program.step(x)
        seen.append(number)
    assert seen == [2, 3, 4]


def test_loops_one_after_another_have_each_their_past(start: Start) -> None:
    def both(program: Program, act: Act = nothing) -> list[bytes]:
        program.run(1)
        program.optimizer.learning_rate = 0.01
        return program.run(2, act)

    expected = both(Program())
    start()
    with pytest.raises(KeyboardInterrupt):
        both(Program(), at(8, interrupt))
    start()
    program = Program()
    assert both(program) == expected
    assert program.steps == 15 - 8


def test_two_models_of_one_structure_are_told_apart(start: Start) -> None:
    def both(act: Act = nothing) -> tuple[list[bytes], list[bytes], int]:
        one, other = Program(), Program()
        other.model.set_weights([weight * 2 for weight in one.model.get_weights()])
        one.run(1)
        other.run(2, act)
        return one.bits(), other.bits(), one.steps + other.steps

    expected = both()
    start()
    with pytest.raises(KeyboardInterrupt):
        both(at(7, interrupt))
    start()
    found = both()
    assert found[:2] == expected[:2]
    assert found[2] == 3


def test_nothing_of_ours_keeps_objects_alive(start: Start) -> None:
    start()
    program = Program()
    program.run(1)
    gone = weakref.ref(program.model), weakref.ref(program.optimizer), weakref.ref(program.metric)
    del program
    keras.backend.clear_session()
    gc.collect()
    assert [one() for one in gone] == [None, None, None]


def test_the_generators_in_the_codes_variables_go_on_too(start: Start) -> None:
    def run(act: Act = nothing) -> tuple[float, list[float]]:
        rng, drawn = np.random.default_rng(5), []
        total = tf.Variable(0.0)
        for epoch in resumable(range(3)):
            offset = rng.random()
            for number in resumable(range(4)):
                total.assign_add(offset + rng.random())
                drawn.append(offset)
                act(epoch * 4 + number)
        return float(total.numpy()), drawn

    expected, offsets = run()
    start()
    with pytest.raises(KeyboardInterrupt):
        run(at(5, interrupt))
    start()
    found, drawn = run()
    assert found == expected
    assert drawn == offsets[6:]


def test_a_generator_that_cannot_go_back_is_run_again_to_its_place(start: Start, said: list[str]) -> None:
    def run(act: Act = nothing) -> tuple[float, list[int]]:
        def numbers() -> Iterator[int]:
            yield from range(6)

        total, seen = tf.Variable(0.0), []
        for number in resumable(numbers()):
            total.assign(total * 2 + number)
            seen.append(number)
            act(number)
        return float(total.numpy()), seen

    expected, _ = run()
    start()
    with pytest.raises(KeyboardInterrupt):
        run(at(2, interrupt))
    start()
    found, seen = run()
    assert (found, seen) == (expected, [3, 4, 5])


def test_what_is_zipped_before_it_has_the_loop_begin_over(start: Start, said: list[str]) -> None:
    def run(act: Act = nothing) -> list[tuple[int, int]]:
        total, seen = tf.Variable(0.0), []
        for number, item in zip(range(5), resumable([5, 6, 7, 8, 9]), strict=True):
            total.assign_add(item)
            seen.append((number, item))
            act(number)
        return seen

    start()
    with pytest.raises(KeyboardInterrupt):
        run(at(2, interrupt))
    start()
    assert run() == [(0, 5), (1, 6), (2, 7), (3, 8), (4, 9)]
    assert any("resumable(zip(...))" in line for line in said)


def test_a_damaged_checkpoint_is_passed_over(start: Start, tmp_path: Path, said: list[str]) -> None:
    expected = Program().run()
    handle = start()
    program = Program()
    program.run(1, at(3, handle.checkpoint))
    handle._session.flush()
    interrupted(program, step=5 + 4, epochs=2)
    assert handle.wait()  # the daemon could otherwise upload it while it is being damaged
    colab_bootstrap.stop()
    for path in sorted(tmp_path.rglob("*.safetensors")):
        if "-000003-" in path.name:
            path.write_bytes(path.read_bytes()[:-50] + b"x" * 50)
    start()
    again = Program()
    again.run(1)
    assert any("damaged" in line for line in said)
    assert again.bits() != expected


def test_the_module_lets_go_of_a_runtime_that_has_stopped(start: Start) -> None:
    start()
    assert module.followed_by() is not None
    iterator = iter(resumable(range(3)))
    assert next(iterator) == 0
    colab_bootstrap.stop()
    assert module.followed_by() is None
    assert list(iterator) == [1, 2]


def test_fresh_for_one_model_has_its_loop_begin_anew(start: Start) -> None:
    start()
    Program().run(1)
    handle = start()
    program = Program()
    handle.fresh(program.model)
    program.run(1)
    assert program.steps == 5


def test_objects_from_before_the_start_are_followed_too(start: Start) -> None:
    start()
    first = Program()
    expected = first.run()
    program = Program()
    start()
    assert program.run() == expected
    assert program.steps == 0


def test_objects_that_nobody_holds_any_more_are_taken_for_no_others(start: Start) -> None:
    gc.disable()
    try:
        start()
        Program().run()  # goes, and stays until the next collection
        program = Program()
        start()
        program.run()
        assert program.steps == 0
    finally:
        gc.enable()


def test_of_objects_from_before_the_start_the_newest_count_whatever_the_collector_made_of_their_order(
    start: Start,
) -> None:
    start()
    made = [Program()]
    expected = made[0].run()
    for _ in range(5):
        gc.collect()
        made.append(Program())
    start()
    assert made[-1].run() == expected
    assert made[-1].steps == 0


def test_in_cells_a_loop_goes_on_with_new_objects_and_runs_again_with_the_same(start: Start) -> None:
    expected = Program().run()
    notebook = Notebook(start()._tracker.cells)
    made: list[Program] = []

    def build() -> None:
        made.append(Program())

    def train(act: Act = nothing) -> None:
        made[-1].run(3, act)

    notebook.run("a", build)
    with pytest.raises(KeyboardInterrupt):
        notebook.run("b", lambda: train(at(7, interrupt)))
    notebook.run("a", build)
    notebook.run("b", train)
    assert made[-1].bits() == expected
    assert made[-1].steps == 15 - 7
    notebook.run("b", train)
    assert made[-1].steps == 15 - 7 + 15
    after = made[-1].bits()
    notebook.run("a", build)
    notebook.run("b", train)
    assert (made[-1].bits(), made[-1].steps) == (expected, 0)
    notebook.run("b", train)
    assert (made[-1].bits(), made[-1].steps) == (after, 0)


def test_a_progress_bar_is_its_owners_again(start: Start) -> None:
    start()
    bar = tqdm(range(4), disable=True)
    for _ in range(2):
        assert list(resumable(bar)) == [0, 1, 2, 3]
    assert len(bar) == 4
    bar = tqdm(range(4), file=io.StringIO())
    assert [next(iter(resumable(bar))), list(bar)] == [0, [0, 1, 2, 3]]


def test_what_the_function_around_a_loop_lets_go_of_is_gone(start: Start) -> None:
    start()
    program = Program()
    for _ in resumable(range(2)):
        program.step(np.ones((2, 2), "float32"))
    gone = weakref.ref(program.model)
    del program
    gc.collect()
    assert gone() is None
