"""The settings file, watched while a session runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.processes import GIVE_UP_SECONDS, eventually
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


def write_in_place(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def replace_by_rename(file: Path, text: str) -> None:
    replace_atomically(file, text.encode())


def replace_from_elsewhere(file: Path, text: str) -> None:
    """As `mv` does it from a folder that nobody watches."""
    (file.parent / "elsewhere").mkdir(exist_ok=True)
    (file.parent / "elsewhere" / "new").write_text(text, encoding="utf-8")
    (file.parent / "elsewhere" / "new").rename(file)


def move_aside_and_write_anew(file: Path, text: str) -> None:
    """As vim does it, which keeps the old file as a backup."""
    if file.exists():
        file.rename(file.with_name("holdfast.yaml~"))
    file.write_text(text, encoding="utf-8")


def append_in_two_writes(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8") as opened:
        opened.write(text[:5])
        opened.flush()
        opened.write(text[5:])


WAYS = [
    write_in_place,
    replace_by_rename,
    replace_from_elsewhere,
    move_aside_and_write_anew,
    append_in_two_writes,
]


@pytest.mark.parametrize("save", WAYS)
def test_changes_come_into_force_however_they_are_saved(
    file: Path, session: Session, watch: SettingsWatch, said: list[str], save: Callable[[Path, str], None]
) -> None:
    assert session.settings.keep_last == Settings().keep_last
    save(file, "keep_last: 7\n")
    eventually(lambda: session.settings.keep_last == 7, "the first change")
    save(file, "keep_last: 8\nmax_bytes: 10 GB\n")
    eventually(lambda: session.settings.keep_last == 8, "the second change")
    watch.stop()
    assert session.settings.max_bytes == 10**10
    changes = [line for line in said if line.startswith(f"holdfast: the settings in {file}: ")]
    assert any("keep_last is 7 now, was 3" in line for line in changes)
    assert "keep_last is 8 now" in changes[-1]
    assert "max_bytes is 10 GB now, was 0" in changes[-1]


def test_what_a_file_gave_goes_with_it(
    file: Path, session: Session, watch: SettingsWatch, said: list[str]
) -> None:
    file.write_text("keep_last: 7\n", encoding="utf-8")
    eventually(lambda: session.settings.keep_last == 7, "the change")
    file.unlink()
    eventually(lambda: session.settings.keep_last == Settings().keep_last, "the default")
    watch.stop()
    assert said[-1] == f"holdfast: {file} is gone: keep_last is 3 now, was 7"


def test_a_save_that_changes_nothing_is_not_worth_a_line(
    file: Path, session: Session, watch: SettingsWatch, said: list[str]
) -> None:
    file.write_text("keep_last: 3\n", encoding="utf-8")
    watch.reload()
    assert not [line for line in said if str(file) in line]


def test_store_run_and_spool_stay_and_this_is_said_once(file: Path, session: Session, said: list[str]) -> None:
    settings = given(file)
    watch = SettingsWatch(file, lambda: settings, session)
    watch.stop()
    before = session.settings
    settings = replace(settings, store="elsewhere", run="other", keep_last=9)
    watch.reload()
    watch.reload()
    assert session.settings == replace(before, keep_last=9)
    (line,) = [line for line in said if "cannot change" in line]
    assert line.startswith("holdfast: store and run cannot change while a session runs")


def test_an_error_of_ours_does_not_end_the_watch(file: Path, session: Session, watch: SettingsWatch) -> None:
    def broken() -> Settings:
        raised.set()
        raise ZeroDivisionError

    raised, good = threading.Event(), watch._load
    watch._load = broken
    file.write_text("keep_last: 7\n", encoding="utf-8")
    assert raised.wait(GIVE_UP_SECONDS)
    watch._load = good
    file.write_text("keep_last: 8\n", encoding="utf-8")
    eventually(lambda: session.settings.keep_last == 8, "the change after the error")


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
    file.write_text("keep_last: 7\n", encoding="utf-8")
    watch.reload()
    assert "nothing is wrong any more" in said[-1]
