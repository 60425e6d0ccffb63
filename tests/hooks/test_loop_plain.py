"""Loops without `resumable`: their state is saved and restored, their place is not."""

from __future__ import annotations

import gc
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.loops import Act, Notebook, Program, eagerly, interrupt, nothing
from helpers.training import Model, Start
from holdfast.hooks.handle import Handle


def plain(program: Program, epochs: int = 2) -> list[bytes]:
    step = tf.function(program.step)
    for _ in range(epochs):
        for x in program.data:
            step(x)
            program.steps += 1
    return program.bits()


@pytest.mark.parametrize("built", [True, False])
def test_without_resumable_the_state_is_restored_and_the_whole_range_runs(
    start: Start, said: list[str], built: bool
) -> None:
    start(snapshot_seconds=0.05)
    first = Program(built=built)
    plain(first)
    start()
    program = Program(built=built)
    plain(program)
    assert program.steps == 10
    # What is made by its first step is restored after it, in its effect's stead.
    assert int(program.optimizer.iterations.numpy()) == (20 if built else 19)
    assert sum("its place is not" in line and "resumable" in line for line in said) == 1


def test_a_loop_that_is_given_resumable_has_its_state(start: Start) -> None:
    start()
    first = Program()
    plain(first)
    start()
    program = Program()
    program.run(1)
    assert int(program.optimizer.iterations.numpy()) == 10 + 5


def test_looking_through_data_is_no_training(start: Start, said: list[str]) -> None:
    handle = start(snapshot_seconds=0.05)
    program = Program()
    for x in program.data:
        program.model(x)
    assert not handle._session.journal.slots


def test_variables_alone_are_restored(start: Start) -> None:
    kept = []

    def run() -> float:
        weight = tf.Variable(0.0)
        kept.append(weight)  # what is gone at the cell's end cannot be saved there

        step = tf.function(lambda x: weight.assign_add(tf.cast(x, tf.float32)))
        for x in tf.data.Dataset.range(4):
            step(x)
        return float(weight.numpy())

    start()
    assert run() == 6.0
    start()
    assert run() == 12.0


def test_an_eager_loop_over_anything_is_restored_before_its_first_step(start: Start, said: list[str]) -> None:
    start()
    first = Program(optimizer="Adam")
    eagerly(first)
    start()
    program = Program(optimizer="Adam")
    begun: list[Any] = []
    eagerly(program, lambda step: begun.append(int(program.optimizer.iterations.numpy())))
    assert begun == [5, 6, 7, 8]
    assert sum("its place is not" in line for line in said) == 1


@pytest.mark.parametrize("in_function", [True, False])
def test_a_metric_with_values_of_an_earlier_run_is_pointed_out(
    start: Start, said: list[str], in_function: bool
) -> None:
    notebook = Notebook(start()._tracker.cells)
    program = Program()
    step = tf.function(program.step) if in_function else program.step

    def train() -> None:
        for x in program.data:
            step(x)

    def reset_and_train() -> None:
        program.metric.reset_state()
        train()

    notebook.run("a", train)
    notebook.run("b", reset_and_train)
    notebook.run("b", reset_and_train)
    assert not any("still holds" in line for line in said)
    notebook.run("a", train)
    assert sum("'loss' still holds" in line for line in said) == 1


def test_an_interrupted_eager_step_is_not_saved_at_the_cells_end(start: Start) -> None:
    handle = start()
    notebook = Notebook(handle._tracker.cells)
    program = Program()

    class Interrupting(keras.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate)
            if int(self.iterations.numpy()) == 2:
                raise KeyboardInterrupt

    program.optimizer = Interrupting(0.1)
    with pytest.raises(KeyboardInterrupt):
        notebook.run("a", lambda: eagerly(program))
    assert not handle._session.journal.slots


def test_an_interrupt_in_a_function_leaves_a_whole_step_that_is_saved(start: Start) -> None:
    handle = start()
    notebook = Notebook(handle._tracker.cells)
    program = Program()
    step = tf.function(program.step)

    def train() -> None:
        for number, x in enumerate(program.data):
            step(x)
            if number == 2:
                interrupt()

    with pytest.raises(KeyboardInterrupt):
        notebook.run("a", train)
    (slot,) = handle._session.journal.slots
    assert slot.newest is not None


def folds(act: Act = nothing) -> list[list[bytes]]:
    ends = []
    for _ in range(3):
        program = Program()
        eagerly(program, act)
        ends.append(program.bits())
        del program
        gc.collect()
    return ends


def test_models_trained_one_after_another_are_not_taken_for_one_another(start: Start, said: list[str]) -> None:
    alone = folds()
    handle = start()
    assert folds(lambda step: handle.checkpoint()) == alone  # of each there is something to restore
    assert not any("restored" in line for line in said)
    start()
    assert folds() == alone
    assert sum("one after another" in line for line in said) == 1


def test_what_keras_does_with_a_model_is_no_loop(start: Start, data: Any, model: Model) -> None:
    for _ in range(2):
        handle = start(snapshot_seconds=0.05)
        made = model()
        made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
        made.predict(data[0], verbose=0)
        made.fit(*data, epochs=2, batch_size=8, verbose=0)
        made.evaluate(*data, verbose=0)
        made.set_weights(made.get_weights())
        assert [slot.structure[0].split()[0] for slot in handle._session.journal.slots] == ["Sequential"]


def test_a_sweeps_second_model_is_not_put_into_the_first(start: Start, said: list[str]) -> None:
    def sweep(handle: Handle) -> list[int]:
        steps: list[int] = []
        for rate in (0.1, 0.2):
            program = Program(rate=rate, optimizer="Adam")
            if rate == 0.2:
                handle.checkpoint()
            for step in range(4):
                program.step(np.full((2, 2), step, "float32"))
                steps.append(int(program.optimizer.iterations.numpy()))
            del program
            gc.collect()
        return steps

    assert sweep(start()) == [1, 2, 3, 4, 1, 2, 3, 4]
    # All that was saved is the second one, after its first step.
    assert sweep(start()) == [1, 2, 3, 4, 2, 3, 4, 5]


def test_a_changed_learning_rate_stays_changed_and_is_named(start: Start, said: list[str]) -> None:
    start()
    first = Program(rate=0.1)
    eagerly(first)
    start()
    program = Program(rate=0.5)
    eagerly(program)
    assert float(program.optimizer.learning_rate.numpy()) == 0.5
    assert int(program.optimizer.iterations.numpy()) == 8
    assert any("restored, under a changed definition" in line and "learning_rate" in line for line in said)
