"""The arithmetic of the benchmark of what a kill loses."""

from __future__ import annotations

from pathlib import Path

import pytest

from lost import Part, loss_of, parts_of

KILLED = Part(begun=100.0, start=50, ends=[101.0, 102.0, 103.0, 104.0])
"""Steps 51 to 54."""


def test_lost_is_what_was_trained_after_the_place_gone_on_from() -> None:
    lost = loss_of(KILLED, 104.5, resumed_from=52)
    assert (lost.steps, lost.seconds, lost.trained) == (2, 2.5, 4.5)


def test_nothing_but_the_broken_step_is_lost_after_the_last_one() -> None:
    lost = loss_of(KILLED, 104.5, resumed_from=54)
    assert (lost.steps, lost.seconds) == (0, 0.5)


def test_where_nothing_of_it_was_kept_the_steps_before_it_count_too() -> None:
    lost = loss_of(KILLED, 104.5, resumed_from=40)
    assert (lost.steps, lost.seconds) == (14, 4.5)


def test_a_place_that_nobody_has_trained_is_an_error() -> None:
    with pytest.raises(ValueError, match="nobody has trained"):
        loss_of(KILLED, 104.5, resumed_from=55)


def test_notes_are_read_process_by_process_and_a_line_cut_short_is_none(tmp_path: Path) -> None:
    path = tmp_path / "steps"
    assert parts_of(path) == []
    path.write_text("from 0 1.5\n2.5\n3.5\nfrom 1 10.0\n11.0\n12", encoding="ascii")
    assert parts_of(path) == [Part(1.5, 0, [2.5, 3.5]), Part(10.0, 1, [11.0])]
