"""What is measured of steps, snapshots and uploads."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from holdfast.runtime.pace import Pace

STALL = 0.005

Step = Callable[[], float]


class Training:
    """A training on a clock of its own; whatever is planted is planted here."""

    def __init__(self, step: Step) -> None:
        self.pace, self.now = Pace(), 100.0
        self._step = step
        self._slow: list[tuple[float, float]] = []

    def slow_down(self, seconds: float, lost: float) -> None:
        """From now on, for so long, something takes time from the steps: so much in all."""
        self._slow.append((self.now + seconds, lost / seconds))

    def train(self, seconds: float) -> None:
        """Makes steps for so long."""
        end = self.now + seconds
        while self.now < end:
            left = self._step()
            while left > 0:
                share = min(0.95, sum(share for until, share in self._slow if until > self.now))
                ends = [until for until, _ in self._slow if until > self.now]
                run = min([left / (1 - share), *(until - self.now for until in ends)])
                self.now += run
                left -= run * (1 - share)
                left = 0.0 if left < 1e-12 else left
            self.pace.step_ended(self.now)

    def snapshot(self, takes: float, cost: float, *, stall: float = STALL, nbytes: int = 1000) -> None:
        """Takes one, and trains until it is written and for as long again, and some."""
        ended = self.now
        self.now += stall
        window = self.pace.snapshot_begun(self.now, ended, nbytes)
        self.pace.snapshot_handed(self.now)
        if cost:
            self.slow_down(takes, cost)
        over = self.now + takes
        self.train(takes)
        self.pace.snapshot_over(window, over, written=True)
        self.train(10.0)
        self.pace.look(self.now)


def steady(seconds: float, scatter: float = 0.0, seed: int = 1) -> Step:
    """Steps that scatter lognormally, one in a thousand seconds with a hiccup."""
    source = random.Random(seed)

    def step() -> float:
        hiccup = 0.5 if source.random() < seconds / 1000 and scatter else 0.0
        return seconds * source.lognormvariate(0.0, scatter) + hiccup

    return step


@pytest.mark.parametrize("seconds", [0.001, 0.03, 0.4, 3.0])
@pytest.mark.parametrize("scatter", [0.0, 0.1, 0.4])
def test_steps_that_scatter_have_no_cost_by_that_alone(seconds: float, scatter: float) -> None:
    training = Training(steady(seconds, scatter))
    training.train(max(20.0, 12 * seconds))
    for _ in range(9):
        training.snapshot(1.0, 0.0)
    cost = training.pace.costs.snapshot
    assert cost is not None
    assert training.pace.costs.stall == pytest.approx(STALL)
    # Of steps of seconds that scatter by tens of per cent, a snapshot sees two.
    assert cost <= STALL + 0.02 + 0.1 * scatter * seconds
    assert cost >= STALL * (1 - 1e-9)


@pytest.mark.parametrize("seconds", [0.001, 0.03, 0.4])
@pytest.mark.parametrize("cost", [0.3, 0.9])
def test_a_planted_cost_is_found(seconds: float, cost: float) -> None:
    training = Training(steady(seconds, 0.1))
    training.train(20.0)
    for _ in range(9):
        training.snapshot(1.2, cost)
    assert training.pace.costs.snapshot == pytest.approx(cost + STALL, rel=0.25)
    assert training.pace.step_seconds == pytest.approx(seconds, rel=0.05)
    assert training.pace.spent == pytest.approx(9 * (cost + STALL), rel=0.3)


def test_a_cost_within_steps_that_are_longer_than_a_snapshot_is_found_too() -> None:
    training = Training(steady(8.0, 0.01))
    training.train(80.0)
    for _ in range(12):
        training.snapshot(3.0, 2.0)
        training.train(40.0)
    assert training.pace.costs.snapshot == pytest.approx(2.0, rel=0.3)


def test_what_is_never_seen_without_a_snapshot_is_taken_for_the_worst() -> None:
    training = Training(steady(60.0))
    for _ in range(5):
        ended = training.now
        training.now += STALL
        window = training.pace.snapshot_begun(training.now, ended, 1000)
        training.pace.snapshot_handed(training.now)
        training.pace.snapshot_over(window, training.now + 2.0, written=True)
        training.train(60.0)
    training.pace.look(training.now)
    assert training.pace.costs.snapshot == pytest.approx(2.0 + STALL, abs=0.01)


def test_the_first_snapshots_count_no_more_once_there_are_others() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    for cost in (0.9, 0.9, 0.1):
        training.snapshot(1.2, cost)
    assert training.pace.costs.snapshot == pytest.approx(0.1 + STALL, abs=0.03)
    assert training.pace.costs.settled


def test_another_size_has_another_cost() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    for _ in range(5):
        training.snapshot(1.2, 0.9, nbytes=10**9)
        training.snapshot(1.2, 0.1, nbytes=10**8)
    assert training.pace.costs.snapshot == pytest.approx(0.1 + STALL, abs=0.03)
    training.snapshot(1.2, 0.9, nbytes=10**9)
    assert training.pace.costs.snapshot == pytest.approx(0.9 + STALL, abs=0.1)


def test_states_of_some_kilobytes_are_of_one_size() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    for number in range(4):
        training.snapshot(1.2, 0.9, nbytes=300 * 10**number)
    assert training.pace.costs.settled


def test_an_upload_is_evaluated_with_the_snapshots_in_it_left_out() -> None:
    training = Training(steady(0.03, 0.05))
    training.train(20.0)
    for _ in range(4):
        begun = training.now
        training.slow_down(30.0, 3.0)
        training.train(5.0)
        training.pace.upload(begun, None)
        training.snapshot(12.0, 5.0)
        training.train(begun + 40.0 - training.now)
        training.pace.upload(begun, begun + 30.0)
        training.pace.look(training.now)
        training.train(20.0)
        training.pace.look(training.now)
    assert training.pace.costs.upload == pytest.approx(3.0, rel=0.2)
    assert training.pace.costs.upload_takes == pytest.approx(30.0)
    assert training.pace.costs.snapshot == pytest.approx(5.0 + STALL, rel=0.2)


def test_of_a_hiccup_in_an_upload_little_is_counted() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    begun = training.now
    training.slow_down(60.0, 3.0)
    training.train(30.0)
    training.now += 50.0
    training.train(begun + 115.0 - training.now)
    training.pace.upload(begun, begun + 110.0)
    training.train(5.0)
    training.pace.look(training.now)
    cost = training.pace.costs.upload
    assert cost is not None and 2.0 < cost < 8.0


def test_an_upload_whose_end_nobody_knows_is_over_and_has_no_cost() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    training.pace.upload(training.now, None)
    training.train(5.0)
    training.pace.no_upload(training.now)
    training.train(5.0)
    training.pace.look(training.now)
    assert training.pace.costs.upload is None
    training.train(5.0)
    training.snapshot(1.0, 0.5)
    assert training.pace.costs.snapshot == pytest.approx(0.5 + STALL, rel=0.2)


def test_the_ends_of_epochs_and_the_time_between_calls_are_no_steps() -> None:
    training = Training(steady(0.03))
    for _ in range(10):
        training.train(2.0)
        training.now += 1.0  # a validation
        training.pace.epoch_ended(training.now)
        training.now += 1.0  # what makes the next one's data
    training.train(2.0)
    training.pace.look(training.now)
    assert training.pace.step_seconds == pytest.approx(0.03)
    training.now += 3600.0
    training.pace.paused()
    training.train(20.0)
    training.pace.look(training.now)
    assert training.pace.step_seconds == pytest.approx(0.03)
    assert training.pace.trained == pytest.approx(42.0, rel=0.05)


def test_a_hiccup_is_no_step() -> None:
    training = Training(steady(0.03))
    for _ in range(4):
        training.train(4.0)
        training.now += 2.0
    training.train(2.0)
    training.pace.look(training.now)
    assert training.pace.step_seconds == pytest.approx(0.03, rel=0.01)


def test_a_snapshot_costs_no_more_than_training_that_stands_still_while_it_is_written() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    window = training.pace.snapshot_begun(training.now, training.now - STALL, 1000)
    training.pace.snapshot_handed(training.now)
    training.now += 600.0  # the machine slept, say
    training.pace.snapshot_over(window, training.now - 599.0, written=True)
    training.train(5.0)
    training.pace.look(training.now)
    cost = training.pace.costs.snapshot
    assert cost is not None and cost <= 2.1 * 1.0


def test_epochs_of_one_step_are_counted() -> None:
    training = Training(steady(0.3))
    for _ in range(60):
        training.train(0.1)
        training.pace.epoch_ended(training.now)
    training.pace.look(training.now)
    assert training.pace.step_seconds == pytest.approx(0.3)


def test_a_snapshot_that_was_not_written_costs_nothing_that_is_known() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    window = training.pace.snapshot_begun(training.now, training.now - STALL, 1000)
    training.pace.snapshot_handed(training.now)
    training.pace.snapshot_over(window, training.now, written=False)
    training.train(20.0)
    training.pace.look(training.now)
    assert training.pace.costs.snapshot is None


def test_a_snapshot_that_is_handed_over_while_another_is_written_has_its_own_end() -> None:
    training = Training(steady(0.1))
    training.train(10.0)
    pace = training.pace
    first = pace.snapshot_begun(training.now, training.now, 1000)
    pace.snapshot_handed(training.now)
    training.train(2.0)
    begun = training.now
    second = pace.snapshot_begun(begun, begun, 1000)
    training.now += 3.0  # the writer is busy with the first
    pace.snapshot_over(first, training.now, written=True)
    pace.snapshot_handed(training.now)
    training.slow_down(10.0, 3.0)
    training.train(10.0)
    over = training.now
    pace.snapshot_over(second, over, written=True)
    training.train(5.0)
    pace.look(training.now)
    last = pace.costs._snapshots[-1]
    assert last.took == pytest.approx(over - begun)
    assert last.stall == pytest.approx(3.0)
    assert last.excess == pytest.approx(3.0, abs=0.2)
    assert pace.step_seconds == pytest.approx(0.1, rel=0.01)


def test_a_synchronous_snapshot_is_all_stall() -> None:
    training = Training(steady(0.03))
    training.train(20.0)
    for _ in range(4):
        ended = training.now
        window = training.pace.snapshot_begun(ended + STALL, ended, 1000)
        training.now += 2.0
        training.pace.snapshot_over(window, training.now, written=True)
        training.pace.snapshot_handed(training.now)
        training.train(10.0)
        training.pace.look(training.now)
    assert training.pace.costs.stall == pytest.approx(2.0, abs=0.01)
    assert training.pace.costs.snapshot == pytest.approx(2.0, abs=0.05)
