"""Notes of where trainings went on from: bounded, read again, and no checkpoint is lost for them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given

from helpers.snapshots import stem
from helpers.strategies import json_values
from holdfast.runtime.journal import Journal, journal_from_dict
from holdfast.runtime.resumptions import MAX_RESUMPTIONS, Resumption, together

NOTE = Resumption(1_700_000_100.5, 2, "slot-0000", 1, "resume", stem(4), "scheduled", 1_700_000_000.25, 3, 40)


def test_a_journal_keeps_the_newest_notes_and_reads_them_again() -> None:
    journal = Journal()
    for number in range(MAX_RESUMPTIONS + 5):
        journal.note(replace(NOTE, epoch=number))
    assert [note.epoch for note in journal.resumptions] == list(range(5, MAX_RESUMPTIONS + 5))
    value = json.loads(json.dumps(journal.to_dict()))
    assert journal_from_dict(value) == journal
    assert len(json.dumps(value)) < 250 * MAX_RESUMPTIONS


def test_a_journal_without_notes_is_as_it_was_before_there_were_notes() -> None:
    assert "resumptions" not in Journal().to_dict()


@given(json_values)
def test_what_is_no_note_is_passed_over(value: Any) -> None:
    good = NOTE.to_dict()
    for key in good:
        notes = [value, good | {key: value}, good]
        found = journal_from_dict({"slots": [], "resumptions": notes}).resumptions
        assert found[-1] == NOTE
    assert isinstance(journal_from_dict({"slots": [], "resumptions": value}).resumptions, list)


def test_notes_of_several_journals_are_put_in_order_once_each() -> None:
    later = replace(NOTE, incarnation=3)
    assert together([[later, NOTE], [NOTE]]) == [NOTE, later]
