"""What is told of the work lost after the checkpoint that a training goes on from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.processes import eventually
from helpers.snapshots import contents, snapshot
from holdfast.runtime.last_step import FILE_NAME, LastStep
from holdfast.runtime.session import Session
from holdfast.runtime.settings import Settings


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (LastStep(), "what was trained after it, if anything, is lost"),
        (LastStep("a", 90.0, exact=True), "nothing is lost"),
        (LastStep("a", 105.0, exact=True), "5.0 s of training after it is lost"),
        (LastStep("a", 90.0), "about a second or less of training after it is lost"),
        (LastStep("a", 112.3), "about 12 s of training after it is lost"),
    ],
)
def test_what_is_lost_is_told_as_far_as_it_is_known(last: LastStep, says: str) -> None:
    assert last.lost_since(100.0) == says


@pytest.mark.parametrize(
    "value", [None, [], {}, {"session": 1, "at": 5}, {"session": "a", "at": "x"}, {"session": "a", "at": 1e99}]
)
def test_a_file_that_says_nothing_sensible_says_nothing(tmp_path: Path, value: Any) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps(value), encoding="utf-8")
    assert LastStep.load(tmp_path) == LastStep()


@pytest.fixture
def sessions(tmp_path: Path, said: list[str]) -> Iterator[list[Session]]:
    assert said == []
    opened: list[Session] = []
    yield opened
    for one in opened:
        one.close()


def begin(sessions: list[Session], folder: Path) -> Session:
    settings = Settings(
        store=str(folder / "store"), run="r", spool=str(folder / "spool"), persist_seconds=9999.0
    )
    sessions.append(Session.open(settings))
    return sessions[-1]


def save(session: Session) -> None:
    assert session.submit(replace(snapshot(contents(1)), taken_at=session.last_step_at))
    session.flush()


def test_a_session_tells_what_the_one_before_has_lost(tmp_path: Path, sessions: list[Session]) -> None:
    first = begin(sessions, tmp_path)
    first.step_ended()
    save(first)
    found = first.newest_of("slot-0000")
    assert found is not None
    assert first.lost_after(found) == "nothing is lost"
    first.step_ended()
    assert first.lost_after(found).endswith("s of training after it is lost")
    eventually(lambda: LastStep.load(first.spool.folder).at == first.last_step_at, "its being noted")

    second = begin(sessions, tmp_path)
    assert second.lost_after(found) == "about a second or less of training after it is lost"
    second.step_ended()
    save(second)
    second.close()
    third = begin(sessions, tmp_path)
    newest = third.newest_of("slot-0000")
    assert newest is not None
    assert third.lost_after(newest) == "nothing is lost"
    assert third.lost_after(found) == "what was trained after it, if anything, is lost"
