"""However a TF1 session ends, what it trained is there, unless it is not whole."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers.tf1_line import X, Y, line
from helpers.training import Start

v1 = tf.compat.v1


class TestEnds:
    """However a session ends, what it trained is there, unless it is not whole."""

    @pytest.fixture
    def resumed_at(self, start: Start) -> Callable[[], int]:
        def begin() -> int:
            start()
            made = line()
            with v1.Session(graph=made.graph) as session:
                session.run(made.init)
                return int(session.run(made.step))

        start()
        return begin

    def test_an_interrupt_in_a_with_block(self, resumed_at: Any) -> None:
        made = line()
        with pytest.raises(KeyboardInterrupt), v1.Session(graph=made.graph) as session:
            session.run(made.init)
            made.train_to(session, 5)
            raise KeyboardInterrupt
        assert resumed_at() == 5

    def test_an_error_of_the_programs_own(self, resumed_at: Any) -> None:
        made = line()
        with pytest.raises(ZeroDivisionError), v1.Session(graph=made.graph) as session:
            session.run(made.init)
            made.train_to(session, 5)
            raise ZeroDivisionError
        assert resumed_at() == 5

    @pytest.mark.parametrize(
        ("error", "step"), [(tf.errors.InvalidArgumentError, 0), (tf.errors.OutOfRangeError, 5)]
    )
    def test_an_error_in_the_midst_of_a_run(self, resumed_at: Any, error: Any, step: int) -> None:
        def more(loss: Any) -> Any:
            if error is tf.errors.InvalidArgumentError:
                return loss * v1.debugging.check_numerics(loss, "loss")
            data = v1.data.make_one_shot_iterator(tf.data.Dataset.range(5)).get_next()
            return loss * (1.0 + 0.0 * tf.cast(data, tf.float32))

        made = line(more=more)
        with pytest.raises(error), v1.Session(graph=made.graph) as session:
            session.run(made.init)
            made.train_to(session, 5)
            session.run(made.train, {made.x: X * np.nan, made.y: Y})
        assert resumed_at() == step

    def test_an_error_in_a_run_that_the_program_handles(self, resumed_at: Any) -> None:
        made = line(more=lambda loss: loss * v1.debugging.check_numerics(loss, "loss"))
        with v1.Session(graph=made.graph) as session:
            session.run(made.init)
            made.train_to(session, 5)
            with pytest.raises(tf.errors.InvalidArgumentError):
                session.run(made.train, {made.x: X * np.nan, made.y: Y})
            session.run(made.train, made.feed)
        assert resumed_at() == 6

    def test_a_session_that_is_only_let_go(self, resumed_at: Any) -> None:
        def train() -> Any:
            made = line()
            session = v1.Session(graph=made.graph)
            session.run(made.init)
            made.train_to(session, 5)
            return weakref.ref(session)

        gc.collect()
        gc.disable()
        try:
            assert train()() is None  # nothing of ours keeps it alive, in no cycle either
        finally:
            gc.enable()
        assert resumed_at() == 5

    def test_one_that_is_closed_without_a_with_block(self, resumed_at: Any) -> None:
        made = line()
        session = v1.Session(graph=made.graph)
        session.run(made.init)
        made.train_to(session, 5)
        session.close()
        with pytest.raises(RuntimeError, match="closed"):
            session.run(made.step)
        assert resumed_at() == 5

    def test_an_end_of_the_cell(self, start: Start) -> None:
        tracker = start()._tracker
        made = line()
        session = v1.Session(graph=made.graph)
        session.run(made.init)
        made.train_to(session, 5)
        tracker.cells._after_cell()
        newest = tracker.session.newest_of("slot-0000")
        assert newest is not None
        assert newest.part("slot-0000").state["global_step"] == 5
