"""Before a machine's time is up, its user is told once, and a checkpoint is asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.snapshots import contents, snapshot
from holdfast.runtime import report
from holdfast.runtime.limit_watch import LimitWatch
from holdfast.runtime.machine import up_seconds
from holdfast.runtime.names import Stem
from holdfast.runtime.session import Session
from holdfast.runtime.settings import Settings
from holdfast.runtime.time_limits import COLAB, HOUR, NOTICE_SECONDS, limits, near

times = st.floats(0, 100 * HOUR)


@given(up=times, hours=st.floats(0, 50), in_colab=st.booleans())
def test_it_is_told_within_the_notice_before_a_limit_and_never_else(
    up: float, hours: float, in_colab: bool
) -> None:
    among = limits(hours, in_colab=in_colab)
    limit = near(up, among)
    if limit is None:
        assert not any(0 < one.hours * HOUR - up <= NOTICE_SECONDS for one in among)
    else:
        assert limit.hours * HOUR - NOTICE_SECONDS <= up < limit.hours * HOUR


@given(hours=st.floats(0.01, 50), began=times, step=st.floats(0.5, 300))
def test_whoever_looks_now_and_then_sees_every_limit_to_come(hours: float, began: float, step: float) -> None:
    among = limits(hours, in_colab=False)
    assume(began < hours * HOUR)
    up = began
    while near(up, among) is None:
        up += step
        assert up < hours * HOUR


@pytest.mark.parametrize(
    ("setting", "in_colab", "hours"),
    [(0.0, False, ()), (0.0, True, (12.0, 24.0)), (5.5, True, (5.5,)), (5.5, False, (5.5,))],
)
def test_colabs_limits_hold_where_no_setting_says_otherwise(
    setting: float, in_colab: bool, hours: tuple[float, ...]
) -> None:
    assert tuple(limit.hours for limit in limits(setting, in_colab=in_colab)) == hours


def test_at_twelve_hours_no_free_vm_is_left() -> None:
    assert near(12 * HOUR, COLAB) is None
    assert near(12 * HOUR - 1, COLAB) == COLAB[0]
    assert near(24 * HOUR - NOTICE_SECONDS, COLAB) == COLAB[1]


def test_each_limit_is_told_once_and_what_comes_after_it_only_when_it_is_confirmed(said: list[str]) -> None:
    watch, asked = LimitWatch(), list[bool]()
    hours = (up_seconds() + NOTICE_SECONDS / 2) / HOUR
    old, following = Stem(1, 9, "a" * 8), Stem(2, 1, "b" * 8)

    def look(hours: float, confirmed: Stem | None) -> None:
        watch.look(hours, lambda: asked.append(True), following, confirmed)

    look(0.0, None)
    look(hours * 3, None)
    assert said == []
    look(hours, old)
    assert len(said) == len(asked) == 1
    assert "has been up for" in said[0] and f"after {hours:g} h" in said[0]
    look(hours, old)
    look(hours, None)
    assert len(said) == 1
    look(hours, following)
    assert said[1:] == [f"holdfast: checkpoint {following}, taken since then, is confirmed"]
    look(hours, following)
    look(hours + 0.001, following)  # another setting: another limit
    assert len(asked) == 2


@dataclass(frozen=True, slots=True)
class Limited(Settings):
    """Settings with a limit."""

    time_limit_hours: float = 0.0


def test_a_session_asks_for_a_checkpoint_and_tells_when_it_is_safe(tmp_path: Path) -> None:
    hours = (up_seconds() + NOTICE_SECONDS / 2) / HOUR
    asked, confirmed, lines = threading.Event(), threading.Event(), list[str]()

    def hear(line: str) -> None:
        lines.append(line)
        if "is confirmed" in line:
            confirmed.set()

    report.speak_through(hear)
    session = Session.open(
        Limited(
            store=str(tmp_path / "store"),
            run="run",
            spool=str(tmp_path / "spool"),
            persist_seconds=86_400.0,
            time_limit_hours=hours,
        )
    )
    try:
        session.ask_for_checkpoint = asked.set
        assert asked.wait(60)
        name = session.next_stem()
        session.submit(snapshot(contents(1), kind="requested"))
        assert confirmed.wait(60)
    finally:
        session.close()
        report.speak_through(None)
    assert str(name) in lines[-1]
    assert sum("has been up for" in line for line in lines) == 1
