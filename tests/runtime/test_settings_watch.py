"""The settings file, watched while a session runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.processes import eventually
from holdfast.runtime.files import replace_atomically
from holdfast.runtime.session import Session
from holdfast.runtime.settings import FILE_NAME, Settings, load
from holdfast.runtime.settings_watch import SettingsWatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.fixture
def session(file: Path, said: list[str]) -> Iterator[Session]:
    opened = Session.open(given(file))
    yield opened
    opened.close()


@pytest.fixture
def watch(file: Path, session: Session) -> Iterator[SettingsWatch]:
    made = SettingsWatch(file, lambda: given(file), session)
    yield made
    made.stop()


def given(file: Path) -> Settings:
    """The settings in force for a session whose folders lie beside the file."""
    folder = file.parent
    return load(folder, {"store": str(folder / "store"), "run": "run", "spool": str(folder / "local")})


def test_changes_come_into_force_as_they_are_saved(file: Path, session: Session, watch: SettingsWatch) -> None:
    assert session.settings.keep_last == Settings().keep_last
    file.write_text("keep_last: 7\n", encoding="utf-8")
    eventually(lambda: session.settings.keep_last == 7, "the first change")
    replace_atomically(file, b"keep_last: 8\n")  # as many editors save
    eventually(lambda: session.settings.keep_last == 8, "the second change")
    file.unlink()
    eventually(lambda: session.settings.keep_last == Settings().keep_last, "the default")


def test_bad_settings_are_said_as_they_are_saved(
    file: Path, session: Session, watch: SettingsWatch, said: list[str]
) -> None:
    file.write_text("keep_last: none\n", encoding="utf-8")
    eventually(lambda: any("stay in force" in line for line in said), "what is said of it")
    assert any(f"{file}:1" in line for line in said)


@pytest.mark.parametrize("bad", ["keep_last: none", "{", "keep_last: 2001-13-45", "keep_last: " + "9" * 400])
def test_bad_settings_leave_the_last_good_ones_in_force(
    file: Path, session: Session, watch: SettingsWatch, said: list[str], bad: str
) -> None:
    file.write_text("keep_last: 7\n", encoding="utf-8")
    eventually(lambda: session.settings.keep_last == 7, "the first change")
    watch.stop()
    file.write_text(bad, encoding="utf-8")
    watch.reload()
    assert f"{file}:1" in said[-1]
    assert "last good settings stay in force" in said[-1]
    assert session.settings.keep_last == 7
