"""Random programs, interrupted, killed, edited and rerun, do what the small model of the resume table says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

import colab_bootstrap
from helpers.semantics import STEPS, Line, Memory, Program, Stop
from helpers.training import bits
from holdfast.hooks.handle import Handle
from holdfast.runtime import report

BATCH: Final = 2
RATES: Final = (0.1, 0.2)
MAX_EPOCHS: Final = 3
LATE: Final = Stop(0, 2 * STEPS + 1, "kill")
"""A step into the third epoch."""

Story = list[tuple[Program, Stop | None]]
X: Final = np.random.Generator(np.random.PCG64(4)).normal(size=(STEPS * BATCH, 3)).astype("float32")
Y: Final = (X.sum(axis=1) > 0).astype("int32")


class Killed(BaseException):
    """The end of a process, as far as its training is concerned."""


class Steps(keras.callbacks.Callback):
    """Counts steps in a list, which no restore puts back, and acts at some of them."""

    def __init__(self, counted: list[int], act: Callable[[int], None]) -> None:
        super().__init__()
        self.act = act
        self.count = counted.append

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count(batch)
        self.act(batch)


def lines(models: int) -> st.SearchStrategy[tuple[Line, ...]]:
    line = st.builds(Line, st.integers(0, models - 1), st.sampled_from(RATES), st.integers(1, MAX_EPOCHS))
    return st.lists(line, min_size=1, max_size=4).map(tuple)


programs = st.integers(1, 3).flatmap(
    lambda count: st.builds(Program, st.tuples(*[st.integers(2, 3)] * count), lines(count))
)


def edited(draw: st.DrawFn, program: Program) -> Program:
    """The program, or with one value changed."""
    place = draw(st.integers(0, len(program.lines) - 1))
    line = program.lines[place]
    match draw(st.sampled_from(["nothing", "nothing", "rate", "epochs", "units"])):
        case "rate":
            line = replace(line, rate=draw(st.sampled_from(RATES)))
        case "epochs":
            line = replace(line, epochs=draw(st.integers(1, MAX_EPOCHS)))
        case "units":
            units = list(program.units)
            units[line.model] = draw(st.integers(2, 3))
            return replace(program, units=tuple(units))
    return replace(program, lines=(*program.lines[:place], line, *program.lines[place + 1 :]))


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """A program, and twice what becomes of it: a stop somewhere, which it may never come to, and an edit."""
    story: Story = []
    program = draw(programs)
    for _ in range(2):
        stop = Stop(
            draw(st.integers(0, len(program.lines) - 1)),
            draw(st.integers(1, MAX_EPOCHS * STEPS)),
            draw(st.sampled_from(["interrupt", "kill", "reset"])),
        )
        story.append((program, stop))
        program = edited(draw, program)
    return [*story, (program, None)]


def two_stages(rate: float) -> Program:
    """A model is trained, compiled anew, and trained on."""
    return Program((2,), (Line(0, RATES[0], 2), Line(0, rate, 3)))


def one_stage(rate: float, epochs: int) -> Program:
    """A model is trained once."""
    return Program((2,), (Line(0, rate, epochs),))


def built(units: int) -> Any:
    return keras.Sequential([keras.layers.Dense(units), keras.layers.Dropout(0.2), keras.layers.Dense(2)])


def execute(program: Program, handle: Handle | None, stop: Stop | None) -> tuple[list[int], list[Any]]:
    """Runs a program; the steps that each line trained, as far as it came, and its models."""
    keras.utils.set_random_seed(3)
    models = [built(units) for units in program.units]
    trained: list[int] = []

    def act(index: int, counted: list[int]) -> None:
        if handle is None or stop is None or index != stop.line:
            return
        if len(counted) == stop.step and stop.kind == "interrupt":
            raise KeyboardInterrupt
        if len(counted) == stop.step:
            handle.checkpoint()
        if len(counted) == stop.reached:
            handle._session.flush()
            assert stop.kind == "kill" or handle.wait(timeout=300)
            handle._session.closed = True  # from here on as if the process were gone
            raise Killed

    for index, line in enumerate(program.lines):
        model, counted = models[line.model], list[int]()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(line.rate, momentum=0.9), loss, run_eagerly=True)
        steps = Steps(counted, lambda batch, index=index, counted=counted: act(index, counted))  # type: ignore[misc]
        try:
            model.fit(X, Y, epochs=line.epochs, batch_size=BATCH, verbose=0, callbacks=[steps])
        except (KeyboardInterrupt, Killed):
            trained.append(len(counted))
            break
        trained.append(len(counted))
    return trained, models


def session(store: Path, spool: Path, program: Program, stop: Stop | None) -> tuple[list[int], list[Any]]:
    """Starts the runtime, runs the program, and ends it as the stop says."""
    colab_bootstrap.stop()
    pace = {"snapshot_seconds": 3600.0, "persist_seconds": 3600.0}
    handle = colab_bootstrap.start(str(store), run="test", spool=str(spool), **pace)
    done = execute(program, handle, stop)
    handle._session.closed = False
    colab_bootstrap.stop()
    return done


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    report.speak_through(lambda line: None)
    # However slow the machine, milestones are written at once.
    monkeypatch.setattr("holdfast.hooks.saving.LONG_CALL_SECONDS", 0.0)


@settings(max_examples=20)
@given(stories())
@example([(two_stages(0.1), None), (two_stages(0.2), Stop(1, 3, "kill")), (two_stages(0.2), None)])
@example([(two_stages(0.1), None), (two_stages(0.2), None), (two_stages(0.2), None)])
@example([(one_stage(0.1, 3), LATE), (one_stage(0.1, 1), None), (one_stage(0.1, 3), None)])
@example([(one_stage(0.1, 3), LATE), (one_stage(0.1, 1), None), (one_stage(0.2, 1), None)])
@example([(one_stage(0.1, 3), LATE), (one_stage(0.2, 1), None), (one_stage(0.2, 1), None)])
def test_a_program_run_again_and_again_does_what_the_resume_table_says(
    tmp_path_factory: pytest.TempPathFactory, story: Story
) -> None:
    memory, folder = Memory(), tmp_path_factory.mktemp("program")
    machine = 0
    for program, stop in story:
        note(f"{program} {stop}")
        trained, models = session(folder / "store", folder / f"spool-{machine}", program, stop)
        assert trained == memory.run(program, stop)
        if stop is not None and stop.kind == "reset" and len(trained) == stop.line + 1:
            machine += trained[-1] == stop.reached  # another one, without the first one's spool
    if all(program == story[0][0] for program, _ in story):
        _, alone = execute(program, None, None)
        for line in program.lines:
            assert bits(models[line.model]) == bits(alone[line.model])
