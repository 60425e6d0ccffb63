"""The story of a run: what a store tells, and no more than that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.snapshots import contents, snapshot
from helpers.strategies import hostile_numbers, json_values, meddled
from helpers.told_store import (
    BEGUN,
    CARRIED,
    END,
    EPOCHS,
    KEPT,
    NOTES,
    RUN,
    SECOND,
    THIRD,
    UNUSED,
    claim,
    journal,
    losses,
    put,
    state,
    story_of,
    tell,
)
from holdfast.runtime.claims import Before
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.history_text import story_lines
from holdfast.runtime.holder import Here
from holdfast.runtime.journal import Journal, Place, TrainingCall
from holdfast.runtime.names import Stem
from holdfast.runtime.spool import Spool, spool_folder
from holdfast.runtime.stores import FolderStore


@pytest.fixture
def top(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_how_each_session_ended_is_said_as_far_as_it_was_seen(top: FolderStore, tmp_path: Path) -> None:
    tell(top)
    story = story_of(top, tmp_path / "local")
    assert [one.ending for one in story.sessions] == ["killed", "machine lost or left", "not known"]
    assert [one.checkpoints for one in story.sessions] == [2, 1, 1]
    assert [one.last_at for one in story.sessions] == [BEGUN + 30, BEGUN + 100, BEGUN + 200]
    assert story.interruptions == 2


@pytest.mark.parametrize(("found", "said"), [("ended", "ended"), ("alive", "taken over")])
def test_what_the_next_session_found_is_how_one_ended(
    top: FolderStore, tmp_path: Path, found: Any, said: str
) -> None:
    claim(top.under(RUN), 1, SECOND, "here", BEGUN)
    claim(top.under(RUN), 2, THIRD, "here", BEGUN + 9, Before(SECOND, found))
    assert story_of(top, tmp_path).sessions[0].ending == said


def test_a_command_that_claims_the_run_is_no_session(top: FolderStore, tmp_path: Path) -> None:
    tell(top)
    Here(tmp_path / "local", top.url, RUN).claim(top.under(RUN))
    assert [one.incarnation for one in story_of(top, tmp_path / "local").sessions] == [1, 2, 3]


def test_the_losses_of_all_sessions_are_one_curve_the_newest_word_counts(
    top: FolderStore, tmp_path: Path
) -> None:
    tell(top)
    [slot] = story_of(top, tmp_path).slots
    [call] = slot.calls
    assert slot.metrics == ["loss"]
    assert [values["loss"] for _, values in sorted(call.values.items())] == losses(range(EPOCHS))["loss"]
    assert [values["val_loss"] for _, values in sorted(call.values.items())] == losses(range(EPOCHS))[
        "val_loss"
    ]
    assert [(mark.stem, mark.x) for mark in call.marks] == [
        (KEPT, 1.0),
        (UNUSED, 2.25),
        (CARRIED, 3.25),
        (END, float(EPOCHS)),
    ]
    assert [mark.milestone for mark in call.marks] == [False, False, False, True]


def test_what_a_newer_checkpoint_had_more_is_known_to_be_lost(top: FolderStore, tmp_path: Path) -> None:
    tell(top)
    first, second = story_of(top, tmp_path).slots[0].returns
    assert (first.lost, first.x, first.end_x, first.lost_epochs) == ("at least", 1.0, 2.25, 1.25)
    assert (second.lost, second.lost_epochs) == ("not known", 0.0)
    assert [(one.saved_epochs, one.saved_batches) for one in (first, second)] == [(1, 0), (3, 10)]


def test_work_lost_is_bounded_in_time_only_where_the_session_before_was_seen_to_be_gone(
    top: FolderStore, tmp_path: Path
) -> None:
    tell(top)
    story = story_of(top, tmp_path)
    assert story.lost_at_most(NOTES[0]) == 30.0  # begun at 50, the checkpoint taken at 20
    assert story.lost_at_most(NOTES[1]) is None  # its machine may have trained on
    assert story.lost_at_most(replace(NOTES[0], taken_at=BEGUN + 99)) is None  # clocks that do not agree


def test_epochs_before_a_call_began_were_not_saved_by_it(top: FolderStore, tmp_path: Path) -> None:
    note = replace(NOTES[0], epoch=12)
    value = state(14, epochs=range(10, 14))
    put(top.under(RUN), CARRIED, value, journal(TrainingCall({}, 20, 14), notes=[note]), at=BEGUN)
    [slot] = story_of(top, tmp_path).slots
    assert (slot.returns[0].saved_epochs, slot.returns[0].x) == (2, 2.0)
    assert slot.calls[0].done == 4


def test_calls_follow_one_another_on_the_axis(top: FolderStore, tmp_path: Path) -> None:
    store = top.under(RUN)
    done = TrainingCall({}, 3, 3, "done", milestone=KEPT)
    put(store, KEPT, state(3), journal(done), at=BEGUN, kind="milestone")
    put(store, UNUSED, state(1, 20, call=1), journal(done, TrainingCall({}, 5, 1)), at=BEGUN + 1)
    first, second = story_of(top, tmp_path).slots[0].calls
    assert (first.start, second.start, second.marks[0].x) == (0, 3, 4.5)


def test_a_short_call_without_a_checkpoint_has_the_losses_of_the_journal(
    top: FolderStore, tmp_path: Path
) -> None:
    short = TrainingCall({}, 2, 2, "done", history={"loss": [0.5, 0.25]})
    put(top.under(RUN), KEPT, state(1, call=7), journal(short), at=BEGUN)
    [call] = story_of(top, tmp_path).slots[0].calls
    assert call.values == {0: {"loss": 0.5}, 1: {"loss": 0.25}}


def test_a_metric_that_lacks_epochs_is_left_out(top: FolderStore, tmp_path: Path) -> None:
    value = state(4, history={"loss": [4.0, 3.0, 2.0, 1.0], "val_loss": [2.5, 1.5]})
    put(top.under(RUN), KEPT, value, journal(TrainingCall({}, 4, 4)), at=BEGUN)
    [call] = story_of(top, tmp_path).slots[0].calls
    assert call.last == {"loss": 1.0}


def test_a_store_of_before_there_were_notes_is_told_without(top: FolderStore, tmp_path: Path) -> None:
    put(top.under(RUN), KEPT, state(2), journal(TrainingCall({}, 4, 2)), at=BEGUN)
    put(top.under(RUN), CARRIED, state(3), journal(TrainingCall({}, 4, 3)), at=BEGUN + 5)
    story = story_of(top, tmp_path)
    assert [one.ending for one in story.sessions] == ["not known", "not known"]
    assert story.slots[0].returns == []
    assert story.interruptions == 0


def test_snapshots_of_this_machine_are_told_too(top: FolderStore, tmp_path: Path) -> None:
    tell(top)
    here = Here(tmp_path / "local", top.url, RUN)
    spool = Spool(spool_folder(here.spools, here.url, here.run))
    spool.make_folders()
    newest = Stem(4, 1, "dddddddd")
    written = journal(TrainingCall({}, 9, 8), notes=NOTES).to_dict()
    spool.write(RUN, newest, snapshot(contents(1), state=state(8), journal=written))
    story = story_of(top, here.spools)
    assert [(one.stem, one.written) for one in story.checkpoints][-2:] == [(END, True), (newest, False)]
    assert max(story.slots[0].calls[0].values) == 7


def test_the_lines_say_what_is_known_and_what_is_not(top: FolderStore, tmp_path: Path) -> None:
    tell(top)
    text = "\n".join(story_lines(story_of(top, tmp_path / "local")))
    assert "3 sessions, 2 known interruptions, 4 checkpoints written" in text
    assert "session 1 (aaaaaaaa): killed" in text
    assert "lost: at least 1.25 epochs, which a newer checkpoint had that was not used" in text
    assert "slot-0000 call 1 resumed: 3 epochs and 10 batches done, from 00000002-000001-bbbbbbbb" in text
    assert text.count("lost: not known: what was trained after that checkpoint") == 1
    assert "call 1: 6/6 epochs, done; loss 0.1667, val_loss 0.1833" in text


def test_a_run_of_which_nothing_is_known_says_so(top: FolderStore, tmp_path: Path) -> None:
    assert list(story_lines(story_of(top, tmp_path)))[1:] == [
        "nothing has happened in it that the store knows of"
    ]


def test_many_slots_are_named_only_the_newest_told(top: FolderStore, tmp_path: Path) -> None:
    made = Journal()
    for number in range(30):
        slot = made.add(f"fp {number}", ("Dense",), Place("cell", number))
        slot.record(0, TrainingCall({}, 2, 2, "done", history={"loss": [0.5, 0.25]}))
        slot.newest = Stem(1, number + 1, "aaaaaaaa")
    put(top.under(RUN), Stem(1, 30, "aaaaaaaa"), {}, made, at=BEGUN, slots=("slot-0029",))
    lines = list(story_lines(story_of(top, tmp_path)))
    assert [line for line in lines if line.startswith("slot-")] == [f"slot-{n:04d}" for n in range(22, 30)]
    assert lines[-1].startswith("older slots: slot-0000, slot-0001")


def test_lines_do_nothing_to_a_terminal(top: FolderStore, tmp_path: Path) -> None:
    wild = journal(TrainingCall({}, 2, 1), notes=[replace(NOTES[0], action="\x1b[2Jgone")])
    put(top.under(RUN), KEPT, state(1, history={"\x1b]0;x\x07": [1.0]}), wild, at=BEGUN)
    assert all(line.isprintable() for line in story_lines(story_of(top, tmp_path)))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_a_manifest_holds_only_the_projects_errors_come_out(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    top = FolderStore(folder / "store")
    good_state, good_journal = state(3, 10, logs={"loss": 1.0}), journal(TrainingCall({}, 9, 3), notes=NOTES)
    value = data.draw(
        st.one_of(meddled(good_state), st.dictionaries(st.text(max_size=9), json_values, max_size=4))
    )
    written = data.draw(meddled(good_journal.to_dict()))
    at = data.draw(st.floats(0, 2.0**61))
    if not isinstance(value, dict) or not isinstance(written, dict):
        return
    put(top.under(RUN), KEPT, state(1), good_journal, at=BEGUN)
    put(top.under(RUN), CARRIED, value, written, at=at)
    wild = data.draw(hostile_numbers)
    claim(top.under(RUN), 9, THIRD, "here", wild if isinstance(wild, (int, float)) else 0.0)
    try:
        lines = list(story_lines(story_of(top, folder)))
    except HoldfastError:
        return
    assert all(line.isprintable() for line in lines)
    assert lines[0].startswith("run run in ")
