"""The shield alone: an interrupt within a step comes at its end, once, and is never lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from holdfast.hooks.interrupts import StepShield


@pytest.fixture(autouse=True)
def handler() -> Iterator[Any]:
    """Python's own handler, whatever a test leaves."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_within_a_step_comes_at_its_end() -> None:
    shield, went_on = StepShield(), False
    with pytest.raises(KeyboardInterrupt), shield.installed():
        shield.in_step = True
        interrupt()
        went_on = True
        shield.step_ended()
    assert went_on


def test_the_second_one_comes_at_once() -> None:
    shield = StepShield()
    with shield.installed():
        shield.in_step = True
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        shield.step_ended()


def test_one_that_waits_comes_although_the_step_fails() -> None:
    shield = StepShield()
    with pytest.raises(KeyboardInterrupt) as caught, shield.installed():
        shield.in_step = True
        interrupt()
        raise ValueError("the step's")
    assert isinstance(caught.value.__context__, ValueError)
    assert shield.in_step  # the state is not whole


def test_a_shield_that_is_put_back_after_its_training_holds_nothing_back() -> None:
    shield, found = StepShield(), None
    with pytest.raises(ValueError, match="the step's"), shield.installed():
        found = signal.signal(signal.SIGINT, signal.default_int_handler)
        shield.in_step = True
        raise ValueError("the step's")
    signal.signal(signal.SIGINT, found)
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_a_handler_that_is_called_late_is_given_what_it_is_given_at_once() -> None:
    given: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: given.append((number, frame)))
    shield = StepShield()
    with shield.installed():
        interrupt()
        shield.in_step = True
        interrupt()
        shield.step_ended()
    assert [(type(number), number, type(frame)) for number, frame in given] == [
        (int, signal.SIGINT, FrameType)
    ] * 2
