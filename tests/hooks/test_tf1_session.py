"""TF1 sessions in the test's own process, on graphs of their own; `start` again is a restarted kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from helpers.tf1_line import line
from helpers.training import Start

v1 = tf.compat.v1


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: v1.train.GradientDescentOptimizer(0.05),
    "momentum": lambda: v1.train.MomentumOptimizer(0.05, 0.9, use_nesterov=True),
    "adam": lambda: v1.train.AdamOptimizer(0.05),
    "adagrad": lambda: v1.train.AdagradOptimizer(0.05),
    "adadelta": lambda: v1.train.AdadeltaOptimizer(0.5),
    "rmsprop": lambda: v1.train.RMSPropOptimizer(0.05, centered=True),
    "ftrl": lambda: v1.train.FtrlOptimizer(0.05),
}


@pytest.mark.parametrize("resource", [True, False], ids=["resource", "ref"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_restarted_training_ends_with_the_same_bits(
    start: Start, said: list[str], optimizer: Any, resource: bool
) -> None:
    alone = line(optimizer, resource=resource)
    with v1.Session(graph=alone.graph) as session:
        session.run(alone.init)
        alone.train_to(session, 20)
        expected = alone.values(session)
    start()
    first = line(optimizer, resource=resource)
    session = v1.Session(graph=first.graph)
    session.run(first.init)
    assert first.train_to(session, 8) == 8
    start()  # what ends takes a snapshot
    again = line(optimizer, resource=resource)
    with v1.Session(graph=again.graph) as session:
        session.run(again.init)
        assert again.train_to(session, 20) == 12
        assert again.values(session) == expected
    assert any("at global step 8" in one and "%holdfast fresh" in one for one in said)


def test_without_a_past_nothing_is_computed_otherwise_and_no_op_is_added(start: Start, said: list[str]) -> None:
    asked: list[Any] = []
    sessions: list[Any] = []

    def seeded() -> tuple[list[bytes], list[Any], bytes]:
        def noisy(loss: Any) -> Any:
            return loss + tf.reduce_mean(tf.nn.dropout(tf.ones([50]), rate=0.5, seed=4))

        made = line(more=noisy)
        definition = made.graph.as_graph_def().SerializeToString(deterministic=True)
        made.graph.finalize()
        session = v1.Session(graph=made.graph)  # left open, so that no milestone follows
        sessions.append(session)
        with session.as_default():
            session.run(made.init)
            session.run(made.train, made.feed)
            for handle in asked:
                handle.checkpoint()
            losses = [session.run([made.train, made.loss], made.feed)[1] for _ in range(10)]
            assert made.graph.as_graph_def().SerializeToString(deterministic=True) == definition
            return made.values(session), losses, definition

    alone = seeded()
    handle = start()
    asked.append(handle)
    assert seeded() == alone
    handle._session.flush()
    assert handle._session.last_committed is not None
    assert handle._session.last_committed.kind == "requested"
    assert not any("error" in one for one in said)


def test_sessions_of_one_program_are_trainings_of_their_own(start: Start) -> None:
    """Folds, or trials: the second one must not begin where the first one ended."""

    def program() -> list[int]:
        made, steps = line(), []
        for end in (5, 7, 9):
            with v1.Session(graph=made.graph) as session:
                session.run(made.init)
                steps.append(made.train_to(session, end))
        return steps

    start()
    assert program() == [5, 7, 9]
    start()
    assert program() == [0, 0, 0]


def test_variables_initialised_anew_begin_another_training(start: Start) -> None:
    def program() -> list[int]:
        made, steps = line(), []
        with v1.Session(graph=made.graph) as session:
            for end in (5, 7):
                session.run(made.init)
                steps.append(made.train_to(session, end))
        return steps

    start()
    assert program() == [5, 7]
    start()
    assert program() == [0, 0]


def test_what_is_read_before_the_first_step_is_restored_already(start: Start) -> None:
    start()
    first = line()
    with v1.Session(graph=first.graph) as session:
        session.run(first.init)
        first.train_to(session, 5)
        values = first.values(session)
    start()
    again = line()
    with v1.Session(graph=again.graph) as session:
        session.run(again.init)
        assert again.values(session) == values


def test_a_look_at_the_values_takes_no_training_away(start: Start) -> None:
    """After a restart the evaluation may come before the training."""
    start()
    first = line()
    with v1.Session(graph=first.graph) as session:
        session.run(first.init)
        first.train_to(session, 5)
    tracker = start()._tracker
    tracker.cells._cell = "cell:evaluation"
    again = line()
    with v1.Session(graph=again.graph) as session:
        session.run(again.init)
        assert session.run(again.step) == 5
    tracker.cells._cell, tracker.cells._ordinal = "script:pytest", 0
    [slot] = tracker.journal.slots
    tracker.cells._cell = slot.place.cell
    with v1.Session(graph=again.graph) as session:
        session.run(again.init)
        assert again.train_to(session, 8) == 3
    assert len(tracker.journal.slots) == 1


def test_what_is_set_up_between_the_initializer_and_training_does_not_undo_the_restore(start: Start) -> None:
    def program(end: int) -> tuple[int, bytes]:
        made = line()
        with made.graph.as_default():
            [weight] = [one for one in v1.global_variables() if one.op.name == "w"]
            pretrained = v1.assign(weight, [0.25])
        with v1.Session(graph=made.graph) as session:
            session.run(made.init)
            session.run(made.loss, made.feed)  # a look, which restores
            session.run(pretrained)
            steps = made.train_to(session, end)
            return steps, session.run(weight).tobytes()

    _, alone = program(10)
    start()
    program(6)
    start()
    assert program(10) == (4, alone)


def test_fresh_begins_anew(start: Start) -> None:
    start()
    for expected in (5, 0):
        made = line()
        with v1.Session(graph=made.graph) as session:
            session.run(made.init)
            assert made.train_to(session, 5) == expected
        handle = start()
    handle.fresh()
    made = line()
    with v1.Session(graph=made.graph) as session:
        session.run(made.init)
        assert made.train_to(session, 5) == 5


def test_another_structure_begins_anew(start: Start) -> None:
    start()
    for width in (1, 2):
        made = line(width=width)
        with v1.Session(graph=made.graph) as session:
            session.run(made.init)
            assert made.train_to(session, 5) == 5
        start()


def test_a_second_stage_with_more_variables_is_a_training_of_its_own(start: Start) -> None:
    def program(ends: tuple[int, int]) -> tuple[list[int], list[bytes]]:
        made = line()
        with v1.Session(graph=made.graph) as session:
            session.run(made.init)
            steps = [made.train_to(session, ends[0])]
            with made.graph.as_default():
                extra = v1.get_variable("extra", [2], initializer=v1.ones_initializer())
                loss = made.loss + tf.reduce_sum(extra**2)
                made.train = v1.train.MomentumOptimizer(0.01, 0.9).minimize(loss, made.step)
                new = [one for one in v1.global_variables() if "extra" in one.name or "Momentum" in one.name]
                session.run(v1.variables_initializer(new))
            steps.append(made.train_to(session, ends[1]))
            return steps, made.values(session)

    _, alone = program((5, 12))
    start()
    assert program((5, 8))[0] == [5, 3]
    start()
    assert program((5, 12)) == ([0, 4], alone)


def test_one_variable_loaded_in_midst_of_the_training_begins_nothing_anew(start: Start) -> None:
    tracker = start()._tracker
    made = line()
    with made.graph.as_default():
        rate = v1.get_variable("rate", [], initializer=v1.ones_initializer())
        init = v1.global_variables_initializer()
    with v1.Session(graph=made.graph) as session:
        session.run(init)
        made.train_to(session, 3)
        session.run(rate.initializer, {rate.initializer.inputs[1]: 0.5})
        made.train_to(session, 6)
    assert len(tracker.journal.slots) == 1
    start()
    again = line()
    with again.graph.as_default():
        rate = v1.get_variable("rate", [], initializer=v1.ones_initializer())
        init = v1.global_variables_initializer()
    with v1.Session(graph=again.graph) as session:
        session.run(init)
        assert session.run([again.step, rate]) == [6, 0.5]


def test_hooks_of_a_monitored_session_see_the_restored_step(start: Start) -> None:
    def program(last: int) -> int:
        made, steps = line(), 0
        with made.graph.as_default():
            hooks = [v1.train.StopAtStepHook(last_step=last)]
            with v1.train.MonitoredTrainingSession(hooks=hooks) as session:
                while not session.should_stop():
                    session.run(made.train, made.feed)
                    steps += 1
        return steps

    start()
    assert program(6) == 6
    start()
    assert program(10) == 4


def test_what_cannot_be_saved_harms_no_run(
    start: Start, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast.hooks import tf1_variables

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(tf1_variables, "read", broken)
    start(snapshot_seconds=0.05)
    made = line()
    with v1.Session(graph=made.graph) as session:
        session.run(made.init)
        assert made.train_to(session, 5) == 5
    assert sum("an error of Holdfast's own" in one for one in said) == 1


def test_a_run_in_parts_is_left_alone(start: Start) -> None:
    """It has read its variables before the first part is asked for, so a restore would tear it apart."""

    def program() -> tuple[float, list[bytes]]:
        made = line()
        with made.graph.as_default(), tf.control_dependencies([made.train]):
            trained = tf.zeros([])
        with v1.Session(graph=made.graph) as session:
            session.run(made.init)
            parts = session.partial_run_setup([made.loss, trained], [made.x, made.y])
            loss = session.partial_run(parts, made.loss, made.feed)
            session.partial_run(parts, trained)
            return float(loss), made.values(session)

    alone = program()
    start()
    made = line()
    with v1.Session(graph=made.graph) as session:
        session.run(made.init)
        made.train_to(session, 5)
    start()
    assert program() == alone
