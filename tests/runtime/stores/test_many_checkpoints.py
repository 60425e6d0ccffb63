"""Ten thousand checkpoints in a bucket and in Drive: what choosing the newest asks of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.drive_server import drive_server
from helpers.faults import unexpected
from helpers.gcs_server import BUCKET, running
from helpers.snapshots import contents, ensure_claimed, stem, stored, uploaded
from holdfast.runtime.names import Stem
from holdfast.runtime.restore import newest
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import open_store
from holdfast.runtime.stores.base import Store
from holdfast.runtime.upload import Uploader

MANY = 10_000


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.make_folders()
    return made


def write_the_last(store: Store, spool: Spool) -> None:
    """Makes the newest of many checkpoints, in the way they are made."""
    ensure_claimed(store)
    uploaded(Uploader(store, spool), stem(MANY), contents(1))


def choose(store: Store) -> Stem:
    """The newest checkpoint, whose tensors are then read."""
    found = newest([Shelf("store", store)], set(), unexpected)
    assert found is not None
    assert stored(store, found[0].stem) == contents(1)
    return found[0].stem


def test_in_a_bucket_it_takes_three_pages(spool: Spool) -> None:
    with running() as server:
        store = open_store(f"gs://{BUCKET}/team").under("run")
        write_the_last(store, spool)
        for sequence in range(1, MANY):
            path = f"team/run/{stem(sequence).manifest_path}"
            server.bucket.objects[path] = server.bucket.objects[f"team/run/{stem(MANY).manifest_path}"]
        before = server.count("GET", r"/o\?")
        assert choose(open_store(f"gs://{BUCKET}/team").under("run")) == stem(MANY)
        assert server.count("GET", r"/o\?") - before == 3


def test_in_drive_it_takes_three_listings_of_one_page_each(spool: Spool) -> None:
    with drive_server() as server:
        store = open_store("drive-api:team").under("run")
        write_the_last(store, spool)
        (manifest,) = server.named(stem(MANY).manifest_name)
        top = server.files[server.files[manifest.parent].parent]
        folders = {10: server.files[manifest.parent]}
        for sequence in range(1, MANY):
            group = sequence // 1000
            if group not in folders:
                folders[group] = server.add(f"{group:03d}", parent=top.id, folder=True)
            server.add(stem(sequence).manifest_name, b"{}", parent=folders[group].id)
        before = len(server.requests)
        assert choose(open_store("drive-api:team").under("run")) == stem(MANY)
        asked = server.requests[before:]
        assert sum(one.operation == "files.list" and "name =" not in one.query["q"] for one in asked) == 3
        assert len(asked) <= 16  # paths are looked up beside
