"""Which checkpoints a store keeps."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from helpers.snapshots import stem
from helpers.strategies import few_stems, kinds, slot_names
from holdfast.runtime.manifest import Kind
from holdfast.runtime.names import Stem, parse_object_name
from holdfast.runtime.retention import Deletions, Policy, Stored, choose_deletions, mostly_dead

object_names = st.builds(Stem.object_name, few_stems, st.integers(0, 1))
checkpoints = st.lists(
    st.builds(
        Stored,
        few_stems,
        kinds,
        st.lists(slot_names, min_size=1, unique=True).map(tuple),
        st.floats(0, 400_000),
        st.dictionaries(object_names, st.integers(0, 100), max_size=4),
    ),
    max_size=15,
    unique_by=lambda one: one.stem,
)
object_maps = st.dictionaries(object_names, st.integers(0, 100), max_size=15)
needed_sets = st.frozensets(few_stems, max_size=4)
policies = st.builds(Policy, st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))


LAST_THREE = Policy(last=3, hourly=0, daily=0)


def made(number: int, *, kind: Kind = "scheduled", taken_at: float = 0.0) -> Stored:
    """A checkpoint of one slot with an object of its own."""
    return Stored(stem(number), kind, ("a",), taken_at, {stem(number).object_name(): 10})


def remaining(stored: list[Stored], deletions: Deletions) -> list[Stored]:
    return [one for one in stored if one.stem not in deletions.manifests]


@given(checkpoints, object_maps, needed_sets, policies)
def test_the_newest_of_every_slot_are_kept(
    stored: list[Stored], objects: dict[str, int], needed: frozenset[Stem], policy: Policy
) -> None:
    gone = set(choose_deletions(stored, objects, policy, needed=needed).manifests)
    for slot in {slot for one in stored for slot in one.slots}:
        newest = sorted((one.stem for one in stored if slot in one.slots), reverse=True)[: policy.last]
        assert not gone & set(newest)


@given(checkpoints, object_maps, needed_sets, policies)
def test_milestones_and_what_the_journal_names_are_kept(
    stored: list[Stored], objects: dict[str, int], needed: frozenset[Stem], policy: Policy
) -> None:
    gone = set(choose_deletions(stored, objects, policy, needed=needed).manifests)
    assert not gone & needed
    assert not gone & {one.stem for one in stored if one.kind == "milestone"}


def newest_of_its_span(one: Stored, slot: str, stored: list[Stored], seconds: int, count: int) -> bool:
    """Whether it is the newest of its hour or day, and that one of the last ``count`` that have one."""
    newer = [other for other in stored if slot in other.slots and other.stem > one.stem]
    spans = {other.taken_at // seconds for other in newer}
    return one.taken_at // seconds not in spans and len(spans) < count


@given(checkpoints, object_maps, needed_sets, policies)
def test_no_more_than_that_is_kept(
    stored: list[Stored], objects: dict[str, int], needed: frozenset[Stem], policy: Policy
) -> None:
    for one in remaining(stored, choose_deletions(stored, objects, policy, needed=needed)):
        newer = [sum(slot in other.slots and other.stem > one.stem for other in stored) for slot in one.slots]
        if min(newer) < policy.last or one.kind == "milestone" or one.stem in needed:
            continue
        assert any(newest_of_its_span(one, slot, stored, 3600, policy.hourly) for slot in one.slots) or any(
            newest_of_its_span(one, slot, stored, 86_400, policy.daily) for slot in one.slots
        )


@given(checkpoints, object_maps, needed_sets, policies)
def test_no_object_that_a_kept_manifest_names_is_deleted(
    stored: list[Stored], objects: dict[str, int], needed: frozenset[Stem], policy: Policy
) -> None:
    deletions = choose_deletions(stored, objects, policy, needed=needed)
    for one in remaining(stored, deletions):
        assert not one.objects.keys() & set(deletions.objects)


@given(checkpoints, object_maps, needed_sets, policies)
def test_no_object_as_new_as_the_newest_manifest_is_deleted(
    stored: list[Stored], objects: dict[str, int], needed: frozenset[Stem], policy: Policy
) -> None:
    deletions = choose_deletions(stored, objects, policy, needed=needed)
    for name in deletions.objects:
        assert parse_object_name(name) < max(one.stem for one in stored)


@given(checkpoints, object_maps, needed_sets, policies)
def test_deciding_again_deletes_nothing_more(
    stored: list[Stored], objects: dict[str, int], needed: frozenset[Stem], policy: Policy
) -> None:
    deletions = choose_deletions(stored, objects, policy, needed=needed)
    left = {name: by for name, by in objects.items() if name not in deletions.objects}
    assert choose_deletions(remaining(stored, deletions), left, policy, needed=needed).manifests == ()


def test_manifests_leave_oldest_first_and_take_their_objects_along() -> None:
    stored = [made(number) for number in range(1, 6)]
    objects = {stem(number).object_name(): 10 for number in range(1, 6)}
    deletions = choose_deletions(stored, objects, LAST_THREE)
    assert deletions.manifests == (stem(1), stem(2))
    assert deletions.objects == (stem(1).object_name(), stem(2).object_name())
    assert deletions.bytes_kept == 30


def test_an_orphan_of_a_broken_upload_goes_once_a_newer_checkpoint_is_there() -> None:
    orphan = {stem(2).object_name(): 10}
    assert choose_deletions([made(1)], orphan, LAST_THREE).objects == ()
    assert choose_deletions([made(1), made(3)], orphan, LAST_THREE).objects == (stem(2).object_name(),)


def test_without_any_manifest_nothing_is_deleted() -> None:
    deletions = choose_deletions([], {stem(1).object_name(): 10}, LAST_THREE)
    assert deletions == Deletions((), (), 0, over=False)


def test_the_history_is_thinned_to_one_of_each_hour_and_day() -> None:
    # A checkpoint every ten minutes for three days.
    stored = [made(number, taken_at=600.0 * number) for number in range(1, 3 * 144 + 1)]
    gone = choose_deletions(stored, {}, Policy(last=2, hourly=4, daily=10)).manifests
    kept = [one for one in stored if one.stem not in gone]
    hours = [one.taken_at // 3600 for one in kept]
    assert kept[-2:] == stored[-2:]
    assert hours[-3:] == [72.0, 71.0, 70.0][::-1] or len(set(hours[-5:])) >= 4
    assert {int(one.taken_at // 86_400) for one in kept} == {0, 1, 2, 3}
    assert len(kept) <= 2 + 4 + 10


@given(checkpoints, object_maps, needed_sets, policies, st.integers(1, 500), st.frozensets(slot_names))
def test_max_bytes_is_kept_or_said_not_to_be_and_the_newest_of_a_slot_never_goes(
    stored: list[Stored],
    objects: dict[str, int],
    needed: frozenset[Stem],
    policy: Policy,
    most: int,
    retired: frozenset[str],
) -> None:
    bounded = replace(policy, max_bytes=most)
    deletions = choose_deletions(stored, objects, bounded, needed=needed, retired=retired)
    kept = remaining(stored, deletions)
    live = frozenset[str]().union(*(one.objects.keys() for one in kept))
    assert deletions.bytes_kept == sum(objects.get(name, 0) for name in live)
    assert deletions.over == (deletions.bytes_kept > most)
    for slot in {slot for one in stored for slot in one.slots} - retired:
        assert max(one.stem for one in stored if slot in one.slots) in {one.stem for one in kept}
    assert choose_deletions(kept, objects, bounded, needed=needed, retired=retired).manifests == ()


def test_under_max_bytes_history_goes_before_milestones_and_old_milestones_before_new_ones() -> None:
    stored = [made(1, kind="milestone"), made(2, kind="milestone"), made(3), made(4), made(5)]
    objects = {one.stem.object_name(): 10 for one in stored}

    def gone(most: int) -> tuple[Stem, ...]:
        return choose_deletions(stored, objects, replace(LAST_THREE, max_bytes=most)).manifests

    assert gone(50) == ()
    assert gone(40) == (stem(3),)
    assert gone(30) == (stem(3), stem(4))
    assert gone(20) == (stem(1), stem(3), stem(4))
    assert gone(10) == (stem(1), stem(2), stem(3), stem(4))
    assert choose_deletions(stored, objects, replace(LAST_THREE, max_bytes=5)).over


def test_what_is_mostly_dead_is_found() -> None:
    stored = [
        Stored(stem(1), "scheduled", ("a",), 0.0, {"whole": 100, "half": 50, "worn": 10}),
        Stored(stem(2), "scheduled", ("a",), 0.0, {"whole": 10, "worn": 49}),
    ]
    assert mostly_dead(stored, {"whole": 100, "half": 100, "worn": 100}) == {"worn"}


def test_damaged_checkpoints_take_nobodys_place_and_go_first() -> None:
    sound = [made(number) for number in (1, 2)]
    damaged = [replace(made(number), sound=False) for number in (3, 4, 5)]
    objects = {one.stem.object_name(): 10 for one in (*sound, *damaged)}
    policy = Policy(last=1, hourly=0, daily=0)
    assert choose_deletions([*sound, *damaged], objects, policy).manifests == (stem(1),)
    bounded = choose_deletions([*sound, *damaged], objects, replace(policy, max_bytes=10))
    assert bounded.manifests == (stem(1), stem(3), stem(4), stem(5))
    newer = choose_deletions([*sound, *damaged, made(6)], objects, policy)
    assert newer.manifests == (stem(1), stem(2), stem(3), stem(4), stem(5))
