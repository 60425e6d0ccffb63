"""Finding checkpoints: the newest of however many costs a few requests, wherever it lies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.faults import CountsRequests, unexpected
from helpers.snapshots import contents, ensure_claimed, manifests_of, snapshot, stem, stored, tidy, uploaded
from helpers.strategies import few_stems
from holdfast.runtime.names import Stem
from holdfast.runtime.restore import newest
from holdfast.runtime.shelf import Shelf, newest_first
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import Content, FolderStore
from holdfast.runtime.stores.base import Store
from holdfast.runtime.upload import Uploader


def put(store: Store, name: Stem) -> None:
    store.create(name.manifest_path, Content.of(b"{}"))


@given(stems=st.sets(few_stems, max_size=12))
def test_checkpoints_come_newest_first(tmp_path_factory: pytest.TempPathFactory, stems: set[Stem]) -> None:
    store = FolderStore(tmp_path_factory.mktemp("store"))
    for name in stems:
        put(store, name)
    assert Shelf("store", store).stems() == sorted(stems, reverse=True)


def test_numbers_and_not_their_texts_decide(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    stems = [stem(999), stem(1000), stem(999_999), stem(1_000_000), stem(10**10), stem(1, 99_999_999)]
    stems += [stem(1, 100_000_000)]
    for name in stems:
        put(store, name)
    assert Shelf("store", store).stems() == stems[::-1]


def test_what_lies_where_it_does_not_belong_is_passed_over(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    put(store, stem(1))
    name = stem(2).manifest_name
    for folder in ("manifests", "manifests/00000001", "manifests/00000002/000", "manifests/00000001/001"):
        store.create(f"{folder}/{name}", Content.of(b"{}"))
    for odd in ("manifests/00000001/000/notes.txt", "manifests/x/000/a.json", "manifests/٠٠٠٠٠٠٠٩/000/a.json"):
        store.create(odd, Content.of(b"{}"))
    store.create(f"manifests/00000001/000/{stem(3)} (1).json", Content.of(b"{}"))
    assert Shelf("store", store).stems() == [stem(1)]


def test_of_equals_the_shelf_that_was_named_first_wins(tmp_path: Path) -> None:
    spool, store = Spool(tmp_path / "spool"), FolderStore(tmp_path / "store")
    spool.make_folders()
    for sequence in (1, 3):
        spool.write("run", stem(sequence), snapshot(contents(sequence)))
    for sequence in (1, 2):
        put(store, stem(sequence))
    shelves = (Shelf("spool", spool), Shelf("store", store))
    found = [(name.sequence, shelf.origin) for name, shelf, _ in newest_first(shelves)]
    assert found == [(3, "spool"), (2, "store"), (1, "spool"), (1, "store")]


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with 10,000 checkpoints of one session."""
    folder = tmp_path_factory.mktemp("many")
    spool = Spool(folder / "spool")
    spool.make_folders()
    store = FolderStore(folder / "run")
    manifest = uploaded(Uploader(store, spool), stem(10_000), contents(1))
    value = json.loads(manifest.to_bytes())
    for sequence in range(1, 10_000):
        path = store.folder / stem(sequence).manifest_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value | {"checkpoint": str(stem(sequence))}), encoding="utf-8")
    return folder


def test_the_newest_of_ten_thousand_checkpoints_costs_three_listings(ten_thousand: Path) -> None:
    store = CountsRequests(ten_thousand / "run")
    found = newest([Shelf("store", store)], set(), unexpected)
    assert found is not None
    assert found[0].stem == stem(10_000)
    assert store.count("list") == 3
    assert store.count("read_into") == 1
    assert store.count("size") == 1


def test_an_upload_waits_for_one_manifest_of_ten_thousand_and_retention_reads_the_rest_bit_by_bit(
    ten_thousand: Path, tmp_path: Path
) -> None:
    shutil.copytree(ten_thousand / "run", tmp_path / "run")
    store = CountsRequests(tmp_path / "run")
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    uploader = Uploader(store, spool)
    uploader.catalogue.learn()
    assert store.count("read_into") == 1
    made = uploaded(uploader, stem(10_001), contents(1) | {"tensor-0": b"new"})
    assert made.tensors[1].object == stem(10_000).object_name()
    assert tidy(uploader).objects == ()
    assert store.count("read_into") == 201
    while uploader.catalogue.unread:
        tidy(uploader)
    tidy(uploader)
    assert manifests_of(store) == {stem(10_000).manifest_name, stem(10_001).manifest_name}
    assert stored(store, stem(10_000)) == contents(1)


def test_old_claims_are_deleted_and_the_highest_never(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "run")
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    for incarnation in range(1, 60):
        ensure_claimed(store, incarnation)
    uploader = Uploader(store, spool)
    uploaded(uploader, stem(1, 59), contents(1))
    tidy(uploader, incarnation=59)
    left = sorted(store.sizes("claims"))
    assert len(left) == 21
    assert left[-1].startswith("00000059-")


def test_a_listing_of_a_store_that_answers_nonsense(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "manifests" / "00000001").mkdir(parents=True)
    (tmp_path / "manifests" / "00000001" / "000").write_bytes(b"a file where a folder should be")
    said: list[Any] = []
    assert newest([Shelf("store", store)], set(), said.append) is None
