"""The journal: matching, the resume table, and reading what may not be a journal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.snapshots import stem
from helpers.strategies import finite_json_objects, json_objects, meddled, stems
from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.journal import (
    FEW_CALLS,
    MAX_CALLS,
    MAX_SLOTS,
    STREAM_CALLS,
    Action,
    Journal,
    Place,
    Slot,
    TrainingCall,
    decide,
    differences,
    finish,
    journal_from_dict,
    structure_difference,
)

places = st.builds(Place, st.sampled_from(["cell-a", "cell-b"]), st.integers(0, 2))
calls = st.builds(
    TrainingCall,
    definition=finite_json_objects,
    requested=st.integers(0, 100),
    completed=st.integers(0, 100),
    status=st.sampled_from(["open", "done"]),
    stopped_early=st.booleans(),
    milestone=st.none() | stems,
    history=st.dictionaries(st.text(max_size=5), st.lists(st.floats(allow_nan=False), max_size=3), max_size=2),
    slot=st.sampled_from(["", "slot-0000"]),
)


@st.composite
def journals(draw: st.DrawFn) -> Journal:
    """Any journal of a few slots."""
    journal = Journal()
    for _ in range(draw(st.integers(0, 5))):
        slot = journal.add(draw(st.sampled_from(["fp-1", "fp-2"])), ("Dense", "(3, 4)"), draw(places))
        slot.newest = draw(st.none() | stems)
        slot.calls = draw(st.lists(calls, max_size=3))
        slot.first_call = draw(st.integers(0, 10))
        slot.retired = draw(st.integers(0, 5))
        slot.early = tuple(draw(st.lists(st.text(max_size=5), max_size=2)))
    return journal


@given(journals())
def test_a_journal_round_trips_through_json(journal: Journal) -> None:
    assert journal_from_dict(json.loads(json.dumps(journal.to_dict()))) == journal


@given(json_objects)
def test_random_json_gives_only_format_errors(value: dict[str, Any]) -> None:
    for candidate in (value, {"slots": value}, {"slots": [value]}):
        with pytest.raises(FormatInvalid):
            if journal_from_dict(candidate) == Journal():  # an empty sequence of slots is a journal
                raise FormatInvalid("none")


def one_slot() -> Journal:
    journal = Journal()
    slot = journal.add("fp", ("Dense",), Place("cell", 0))
    slot.newest = stem(4)
    slot.record(0, TrainingCall({"loss": "mse"}, 5, 5, "done", milestone=stem(3)))
    return journal


@given(st.data())
def test_a_journal_with_one_value_replaced_gives_only_format_errors(data: st.DataObject) -> None:
    value = data.draw(meddled(one_slot().to_dict()))
    if not isinstance(value, dict):
        return
    try:
        journal_from_dict(json.loads(json.dumps(value)))
    except FormatInvalid:
        return


@pytest.mark.parametrize("key", ["first_call", "place"])
def test_an_infinite_number_is_a_format_error(key: str) -> None:
    value = one_slot().to_dict()
    value["slots"][0][key] = ["cell", float("inf")] if key == "place" else float("inf")
    with pytest.raises(FormatInvalid):
        journal_from_dict(value)


@given(journals(), st.sampled_from(["fp-1", "fp-2", "fp-3"]), places, st.data())
def test_a_slot_is_matched_by_place_then_cell_then_age(
    journal: Journal, fingerprint: str, place: Place, data: st.DataObject
) -> None:
    names = [slot.name for slot in journal.slots]
    bound = data.draw(st.sets(st.sampled_from(names))) if names else set[str]()

    def rank(slot: Slot) -> int | None:
        if slot.fingerprint != fingerprint or slot.retired:
            return None
        if slot.place == place:
            return 0
        if slot.name in bound:
            return None
        return 1 if slot.place.cell == place.cell else 2

    ranked = [(rank(slot), age) for age, slot in enumerate(journal.slots)]
    best = min(((first, age) for first, age in ranked if first is not None), default=None)
    assert journal.match(fingerprint, place, bound) is (None if best is None else journal.slots[best[1]])


def test_a_retired_slot_is_matched_by_nothing() -> None:
    journal = Journal()
    place = Place("cell", 0)
    journal.retire(journal.add("fp", (), place))
    assert journal.match("fp", place, ()) is None
    assert journal.at(place) is None
    fresh = journal.add("fp", (), place)
    assert journal.match("fp", place, ()) is fresh


def test_what_was_put_aside_last_comes_back_in_place_of_what_followed_it() -> None:
    journal = Journal()
    first, elsewhere = (journal.add("fp", (), Place("cell", ordinal)) for ordinal in (0, 1))
    journal.retire(first)
    second = journal.add("fp", (), first.place)
    journal.retire(second)
    third = journal.add("fp", (), first.place)
    assert journal.revive([elsewhere]) == []
    assert journal.revive([third, first]) == [second]
    assert journal.in_use() == [elsewhere, second]
    assert journal.revive(journal.slots) == [third]
    journal.retire(third)
    assert journal.revive([third]) == [third]


@given(journals(), st.data())
def test_reviving_leaves_one_slot_in_use_at_each_place(journal: Journal, data: st.DataObject) -> None:
    names = (
        data.draw(st.sets(st.sampled_from([slot.name for slot in journal.slots]))) if journal.slots else set()
    )
    chosen = [slot for slot in journal.slots if slot.name in names]
    before = {slot.name for slot in journal.in_use()}
    revived = journal.revive(chosen)
    for slot in revived:
        there = [
            one for one in journal.in_use() if (one.fingerprint, one.place) == (slot.fingerprint, slot.place)
        ]
        assert there == [slot]
        assert slot.name not in before
    places = {(slot.fingerprint, slot.place) for slot in chosen}
    touched = before ^ {slot.name for slot in journal.in_use()}
    assert all((slot.fingerprint, slot.place) in places for slot in journal.slots if slot.name in touched)


@given(journals())
def test_new_slots_have_new_names(journal: Journal) -> None:
    journal.add("fp", (), Place("cell", 0))
    assert len({slot.name for slot in journal.slots}) == len(journal.slots)


@given(journals())
def test_every_checkpoint_in_the_journal_is_among_its_stems(journal: Journal) -> None:
    named = {text for text in _texts(journal.to_dict()) if text.count("-") == 2}
    assert {str(one) for one in journal.stems()} <= named
    for slot in journal.slots:
        assert slot.newest is None or slot.newest in journal.stems()
        assert all(call.milestone is None or call.milestone in journal.stems() for call in slot.calls)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


@given(st.lists(st.integers(0, 3), max_size=20))
def test_a_recorded_call_is_found_and_those_after_it_are_forgotten(steps_back: list[int]) -> None:
    slot = Slot("slot-0000", "fp", (), Place("cell", 0))
    for requested, back in enumerate(steps_back):
        number = max(slot.first_call, slot.end - back)
        call = TrainingCall({}, requested)
        slot.record(number, call)
        assert slot.call(number) is call
        assert slot.end == number + 1
        assert slot.call(number + 1) is None


def test_a_slot_with_thousands_of_calls_stays_bounded_and_keeps_their_numbers() -> None:
    slot = Slot("slot-0000", "fp", (), Place("cell", 0))
    for number in range(MAX_CALLS * 3):
        slot.record(number, TrainingCall({}, number))
    assert len(slot.calls) == MAX_CALLS
    assert slot.end == MAX_CALLS * 3
    newest = slot.call(MAX_CALLS * 3 - 1)
    assert newest is not None
    assert newest.requested == MAX_CALLS * 3 - 1
    assert slot.call(0) is None


def past(status: str, completed: int, **rest: Any) -> TrainingCall:
    rest.setdefault("milestone", stem(3) if status == "done" else None)
    return TrainingCall(
        {"loss": "mse", "batch": 32}, 10, completed, "done" if status == "done" else "open", **rest
    )


SAME: dict[str, Any] = {"loss": "mse", "batch": 32}
CHANGED: dict[str, Any] = {"loss": "mae", "batch": 32}


@pytest.mark.parametrize(
    ("call", "definition", "epochs", "action"),
    [
        (None, SAME, 10, "train"),
        (past("open", 3), SAME, 10, "resume"),
        (past("open", 0), SAME, 10, "resume"),
        (past("open", 3), CHANGED, 10, "resume changed"),
        (past("done", 10), SAME, 11, "train on"),
        (past("done", 10), SAME, 10, "replay"),
        (past("done", 10), SAME, 9, "replay"),
        (past("done", 4, stopped_early=True), SAME, 10, "replay"),
        (past("done", 10), CHANGED, 10, "new experiment"),
        (past("done", 10), CHANGED, 99, "new experiment"),
        (past("done", 10, milestone=None), SAME, 10, "skip"),
        (past("done", 10, milestone=None), SAME, 11, "skip"),
        (past("done", 10, milestone=None), CHANGED, 10, "new experiment"),
        (past("open", 3, milestone=None), SAME, 10, "resume"),
    ],
)
def test_the_resume_table(
    call: TrainingCall | None, definition: dict[str, Any], epochs: int, action: Action
) -> None:
    decision = decide(call, definition, epochs)
    assert decision.action == action
    said = action in ("resume changed", "new experiment")
    assert decision.changes == (("loss: mse → mae",) if said else ())


def test_a_finished_training_goes_on_under_a_new_definition_where_the_user_asked_for_it() -> None:
    decision = decide(past("done", 10), CHANGED, 10, continue_changed=True)
    assert decision.action == "resume changed"


@given(finite_json_objects, finite_json_objects)
def test_definitions_differ_where_and_only_where_they_are_unequal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert differences(one, one) == ()
    absent_is_none = dict.fromkeys(one.keys() | other.keys())
    assert bool(differences(one, other)) == ((absent_is_none | one) != (absent_is_none | other))


def test_a_change_deep_inside_is_named_by_its_path() -> None:
    old = {"optimizer": {"name": "adam", "rate": 0.1}}
    new = {"optimizer": {"name": "adam", "rate": 0.2}}
    assert differences(old, new) == ("optimizer.rate: 0.1 → 0.2",)


def test_structures_are_compared_line_by_line() -> None:
    assert structure_difference(("Dense 3", "Dense 4"), ("Dense 3", "Dense 5")) == ("-Dense 4", "+Dense 5")


def test_a_finished_call_has_its_milestone_noted_later() -> None:
    done = finish(TrainingCall(SAME, 10, 3), 10, stopped_early=False, history={"loss": [0.5]})
    assert (done.status, done.completed, done.milestone) == ("done", 10, None)
    slot = Slot("slot-0000", "fp", (), Place("cell", 0), calls=[done, done], first_call=3)
    slot.amend(3, replace(done, milestone=stem(9)))
    slot.amend(2, done)
    assert [call.milestone for call in slot.calls] == [stem(9), None]


def test_the_data_of_a_stream_decide_nothing() -> None:
    call = past("done", 1, milestone=None)
    changed = {**SAME, "data": "other"}
    assert decide(call, changed, 1).action == "new experiment"
    assert decide(call, changed, 1, stream=True).action == "skip"
    assert decide(call, {**CHANGED, "data": "other"}, 1, stream=True).action == "new experiment"


def test_a_slot_is_a_stream_from_many_calls_on() -> None:
    slot = Slot("slot-0000", "fp", (), Place("cell", 0))
    for number in range(STREAM_CALLS):
        assert not slot.is_stream
        slot.record(number, past("done", 1))
    assert slot.is_stream


def test_however_many_slots_and_calls_the_journal_stays_bounded() -> None:
    journal = Journal()
    for number in range(MAX_SLOTS + 30):
        slot = journal.add("fp", ("Dense",), Place("cell", number))
        for call in range(FEW_CALLS + 3):
            slot.record(call, TrainingCall(journal.same_definition({"loss": "mse"}), 1, 1, "done"))
    assert len(journal.slots) == MAX_SLOTS
    assert len({slot.name for slot in journal.slots}) == MAX_SLOTS
    assert len(journal.slots[0].calls) == FEW_CALLS
    assert journal.slots[0].end == FEW_CALLS + 3
    written = journal.to_dict()
    assert (len(written["structures"]), len(written["definitions"])) == (1, 1)


def test_of_definitions_that_are_alike_the_difference_is_written() -> None:
    journal = Journal()
    for number in range(100):
        slot = journal.add("fp", ("Dense",), Place("cell", number))
        slot.record(0, TrainingCall({**SAME, "data": f"hash {number}"}, 1, 1, "done"))
    other = {"loop": "items"}
    journal.slots[50].calls[0] = replace(journal.slots[50].calls[0], definition=other)
    written = journal.to_dict()
    assert written["definitions"][49] == {"data": "hash 49"}
    assert journal_from_dict(json.loads(json.dumps(written))) == journal
    assert journal.remembered == 100


def test_loops_that_moved_nothing_are_the_first_to_be_forgotten() -> None:
    journal = Journal()
    trained = journal.add("fp", ("Dense", "(3, 4)"), Place("cell", 0))
    for number in range(MAX_SLOTS + 5):
        journal.add("empty", ("custom loop",), Place("cell", number))
    assert len(journal.slots) == MAX_SLOTS
    assert journal.slots[0] is trained
    assert journal.slots[-1].place.ordinal == MAX_SLOTS + 4
