"""Which checkpoints a store keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helpers.snapshots import stem
from helpers.strategies import few_stems, kinds, slot_names
from holdfast.runtime.manifest import Stem
from holdfast.runtime.retention import Deletions, Stored, choose_deletions

object_names = st.builds(Stem.object_name, few_stems, st.integers(0, 1))
checkpoints = st.lists(
    st.builds(
        Stored,
        few_stems,
        kinds,
        st.lists(slot_names, min_size=1, unique=True).map(tuple),
        st.frozensets(object_names, max_size=4),
    ),
    max_size=15,
    unique_by=lambda one: one.stem,
)
object_maps = st.dictionaries(object_names, few_stems, max_size=15)
needed_sets = st.frozensets(few_stems, max_size=4)
keeps = st.integers(1, 4)


def remaining(stored: list[Stored], deletions: Deletions) -> list[Stored]:
    return [one for one in stored if one.stem not in deletions.manifests]


@given(checkpoints, object_maps, needed_sets, keeps)
def test_the_newest_of_every_slot_are_kept(
    stored: list[Stored], objects: dict[str, Stem], needed: frozenset[Stem], keep: int
) -> None:
    gone = set(choose_deletions(stored, objects, needed, keep).manifests)
    for slot in {slot for one in stored for slot in one.slots}:
        newest = sorted((one.stem for one in stored if slot in one.slots), reverse=True)[:keep]
        assert not gone & set(newest)


@given(checkpoints, object_maps, needed_sets, keeps)
def test_milestones_and_what_the_journal_names_are_kept(
    stored: list[Stored], objects: dict[str, Stem], needed: frozenset[Stem], keep: int
) -> None:
    gone = set(choose_deletions(stored, objects, needed, keep).manifests)
    assert not gone & needed
    assert not gone & {one.stem for one in stored if one.kind == "milestone"}


@given(checkpoints, object_maps, needed_sets, keeps)
def test_no_more_than_that_is_kept(
    stored: list[Stored], objects: dict[str, Stem], needed: frozenset[Stem], keep: int
) -> None:
    for one in remaining(stored, choose_deletions(stored, objects, needed, keep)):
        newer = [sum(slot in other.slots and other.stem > one.stem for other in stored) for slot in one.slots]
        assert min(newer) < keep or one.kind == "milestone" or one.stem in needed


@given(checkpoints, object_maps, needed_sets, keeps)
def test_no_object_that_a_kept_manifest_names_is_deleted(
    stored: list[Stored], objects: dict[str, Stem], needed: frozenset[Stem], keep: int
) -> None:
    deletions = choose_deletions(stored, objects, needed, keep)
    for one in remaining(stored, deletions):
        assert not one.objects & set(deletions.objects)


@given(checkpoints, object_maps, needed_sets, keeps)
def test_no_object_as_new_as_the_newest_manifest_is_deleted(
    stored: list[Stored], objects: dict[str, Stem], needed: frozenset[Stem], keep: int
) -> None:
    deletions = choose_deletions(stored, objects, needed, keep)
    for name in deletions.objects:
        assert objects[name] < max(one.stem for one in stored)


@given(checkpoints, object_maps, needed_sets, keeps)
def test_deciding_again_deletes_nothing_more(
    stored: list[Stored], objects: dict[str, Stem], needed: frozenset[Stem], keep: int
) -> None:
    deletions = choose_deletions(stored, objects, needed, keep)
    left = {name: by for name, by in objects.items() if name not in deletions.objects}
    assert choose_deletions(remaining(stored, deletions), left, needed, keep) == Deletions((), ())


def test_manifests_leave_oldest_first_and_take_their_objects_along() -> None:
    stored = [
        Stored(stem(number), "scheduled", ("a",), frozenset({stem(number).object_name()}))
        for number in range(1, 6)
    ]
    objects = {stem(number).object_name(): stem(number) for number in range(1, 6)}
    deletions = choose_deletions(stored, objects, frozenset(), 3)
    assert deletions.manifests == (stem(1), stem(2))
    assert deletions.objects == (stem(1).object_name(), stem(2).object_name())


def test_an_orphan_of_a_broken_upload_goes_once_a_newer_checkpoint_is_there() -> None:
    orphan = {stem(2).object_name(): stem(2)}
    before = [Stored(stem(1), "scheduled", ("a",), frozenset())]
    after = [*before, Stored(stem(3), "scheduled", ("a",), frozenset())]
    assert choose_deletions(before, orphan, frozenset(), 3).objects == ()
    assert choose_deletions(after, orphan, frozenset(), 3).objects == (stem(2).object_name(),)


def test_without_any_manifest_nothing_is_deleted() -> None:
    assert choose_deletions([], {stem(1).object_name(): stem(1)}, frozenset(), 3) == Deletions((), ())
