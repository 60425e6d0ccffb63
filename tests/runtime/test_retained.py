"""Retention in a real store: what leaves it, in which order, and what is never touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.faults import tree, truncate
from helpers.snapshots import KEEP_TWO, contents, manifests_of, objects_of, stem, stored, tidy, uploaded
from holdfast.runtime.journal import Journal, Place
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import Content, FolderStore
from holdfast.runtime.upload import Uploader


class OrderedDeletes(FolderStore):
    """Writes down what is deleted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.deleted: list[str] = []

    def delete(self, name: str) -> None:
        self.deleted.append(name)
        super().delete(name)


@pytest.fixture
def store(tmp_path: Path) -> OrderedDeletes:
    return OrderedDeletes(tmp_path / "run")


@pytest.fixture
def uploader(store: OrderedDeletes, tmp_path: Path) -> Uploader:
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    return Uploader(store, spool)


def test_the_newest_are_kept_with_their_objects_and_nothing_else(
    uploader: Uploader, store: OrderedDeletes
) -> None:
    for sequence in range(1, 6):
        uploaded(uploader, stem(sequence), contents(sequence))
        tidy(uploader)
    assert manifests_of(store) == {stem(4).manifest_name, stem(5).manifest_name}
    assert objects_of(store).keys() == {stem(4).object_name(), stem(5).object_name()}


def test_an_object_that_a_kept_checkpoint_shares_is_kept(uploader: Uploader, store: OrderedDeletes) -> None:
    for sequence in range(1, 6):
        uploaded(uploader, stem(sequence), contents(1) | {"tensor-0": bytes([sequence])})
        tidy(uploader)
    for sequence in (4, 5):
        assert stored(store, stem(sequence)) == contents(1) | {"tensor-0": bytes([sequence])}
    assert stem(1).object_name() in objects_of(store)


def test_manifests_are_deleted_before_objects(uploader: Uploader, store: OrderedDeletes) -> None:
    for sequence in range(1, 5):
        uploaded(uploader, stem(sequence), contents(sequence))
    tidy(uploader)
    assert [name.split("/")[0] for name in store.deleted] == ["manifests"] * 2 + ["objects"] * 2


def test_what_the_newest_journal_names_is_kept(uploader: Uploader, store: OrderedDeletes) -> None:
    journal = Journal()
    journal.add("fp", (), Place("cell", 0)).newest = stem(1)
    for sequence in range(1, 6):
        uploaded(uploader, stem(sequence), contents(sequence), journal=journal.to_dict())
        tidy(uploader)
    assert stored(store, stem(1)) == contents(1)
    assert stem(2).manifest_name not in manifests_of(store)


def test_a_damaged_manifest_goes_once_enough_sound_ones_are_newer_and_its_objects_after_it(
    uploader: Uploader, store: OrderedDeletes
) -> None:
    for sequence in range(1, 4):
        uploaded(uploader, stem(sequence), contents(sequence))
    truncate(store.folder / stem(2).manifest_path)
    again = Uploader(store, uploader.spool)
    again.catalogue.learn()
    tidy(again)
    assert stem(2).manifest_name in manifests_of(store)
    for sequence in (4, 5):
        uploaded(again, stem(sequence), contents(sequence))
        tidy(again)
    assert manifests_of(store) == {stem(4).manifest_name, stem(5).manifest_name}
    uploaded(again, stem(6), contents(6))
    tidy(again)
    assert objects_of(store).keys() == {stem(5).object_name(), stem(6).object_name()}


def test_a_damaged_manifest_and_whatever_it_may_name_stay_while_few_are_newer(
    uploader: Uploader, store: OrderedDeletes, tmp_path: Path
) -> None:
    for sequence in range(1, 4):
        uploaded(uploader, stem(sequence), contents(sequence))
    truncate(store.folder / stem(3).manifest_path)
    before = tree(store.folder)
    again = Uploader(store, uploader.spool)
    again.catalogue.learn()
    tidy(again, replace(KEEP_TWO, last=1))
    after = tree(store.folder)
    assert before.keys() - after.keys() == {stem(1).manifest_path}


def test_files_that_are_not_ours_stay(uploader: Uploader, store: OrderedDeletes) -> None:
    for name in ("objects/notes.txt", "manifests/notes.txt", "objects/model.safetensors"):
        store.create(name, Content.of(b"mine"))
    for sequence in range(1, 6):
        uploaded(uploader, stem(sequence), contents(sequence))
        tidy(uploader)
    assert store.read("objects/notes.txt", 4) == store.read("manifests/notes.txt", 4) == b"mine"
    assert store.read("objects/model.safetensors", 4) == b"mine"


def test_retention_can_be_done_again(uploader: Uploader, store: OrderedDeletes) -> None:
    for sequence in range(1, 5):
        uploaded(uploader, stem(sequence), contents(sequence))
    tidy(uploader)
    before = tree(store.folder)
    again = Uploader(store, uploader.spool)
    again.catalogue.learn()
    tidy(again)
    assert tree(store.folder) == before
