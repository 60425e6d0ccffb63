"""`resumable` around the runs of a TF1 session: the loop's place and the variables are saved together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from colab_bootstrap import resumable
from helpers.training import Start

v1 = tf.compat.v1
ITEMS = 12


def nothing(item: int) -> None:
    """What happens in an item, before its step, where nothing does."""


class Program:
    """Fits a line to data drawn from NumPy's generator, in a loop that counts in Python alone."""

    def __init__(self) -> None:
        with tf.Graph().as_default() as graph:
            weight = v1.get_variable("w", [2], initializer=v1.random_uniform_initializer(-1, 1, seed=3))
            self.x = v1.placeholder(tf.float32, [None])
            loss = tf.reduce_mean((weight[0] * self.x + weight[1] - 3 * self.x - 1) ** 2)
            self.train = v1.train.AdamOptimizer(0.05).minimize(loss)
            self.init = v1.global_variables_initializer()
            self.variables = v1.global_variables()
        self.graph = graph
        self.items: list[int] = []

    def loop(self, session: Any, act: Callable[[int], None] = nothing) -> None:
        for item in resumable(range(ITEMS)):
            self.items.append(item)
            session.run(self.train, {self.x: np.random.normal(size=8)})
            act(item)
            session.run(self.train, {self.x: np.random.normal(size=8)})

    def run(self, act: Callable[[int], None] = nothing) -> list[bytes]:
        np.random.seed(1)
        with v1.Session(graph=self.graph) as session:
            session.run(self.init)
            self.loop(session, act)
            return self.values(session)

    def values(self, session: Any) -> list[bytes]:
        return [np.asarray(value).tobytes() for value in session.run(self.variables)]


def breaks(handle: Any) -> Callable[[int], None]:
    """Asks for a checkpoint in item 3, and raises in item 6."""

    def act(item: int) -> None:
        if item == 3:
            handle.checkpoint()
        if item == 6:
            raise ZeroDivisionError

    return act


def test_after_a_restart_the_loop_and_the_variables_are_of_one_moment(start: Start, said: list[str]) -> None:
    alone = Program().run()
    with pytest.raises(ZeroDivisionError):
        Program().run(breaks(start()))
    start()
    again = Program()
    assert again.run() == alone
    assert again.items == list(range(4, ITEMS))
    assert any("variables of a TF1 session" in one and "at its start" not in one for one in said)


def test_a_session_that_still_lives_goes_back_with_its_loop(start: Start) -> None:
    alone = Program().run()
    handle = start()
    program = Program()
    session = v1.Session(graph=program.graph)
    np.random.seed(1)
    session.run(program.init)
    with pytest.raises(ZeroDivisionError):
        program.loop(session, breaks(handle))
    handle._tracker.cells._after_cell()
    handle._tracker.cells._ordinal = 0  # the cell is run again
    program.items.clear()
    program.loop(session)
    assert program.items == list(range(4, ITEMS))
    assert program.values(session) == alone


def test_a_loop_that_is_done_is_not_repeated(start: Start) -> None:
    start()
    alone = Program().run()
    start()
    again = Program()
    assert again.run() == alone
    assert again.items == []


def test_an_interrupt_loses_no_item(start: Start) -> None:
    def act(item: int) -> None:
        if item == 6:
            os.kill(os.getpid(), signal.SIGINT)

    alone = Program().run()
    start()
    with pytest.raises(KeyboardInterrupt):
        Program().run(act)
    start()
    again = Program()
    assert again.run() == alone
    assert again.items == list(range(7, ITEMS))


def test_what_is_trained_after_the_loop_is_saved_on_its_own(start: Start) -> None:
    start()
    program = Program()
    with v1.Session(graph=program.graph) as session:
        session.run(program.init)
        program.loop(session)
        session.run(program.train, {program.x: np.ones(8)})
        end = program.values(session)
    start()
    again = Program()
    with v1.Session(graph=again.graph) as session:
        session.run(again.init)
        again.loop(session)
        assert again.values(session) == end
    assert again.items == []


def test_runs_around_an_inner_loop_are_not_counted_twice(start: Start) -> None:
    """The resumed item of the outer loop begins again, though its runs before the inner loop were done."""

    def run(act: Callable[[int, int], None]) -> tuple[list[bytes], list[tuple[int, int]]]:
        program, items = Program(), []
        feed = {program.x: np.linspace(0, 1, 8)}
        with v1.Session(graph=program.graph) as session:
            session.run(program.init)
            for epoch in resumable(range(3)):
                session.run(program.train, feed)
                for item in resumable(range(5)):
                    items.append((epoch, item))
                    session.run(program.train, feed)
                    act(epoch, item)
            return program.values(session), items

    def breaks_at(epoch: int, item: int) -> None:
        if (epoch, item) == (1, 2):
            handle.checkpoint()
        if (epoch, item) == (1, 4):
            raise ZeroDivisionError

    alone, everything = run(lambda epoch, item: None)
    handle = start()
    with pytest.raises(ZeroDivisionError):
        run(breaks_at)
    start()
    values, items = run(lambda epoch, item: None)
    assert items == everything[everything.index((1, 3)) :]
    assert values == alone
