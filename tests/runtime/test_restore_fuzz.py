"""Whatever bytes lie in a store or a spool, reading them raises our errors only and stays inside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.faults import tree
from helpers.snapshots import contents, ensure_claimed, read_back, snapshot, stem, tidy
from helpers.strategies import damaged, json_objects, meddled
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.names import object_path
from holdfast.runtime.restore import newest
from holdfast.runtime.service import FILE_NAME, Service
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.upload import Uploader

inside_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
JOURNAL = {
    "slots": [
        {
            "name": "slot-0000",
            "fingerprint": "fp",
            "structure": 0,
            "place": ["cell", 0],
            "newest": str(stem(1)),
            "first_call": 0,
            "retired": False,
            "early": [],
            "calls": [],
        }
    ],
    "structures": [["Dense"]],
    "definitions": [],
}
SERVICE: dict[str, Any] = {
    "session": "aaaaaaaa",
    "incarnation": 1,
    "pid": 1,
    "started": 1.5,
    "ended": False,
    "run": "run",
    "store": "file:///x",
    "persist_seconds": 1.0,
    "keep": {"last": 3, "hourly": 1, "daily": 1, "max_bytes": 0},
    "bytes_written": 5,
}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    (tmp_path / "secret").write_bytes(b"outside")
    made = Spool(tmp_path / "spool")
    made.make_folders()
    made.write("run", stem(1), snapshot(contents(1)))
    made.write("run", stem(2), snapshot(contents(2), journal=JOURNAL))
    return made


def manifest_path(spool: Spool) -> Path:
    return spool.manifests / stem(2).manifest_name


@pytest.fixture
def whole(spool: Spool) -> bytes:
    """The bytes of the newest manifest before anything happened to it."""
    return manifest_path(spool).read_bytes()


@pytest.fixture
def whole_object(spool: Spool) -> bytes:
    """The bytes of the newest object before anything happened to it."""
    return (spool.objects / stem(2).object_name()).read_bytes()


def as_store(spool: Spool) -> FolderStore:
    """A store with the same files as the spool, where a store has them."""
    store = FolderStore(spool.folder.parent / "store")
    for name in (stem(1), stem(2)):
        for source, target in (
            (spool.objects / name.object_name(), object_path(name.object_name())),
            (spool.manifests / name.manifest_name, name.manifest_path),
        ):
            (store.folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, store.folder / target)
    ensure_claimed(store)
    return store


def everything_that_reads(spool: Spool) -> None:
    """Restores from the folder as spool and as store, and uploads what is in it."""
    shutil.rmtree(spool.folder.parent / "store", ignore_errors=True)
    before = tree(spool.folder.parent)
    for shelf in (Shelf("spool", spool), Shelf("store", as_store(spool))):
        found = newest([shelf], set(), lambda error: None)
        if found is not None:
            try:
                read_back(found[0])
            except HoldfastError:
                pass
    spool.waiting()
    assert {path: data for path, data in tree(spool.folder.parent).items() if path in before} == before
    uploader = Uploader(FolderStore(spool.folder.parent / "store"), spool)
    try:
        uploader.catalogue.learn()
        tidy(uploader)
        uploader.upload(spool.manifest(stem(2)), 1, lambda done, total: None)
        tidy(uploader)
    except HoldfastError:
        pass
    assert (spool.folder.parent / "secret").read_bytes() == b"outside"


@inside_one_folder
@given(data=st.data())
def test_a_damaged_manifest(spool: Spool, whole: bytes, data: st.DataObject) -> None:
    manifest_path(spool).write_bytes(data.draw(damaged(whole)))
    everything_that_reads(spool)


@inside_one_folder
@given(data=st.data())
def test_a_manifest_in_which_one_value_was_replaced(spool: Spool, whole: bytes, data: st.DataObject) -> None:
    manifest_path(spool).write_bytes(json.dumps(data.draw(meddled(json.loads(whole)))).encode())
    everything_that_reads(spool)


@inside_one_folder
@given(data=st.data())
def test_a_damaged_object(spool: Spool, whole_object: bytes, data: st.DataObject) -> None:
    (spool.objects / stem(2).object_name()).write_bytes(data.draw(damaged(whole_object)))
    everything_that_reads(spool)


def test_an_offset_beyond_any_file(spool: Spool) -> None:
    value = json.loads(manifest_path(spool).read_bytes())
    value["tensors"][0]["offset"] = 2**70
    manifest_path(spool).write_bytes(json.dumps(value).encode())
    everything_that_reads(spool)


@pytest.mark.parametrize("depth", [100, 300, 900, 2000, 100_000])
def test_a_journal_nested_however_deep(spool: Spool, depth: int) -> None:
    text = manifest_path(spool).read_bytes()
    deep = b"[" * depth + b"]" * depth
    manifest_path(spool).write_bytes(text.replace(b'"Dense"', deep))
    everything_that_reads(spool)


@inside_one_folder
@given(value=json_objects | meddled(SERVICE), name=st.sampled_from(["session", "status"]))
def test_the_small_files_of_session_and_daemon(tmp_path: Path, value: object, name: str) -> None:
    for file in (FILE_NAME, "daemon.json"):
        (tmp_path / file).write_text(json.dumps(value), encoding="utf-8")
    Service.load(tmp_path)
    DaemonStatus.load(tmp_path)


@pytest.mark.parametrize("key", ["incarnation", "pid", "persist_seconds", "bytes_written", "started"])
@pytest.mark.parametrize("number", [float("inf"), float("nan"), 10**400], ids=["inf", "nan", "huge"])
def test_impossible_numbers_in_the_small_files(tmp_path: Path, key: str, number: float) -> None:
    for file in (FILE_NAME, "daemon.json"):
        (tmp_path / file).write_text(json.dumps(SERVICE | {key: number}), encoding="utf-8")
    Service.load(tmp_path)
    DaemonStatus.load(tmp_path)
