"""When snapshots are taken and persisted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helpers.snapshots import stem
from helpers.strategies import few_stems, kinds, slot_names
from holdfast.runtime.schedule import Waiting, next_to_persist, superseded

waiting_lists = st.lists(
    st.builds(Waiting, few_stems, kinds, st.lists(slot_names, min_size=1, unique=True).map(tuple)),
    max_size=10,
    unique_by=lambda one: one.stem,
)


@given(waiting_lists)
def test_the_newest_of_every_slot_is_never_superseded(waiting: list[Waiting]) -> None:
    stale = superseded(waiting)
    for slot in {slot for one in waiting for slot in one.slots}:
        assert max(one.stem for one in waiting if slot in one.slots) not in stale


@given(waiting_lists)
def test_a_milestone_is_never_superseded(waiting: list[Waiting]) -> None:
    assert not superseded(waiting) & {one.stem for one in waiting if one.kind == "milestone"}


@given(waiting_lists)
def test_what_newer_ones_hold_entirely_is_superseded(waiting: list[Waiting]) -> None:
    stale = superseded(waiting)
    for one in waiting:
        newer = {slot for other in waiting if other.stem > one.stem for slot in other.slots}
        assert (one.stem in stale) == (one.kind != "milestone" and newer.issuperset(one.slots))


@given(waiting_lists, st.floats(0, 100), st.floats(0, 100), st.floats(0.1, 50))
def test_the_oldest_that_is_wanted_is_persisted_next(
    waiting: list[Waiting], now: float, last: float, interval: float
) -> None:
    stale = superseded(waiting)
    useful = [one for one in waiting if one.stem not in stale]
    asked = [one for one in waiting if one.kind != "scheduled"]
    owed = [(other.stem, slot) for other in asked if other.stem in superseded(waiting) for slot in other.slots]
    urgent = [
        one
        for one in useful
        if one in asked or any(one.stem > asked_at and slot in one.slots for asked_at, slot in owed)
    ]
    wanted = useful if now - last >= interval else urgent
    chosen = next_to_persist(waiting, now, last, interval, draining=False)
    assert chosen == min(wanted, key=lambda one: one.stem, default=None)


@given(waiting_lists)
def test_draining_brings_out_all_that_is_not_superseded_oldest_first(waiting: list[Waiting]) -> None:
    left, out = list(waiting), []
    while (one := next_to_persist(left, 0.0, 0.0, 1e9, draining=True)) is not None:
        out.append(one.stem)
        left.remove(one)
    # What the newest one covered goes out once that one has gone, so nothing that matters is left.
    assert {one.stem for one in waiting} - superseded(waiting) <= set(out)


def test_a_scheduled_snapshot_waits_for_its_interval_and_the_others_do_not() -> None:
    scheduled = Waiting(stem(2), "scheduled", ("b",))
    requested = Waiting(stem(1), "requested", ("a",))
    assert next_to_persist([scheduled], 9.0, 0.0, 10.0, draining=False) is None
    assert next_to_persist([scheduled], 10.0, 0.0, 10.0, draining=False) == scheduled
    assert next_to_persist([scheduled, requested], 9.0, 0.0, 10.0, draining=False) == requested


def test_what_was_asked_for_goes_out_also_when_a_newer_snapshot_has_superseded_it() -> None:
    asked, newer = Waiting(stem(1), "requested", ("a",)), Waiting(stem(2), "scheduled", ("a",))
    other = Waiting(stem(3), "scheduled", ("b",))
    assert next_to_persist([asked, newer, other], 0.0, 0.0, 60.0, draining=False) == newer
    assert next_to_persist([newer, other], 0.0, 0.0, 60.0, draining=False) is None
