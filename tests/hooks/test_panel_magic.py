"""The words of ``%holdfast``: help, unknown words, completion. No runtime is needed for them."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.hooks.magics import WORDS, completions, help_text, run_line

SLOTS = ["slot-0001", "slot-0002"]


def said(capsys: pytest.CaptureFixture[str], line: str, handle: Any = None) -> str:
    run_line(handle, line, {})
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "nearest"), [("stauts", "status"), ("chekpoint", "checkpoint"), ("hlep", "help")]
)
def test_an_unknown_word_names_the_nearest_one(
    capsys: pytest.CaptureFixture[str], typed: str, nearest: str
) -> None:
    assert f"did you mean %holdfast {nearest}?" in said(capsys, typed)


def test_a_word_like_no_other_has_the_help_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "xyzzy")
    assert "did you mean" not in text
    assert help_text() in text


def test_help_has_a_line_for_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "help")
    assert all(f"  {name}" in text for name in WORDS)


@pytest.mark.parametrize("line", ["stop now", "fresh a b", "status all", "plot purple", "plot dark x"])
def test_more_than_a_word_takes_is_said_and_nothing_is_done(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert "takes" in said(capsys, line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%holdfast ", list(WORDS)),
        ("%holdfast", list(WORDS)),
        ("%holdfast che", ["checkpoint"]),
        ("%holdfast st", ["status", "stop"]),
        ("%holdfast fresh ", SLOTS),
        ("%holdfast continue slot-0002", ["slot-0002"]),
        ("%holdfast status ", []),
        ("%holdfast plot ", ["light", "dark"]),
        ("%holdfast plot d", ["dark"]),
        ("%holdfast fresh slot-0001 ", []),
        ("%holdfast nonsense ", []),
    ],
)
def test_words_and_slots_are_completed(line: str, expected: list[str]) -> None:
    assert completions(line, SLOTS) == expected
