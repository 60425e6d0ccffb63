"""Uploading: only what changed is written, nothing is overwritten, a fenced session writes no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.faults import (
    ActsAfterCreate,
    LosesTheReply,
    RefusesManifests,
    RefusesNames,
    flip_bit,
    tree,
    truncate,
)
from helpers.snapshots import (
    KEEP_TWO,
    contents,
    manifests_of,
    object_file,
    objects_of,
    snapshot,
    stem,
    stored,
    tidy,
    uploaded,
)
from holdfast.runtime import upload as upload_module
from holdfast.runtime.catalogue import COMPARED_SLOTS
from holdfast.runtime.claims import make_claim
from holdfast.runtime.errors import (
    CheckpointDamaged,
    ClaimLost,
    HoldfastError,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
)
from holdfast.runtime.journal import Journal, Place
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.names import object_path
from holdfast.runtime.objects import decode_header
from holdfast.runtime.restore import newest
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import Content, FolderStore, Store
from holdfast.runtime.upload import Uploader


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.make_folders()
    return made


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    made = FolderStore(tmp_path / "run")
    claim(made, "aaaaaaaa")
    return made


def claim(store: Store, session: str) -> None:
    make_claim(store, session, "machine", ProcessId(1, 1.0), 1.0)


def test_a_checkpoint_holds_what_the_snapshot_held(store: FolderStore, spool: Spool) -> None:
    made = uploaded(Uploader(store, spool), stem(1), contents(1), state={"epoch": 3})
    assert stored(store, stem(1)) == contents(1)
    assert made.state == {"epoch": 3}
    data = object_file(store.folder, stem(1).object_name()).read_bytes()
    assert len(decode_header(data, len(data))) == 3


def test_only_changed_tensors_are_written(store: FolderStore, spool: Spool) -> None:
    uploader = Uploader(store, spool)
    first = contents(1)
    uploaded(uploader, stem(1), first)
    second = first | {"tensor-1": b"changed"}
    made = uploaded(uploader, stem(2), second)
    data = object_file(store.folder, stem(2).object_name()).read_bytes()
    assert decode_header(data, len(data)).keys() == {"tensor-1"}
    assert [record.object for record in made.tensors] == [
        stem(1).object_name(),
        stem(2).object_name(),
        stem(1).object_name(),
    ]
    assert stored(store, stem(2)) == second


def test_an_unchanged_snapshot_writes_no_object(store: FolderStore, spool: Spool) -> None:
    uploader = Uploader(store, spool)
    uploaded(uploader, stem(1), contents(1))
    uploaded(uploader, stem(2), contents(1))
    assert objects_of(store).keys() == {stem(1).object_name()}
    assert stored(store, stem(2)) == contents(1)


def test_where_95_percent_stay_the_same_no_more_than_the_rest_is_written(
    store: FolderStore, spool: Spool
) -> None:
    uploader = Uploader(store, spool)
    first = contents(1, count=100, nbytes=10_000)
    uploaded(uploader, stem(1), first)
    before = uploader.bytes_written
    second = first | contents(2, count=5, nbytes=10_000)
    uploaded(uploader, stem(2), second)
    assert 5 * 10_000 <= uploader.bytes_written - before <= 5 * 10_000 + 5_000
    assert objects_of(store)[stem(2).object_name()] == uploader.bytes_written - before
    assert stored(store, stem(2)) == second


def test_a_new_uploader_learns_what_is_there(store: FolderStore, spool: Spool) -> None:
    uploaded(Uploader(store, spool), stem(1), contents(1))
    again = Uploader(store, spool)
    again.catalogue.learn()
    uploaded(again, stem(2), contents(1))
    assert again.bytes_written == 0


def test_tensors_move_in_other_slots_without_being_written_again(store: FolderStore, spool: Spool) -> None:
    uploader = Uploader(store, spool)
    uploaded(uploader, stem(1), contents(1), slots=("teacher",))
    uploaded(uploader, stem(2), contents(2), slots=("student",))
    uploaded(uploader, stem(3), contents(1), slots=("teacher",))
    assert objects_of(store).keys() == {stem(1).object_name(), stem(2).object_name()}


def test_an_object_of_a_broken_upload_is_neither_reused_nor_overwritten_and_later_collected(
    tmp_path: Path, spool: Spool
) -> None:
    store = RefusesManifests(tmp_path / "run")
    uploader = Uploader(store, spool)
    with pytest.raises(StoreUnavailable):
        uploaded(uploader, stem(1), contents(1))
    orphan = object_file(store.folder, stem(1).object_name())
    flip_bit(orphan)  # who knows how much of it arrived
    left = orphan.read_bytes()
    store.refusing = False
    uploader = Uploader(store, spool)  # the daemon has died, say
    uploader.catalogue.learn()
    uploader.upload(spool.manifest(stem(1)), 1, lambda done, total: None)
    assert orphan.read_bytes() == left
    assert objects_of(store).keys() == {stem(1).object_name(), stem(1).object_name(attempt=1)}
    assert stored(store, stem(1)) == contents(1)
    uploaded(uploader, stem(2), contents(1) | {"tensor-0": b"changed"})
    tidy(uploader)
    assert objects_of(store).keys() == {stem(1).object_name(attempt=1), stem(2).object_name()}
    assert stored(store, stem(1)) == contents(1)


def test_an_upload_whose_manifest_alone_failed_writes_only_that_when_it_is_done_again(
    tmp_path: Path, spool: Spool
) -> None:
    store = RefusesManifests(tmp_path / "run")
    uploader = Uploader(store, spool)
    with pytest.raises(StoreUnavailable):
        uploaded(uploader, stem(1), contents(1))
    store.refusing = False
    before = uploader.bytes_written
    uploader.upload(spool.manifest(stem(1)), 1, lambda done, total: None)
    assert uploader.bytes_written == before
    assert objects_of(store).keys() == {stem(1).object_name()}
    assert stored(store, stem(1)) == contents(1)


def test_a_part_that_came_through_alone_is_taken_back(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "PART_BYTES", 3000)
    store = RefusesNames(tmp_path / "run", "part1")
    uploader = Uploader(store, spool)
    for _ in range(3):
        with pytest.raises(StoreRefused):
            uploaded(uploader, stem(1), contents(1, count=9))
        assert objects_of(store) == {}
    store.refused = "nothing"
    uploaded(uploader, stem(1), contents(1, count=9))
    assert stored(store, stem(1)) == contents(1, count=9)


def test_a_manifest_that_came_through_although_it_was_said_to_have_failed_counts(
    tmp_path: Path, spool: Spool
) -> None:
    """The objects it names are kept, whatever a second try has written under other names."""
    store = LosesTheReply(tmp_path / "run", "manifests/")
    with pytest.raises(StoreUnavailable):
        uploaded(Uploader(store, spool), stem(1), contents(1), kind="milestone")
    again = Uploader(store, spool)
    again.catalogue.objects = objects_of(store)
    again.upload(spool.manifest(stem(1)), 1, lambda done, total: None)
    for sequence in (2, 3, 4, 5):
        uploaded(again, stem(sequence), contents(sequence))
        tidy(again)
    assert stored(store, stem(1)) == contents(1)


@pytest.mark.parametrize("left", [b"", b'{"format": 1, "half'])
def test_a_manifest_that_broke_off_is_written_again(store: FolderStore, spool: Spool, left: bytes) -> None:
    store.create(stem(1).manifest_path, Content.of(left))
    uploader = Uploader(store, spool)
    uploader.catalogue.learn()
    assert not uploader.catalogue.has(stem(1))
    uploaded(uploader, stem(1), contents(1))
    assert stored(store, stem(1)) == contents(1)
    assert uploader.catalogue.has(stem(1))


def test_a_checkpoint_whose_object_was_lost_can_be_uploaded_again(store: FolderStore, spool: Spool) -> None:
    uploaded(Uploader(store, spool), stem(1), contents(1))
    store.delete(object_path(stem(1).object_name()))
    again = Uploader(store, spool)
    again.catalogue.learn()
    assert not again.catalogue.has(stem(1))
    again.upload(spool.manifest(stem(1)), 1, lambda done, total: None)
    assert stored(store, stem(1)) == contents(1)


def test_nothing_refers_to_what_retention_has_deleted(store: FolderStore, spool: Spool) -> None:
    uploader = Uploader(store, spool)
    backbone = contents(7, prefix="backbone-")
    journal = Journal()
    journal.retire(journal.add("fp", (), Place("cell", 0)))
    rest: dict[str, Any] = {"journal": journal.to_dict()}
    uploaded(uploader, stem(1), backbone, slots=("slot-0000",), **rest)
    uploaded(uploader, stem(2), contents(2), slots=("slot-0001",), **rest)
    tidy(uploader, replace(KEEP_TWO, last=1, max_bytes=3500))
    assert objects_of(store).keys() == {stem(2).object_name()}
    uploaded(uploader, stem(3), contents(3) | backbone, slots=("slot-0001",), **rest)
    assert stored(store, stem(3)) == contents(3) | backbone


def test_uploading_again_after_the_manifest_was_written_changes_nothing(
    store: FolderStore, spool: Spool
) -> None:
    uploaded(Uploader(store, spool), stem(1), contents(1))
    before = tree(store.folder / "manifests")
    fresh = Uploader(store, spool)
    fresh.upload(spool.manifest(stem(1)), 1, lambda done, total: None)
    assert tree(store.folder / "manifests") == before
    assert stored(store, stem(1)) == contents(1)


def test_a_session_with_a_higher_claim_above_it_writes_nothing(store: FolderStore, spool: Spool) -> None:
    uploader = Uploader(store, spool)
    claim(store, "bbbbbbbb")
    before = tree(store.folder)
    with pytest.raises(ClaimLost, match="bbbbbbbb"):
        uploaded(uploader, stem(1), contents(1))
    with pytest.raises(ClaimLost):
        tidy(uploader)
    assert tree(store.folder) == before


def test_a_session_that_loses_its_claim_during_an_upload_writes_no_manifest(
    tmp_path: Path, spool: Spool
) -> None:
    folder = tmp_path / "run"
    claim(FolderStore(folder), "aaaaaaaa")
    store = ActsAfterCreate(folder, "objects/", lambda: claim(FolderStore(folder), "bbbbbbbb"))
    with pytest.raises(ClaimLost):
        uploaded(Uploader(store, spool), stem(1), contents(1))
    assert manifests_of(store) == set()


@pytest.mark.parametrize("offset", [-1, -1000, -2500])
def test_bytes_that_changed_in_the_spool_never_become_a_checkpoint(
    store: FolderStore, spool: Spool, offset: int
) -> None:
    snapshot_ = spool.write("run", stem(1), snapshot(contents(1)))
    flip_bit(spool.objects / stem(1).object_name(), offset)
    with pytest.raises(CheckpointDamaged, match="tensor"):
        Uploader(store, spool).upload(snapshot_, 1, lambda done, total: None)
    assert manifests_of(store) == set(objects_of(store)) == set()


def test_a_snapshot_that_was_cut_off_never_becomes_a_checkpoint(store: FolderStore, spool: Spool) -> None:
    snapshot_ = spool.write("run", stem(1), snapshot(contents(1)))
    truncate(spool.objects / stem(1).object_name())
    with pytest.raises(CheckpointDamaged):
        Uploader(store, spool).upload(snapshot_, 1, lambda done, total: None)
    assert manifests_of(store) == set(objects_of(store)) == set()


def test_a_snapshot_that_was_recycled_meanwhile_is_said_to_be_gone(store: FolderStore, spool: Spool) -> None:
    snapshot_ = spool.write("run", stem(1), snapshot(contents(1)))
    spool.discard(stem(1))
    with pytest.raises(ObjectNotFound):
        Uploader(store, spool).upload(snapshot_, 1, lambda done, total: None)
    assert manifests_of(store) == set()


def test_progress_counts_the_bytes_that_are_sent(store: FolderStore, spool: Spool) -> None:
    counts: list[tuple[int, int]] = []
    committed = spool.write("run", stem(1), snapshot(contents(1, nbytes=3 << 20)))
    Uploader(store, spool).upload(committed, 1, lambda done, total: counts.append((done, total)))
    assert counts[-1] == (committed.nbytes, committed.nbytes)
    assert counts == sorted(counts)
    assert len(counts) > 3


def test_new_checkpoints_do_not_build_on_a_damaged_one(store: FolderStore, spool: Spool) -> None:
    uploaded(Uploader(store, spool), stem(1), contents(1))
    truncate(object_file(store.folder, stem(1).object_name()))
    again = Uploader(store, spool)
    again.catalogue.learn()
    uploaded(again, stem(2), contents(1))
    assert stored(store, stem(2)) == contents(1)


def test_a_mount_that_died_is_no_empty_store(store: FolderStore, spool: Spool) -> None:
    uploader = Uploader(store, spool)
    uploaded(uploader, stem(1), contents(1))
    store.folder.rename(store.folder.with_name("unmounted"))
    snapshot_ = spool.write("run", stem(2), snapshot(contents(2)))
    with pytest.raises(StoreUnavailable, match="unmounted"):
        uploader.upload(snapshot_, 1, lambda done, total: None)
    assert not store.folder.exists()
    store.folder.with_name("unmounted").rename(store.folder)
    uploader.upload(spool.manifest(stem(2)), 1, lambda done, total: None)
    assert stored(store, stem(2)) == contents(2)


def test_a_store_that_fails_midway_can_be_written_again(tmp_path: Path, spool: Spool) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "objects").write_bytes(b"a file where a folder should be")
    uploader = Uploader(FolderStore(folder), spool)
    with pytest.raises(HoldfastError):
        uploaded(uploader, stem(1), contents(1))
    (folder / "objects").unlink()
    uploader.upload(spool.manifest(stem(1)), 1, lambda done, total: None)
    found = newest([Shelf("store", uploader.store)], set(), lambda error: None)
    assert found is not None
    assert found[0].stem == stem(1)


def test_of_many_models_only_the_last_ones_trained_are_kept_in_mind(store: FolderStore, spool: Spool) -> None:
    uploader = Uploader(store, spool)
    for number in range(2 * COMPARED_SLOTS):
        uploaded(uploader, stem(number + 1), contents(number, count=1), slots=(f"slot-{number:04d}",))
    last = {f"slot-{number:04d}" for number in range(COMPARED_SLOTS, 2 * COMPARED_SLOTS)}
    assert uploader.catalogue.newest.keys() == last


def test_a_large_checkpoint_is_divided_into_objects_that_are_written_side_by_side(
    store: FolderStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "PART_BYTES", 3000)
    made = uploaded(Uploader(store, spool), stem(1), contents(1, count=9))
    assert objects_of(store).keys() == {stem(1).object_name(), stem(1).object_name(1)}
    assert max(objects_of(store).values()) < 7000
    assert len({record.object for record in made.tensors}) == store.capabilities.parallel == 2
    assert stored(store, stem(1)) == contents(1, count=9)
    uploaded(Uploader(store, spool), stem(2), contents(2, count=2))
    assert stem(2).object_name(1) not in objects_of(store)
