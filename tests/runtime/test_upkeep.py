"""The room in a store: a bound that is kept, warnings before it is full, objects that are worth repacking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.faults import HasRoomFor
from helpers.snapshots import (
    KEEP_TWO,
    contents,
    ensure_claimed,
    manifests_of,
    objects_of,
    stem,
    stored,
    tidy,
    uploaded,
)
from holdfast.runtime.errors import StoreRefused
from holdfast.runtime.retention import Deletions
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.upkeep import Upkeep
from holdfast.runtime.upload import Uploader

NOTHING = Deletions((), (), 0, over=False)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.make_folders()
    return made


@pytest.fixture
def uploader(tmp_path: Path, spool: Spool) -> Uploader:
    return Uploader(FolderStore(tmp_path / "run"), spool)


def warning(store: FolderStore, spool: Spool, checkpoint_bytes: int, deletions: Deletions = NOTHING) -> str:
    upkeep = Upkeep(store, Uploader(store, spool).catalogue, replace(KEEP_TWO, max_bytes=1000))
    upkeep.look_at_room(checkpoint_bytes, deletions)
    return upkeep.warning


def test_a_store_with_room_for_few_more_checkpoints_is_said_to_be_filling_up(
    tmp_path: Path, spool: Spool
) -> None:
    assert warning(HasRoomFor(tmp_path, 2_900_000, total=10_000_000), spool, 1_000_000)
    text = warning(HasRoomFor(tmp_path, 2_900_000, total=10_000_000), spool, 1_000_000)
    assert "2.9 MB of 10.0 MB free" in text
    assert "max_bytes" in text
    assert warning(HasRoomFor(tmp_path, 3_100_000, total=10_000_000), spool, 1_000_000) == ""


def test_a_store_of_which_little_is_free_is_said_to_be_filling_up(tmp_path: Path, spool: Spool) -> None:
    assert warning(HasRoomFor(tmp_path, 400_000, total=10_000_000), spool, 1)
    assert warning(HasRoomFor(tmp_path, 600_000, total=10_000_000), spool, 1) == ""
    assert warning(HasRoomFor(tmp_path, 600_000, total=None), spool, 1) == ""


def test_a_store_that_does_not_tell_its_room_gives_no_warning(tmp_path: Path, spool: Spool) -> None:
    assert warning(HasRoomFor(tmp_path, None, total=None), spool, 1_000_000) == ""


def test_a_bound_that_cannot_be_kept_is_said(tmp_path: Path, spool: Spool) -> None:
    over = Deletions((), (), 5000, over=True)
    assert "5.0 kB although max_bytes is 1.0 kB" in warning(
        HasRoomFor(tmp_path, None, total=None), spool, 1, over
    )


def test_under_max_bytes_older_checkpoints_go(uploader: Uploader) -> None:
    for sequence in range(1, 6):
        uploaded(uploader, stem(sequence), contents(sequence, nbytes=10_000), kind="milestone")
        deletions = tidy(uploader, replace(KEEP_TWO, max_bytes=70_000))
    assert manifests_of(uploader.store) == {stem(4).manifest_name, stem(5).manifest_name}
    assert sum(objects_of(uploader.store).values()) == deletions.bytes_kept <= 70_000
    assert not deletions.over


def test_what_a_mostly_dead_object_still_holds_is_written_anew_and_the_object_goes(uploader: Uploader) -> None:
    first = contents(1, count=10, nbytes=10_000)
    uploaded(uploader, stem(1), first)
    states: dict[int, dict[str, bytes]] = {}
    for sequence in range(2, 14):
        states[sequence] = states.get(sequence - 1, first) | {
            f"tensor-{2 + sequence % 6}": bytes([sequence]) * 10_000
        }
        uploaded(uploader, stem(sequence), states[sequence])
        tidy(uploader)
    # Four tensors never changed. Their object went once less than half of it was needed.
    assert stem(1).object_name() not in objects_of(uploader.store)
    assert stored(uploader.store, stem(13)) == states[13]
    assert stored(uploader.store, stem(12)) == states[12]
    assert sum(objects_of(uploader.store).values()) < 2 * 110_000


def test_without_the_claim_nothing_is_deleted(uploader: Uploader) -> None:
    for sequence in range(1, 5):
        uploaded(uploader, stem(sequence), contents(sequence))
    before = manifests_of(uploader.store)
    ensure_claimed(uploader.store, 2, "bbbbbbbb")

    def lost() -> None:
        raise StoreRefused("not ours")

    upkeep = Upkeep(uploader.store, uploader.catalogue, KEEP_TWO)
    with pytest.raises(StoreRefused):
        upkeep.run(1, lost)
    assert manifests_of(uploader.store) == before
