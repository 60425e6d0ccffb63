"""The store on a mounted Drive that fails, hangs, lies, dies and comes back."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from helpers.drive_mount import MountedDrive, drive_mount
from holdfast.runtime.errors import (
    FormatInvalid,
    ObjectExists,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores import Content
from holdfast.runtime.stores import drive as drive_module
from holdfast.runtime.stores import retrying as retrying_module
from holdfast.runtime.stores.base import Listing
from holdfast.runtime.stores.drive import DriveFolder
from holdfast.runtime.stores.retrying import Retrying

DATA = bytes(range(256)) * 4000
CONTENT = Content.of(DATA)
HALF = len(DATA) // 2

Act = Callable[[DriveFolder], object]
READING: dict[str, Act] = {
    "list": lambda store: store.list("objects"),
    "list of a missing folder": lambda store: store.list("none"),
    "size": lambda store: store.size("objects/a"),
    "size of a missing file": lambda store: store.size("objects/none"),
    "read": lambda store: store.read("objects/a", 10),
    "read past the end": lambda store: store.read("objects/a", len(DATA) + 1),
    "confirm": lambda store: store.confirm("objects/a"),
    "quota": lambda store: store.quota(),
}
ALL: dict[str, Act] = {
    **READING,
    "create": lambda store: store.create("objects/new", CONTENT),
    "create in a new folder": lambda store: store.create("new/new", CONTENT),
    "delete": lambda store: store.delete("objects/a"),
    "delete of a missing file": lambda store: store.delete("objects/none"),
}


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[MountedDrive]:
    with drive_mount(tmp_path) as drive:
        yield drive


@pytest.fixture
def store(drive: MountedDrive) -> DriveFolder:
    """The folder of a run, with one object in it."""
    top = DriveFolder("holdfast")
    top.check()
    run = top.under("run")
    run.create("objects/a", CONTENT)
    return run


@pytest.fixture
def other(store: DriveFolder) -> DriveFolder:
    """What another process on the machine sees."""
    return DriveFolder("holdfast/run")


def in_halves() -> Iterator[bytes]:
    yield DATA[:HALF]
    yield DATA[HALF:]


HALVES = Content(len(DATA), in_halves)


@pytest.mark.parametrize("op", ["create", "write", "fsync", "flush"])
@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, StoreUnavailable),
        (errno.ENOTCONN, StoreUnavailable),
        (errno.ENOSPC, StoreRefused),
        (errno.EDQUOT, StoreRefused),
        (errno.EROFS, StoreRefused),
        (errno.EACCES, StoreRefused),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else "",
)
def test_a_write_that_fails_leaves_nothing_and_goes_well_when_the_fault_is_gone(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive, op: str, number: int, kind: type[Exception]
) -> None:
    drive.fail(op, number, skip=1 if op == "write" else 0)
    with pytest.raises(kind, match="drive"):
        store.create("objects/b", HALVES)
    drive.heal()
    assert other.list("objects") == Listing({"a": len(DATA)})
    with pytest.raises(ObjectNotFound):
        other.size("objects/b")
    store.create("objects/b", HALVES)
    assert other.read("objects/b", len(DATA)) == DATA


ERRORS = [errno.EIO, errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT]


@pytest.mark.parametrize("op", ["getattr", "readdir", "open", "read", "statfs", "getxattr"])
@pytest.mark.parametrize("number", ERRORS)
def test_an_error_is_never_taken_for_an_answer(
    store: DriveFolder, drive: MountedDrive, op: str, number: int
) -> None:
    drive.switch(room=100)
    before = {name: outcome(act, store) for name, act in READING.items()}
    drive.fail(op, number)
    during = {name: outcome(act, store) for name, act in READING.items()}
    assert StoreUnavailable in during.values()
    assert all(found in (StoreUnavailable, before[name]) for name, found in during.items())
    drive.heal()
    assert {name: outcome(act, store) for name, act in READING.items()} == before


def outcome(act: Act, store: DriveFolder) -> object:
    """What comes of an act: its result, or the kind of its error."""
    try:
        return act(store)
    except (StoreUnavailable, ObjectNotFound, FormatInvalid) as error:
        return type(error)


@pytest.mark.parametrize("op", ["getattr", "open", "truncate", "flush", "unlink"])
@pytest.mark.parametrize("number", ERRORS)
def test_a_failed_delete_can_be_done_again(
    store: DriveFolder, drive: MountedDrive, op: str, number: int
) -> None:
    drive.fail(op, number)
    with pytest.raises(StoreUnavailable):
        store.delete("objects/a")
    drive.heal()
    store.delete("objects/a")
    assert store.list("objects") == Listing()
    assert [file.stat().st_size for file in drive.trash.glob("*_a")] == [0]


@pytest.mark.parametrize("op", ["getattr", "mkdir"])
@pytest.mark.parametrize("number", ERRORS)
def test_a_folder_that_cannot_be_made_can_be_made_later(
    store: DriveFolder, drive: MountedDrive, op: str, number: int
) -> None:
    drive.fail(op, number)
    with pytest.raises(StoreUnavailable):
        store.create("new/deep/b", CONTENT)
    drive.heal()
    store.create("new/deep/b", CONTENT)
    assert store.read("new/deep/b", len(DATA)) == DATA


def test_a_close_that_fails_even_at_cleaning_up_is_made_good_by_the_next_try(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive
) -> None:
    drive.fail("flush", errno.EIO, name="objects/b")
    drive.fail("unlink", errno.EIO, name="objects/b")
    with pytest.raises(StoreUnavailable):
        store.create("objects/b", CONTENT)
    assert other.size("objects/b") == 0
    drive.heal()
    with pytest.raises(ObjectExists):
        other.create("objects/b", CONTENT)
    store.create("objects/b", CONTENT)
    assert other.read("objects/b", len(DATA)) == DATA
    with pytest.raises(ObjectExists):
        store.create("objects/b", CONTENT)


def test_a_file_that_was_made_although_it_was_said_not_to_be(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive
) -> None:
    drive.fail("create", errno.EIO, after=True)
    with pytest.raises(StoreUnavailable):
        store.create("objects/b", CONTENT)
    drive.heal()
    assert other.size("objects/b") == 0
    store.create("objects/b", CONTENT)
    assert other.read("objects/b", len(DATA)) == DATA


def test_what_somebody_else_has_written_since_is_not_taken_for_a_failed_write(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive
) -> None:
    drive.fail("create", errno.EIO, times=1)
    with pytest.raises(StoreUnavailable):
        store.create("objects/b", CONTENT)
    other.create("objects/b", Content.of(b"theirs"))
    with pytest.raises(ObjectExists):
        store.create("objects/b", CONTENT)
    assert other.read("objects/b", 6) == b"theirs"


def test_a_failure_of_the_content_is_not_the_stores(store: DriveFolder, other: DriveFolder) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield DATA[:HALF]
        raise FileNotFoundError("of the spool")

    with pytest.raises(FileNotFoundError, match="of the spool"):
        store.create("objects/b", Content(len(DATA), breaks_off))
    assert other.list("objects") == Listing({"a": len(DATA)})


@pytest.mark.parametrize(
    ("number", "room", "hint"),
    [
        (errno.ENOSPC, 1 << 60, "local disk is full"),
        (errno.ENOSPC, 0, "Drive is full"),
        (errno.EDQUOT, 1 << 60, "empty Drive's trash"),
        (errno.EIO, 0, "force_remount=True"),
        (errno.ENOTCONN, 0, "force_remount=True"),
    ],
)
def test_a_failure_says_what_to_do(
    store: DriveFolder,
    drive: MountedDrive,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    room: int,
    hint: str,
) -> None:
    monkeypatch.setattr(drive_module, "LOCAL_ROOM_BYTES", room)
    drive.fail("write", number)
    with pytest.raises((StoreUnavailable, StoreRefused), match=hint):
        store.create("objects/b", CONTENT)


def test_where_all_is_full_deleting_still_works(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive
) -> None:
    drive.fail("truncate", errno.ENOSPC)
    drive.fail("flush", errno.EDQUOT)
    store.delete("objects/a")
    drive.heal()
    assert other.list("objects") == Listing()


def test_slow_writes_are_waited_for(store: DriveFolder, other: DriveFolder, drive: MountedDrive) -> None:
    drive.switch(write_rate=8 * len(DATA))
    store.create("objects/b", CONTENT)
    assert other.read("objects/b", len(DATA)) == DATA


@pytest.mark.parametrize("op", ["write", "fsync", "flush"])
def test_nobody_believes_in_what_hangs(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive, op: str
) -> None:
    drive.hang(op)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.create, "objects/b", CONTENT)
        try:
            drive.wait_until_it_hangs()
            assert other.confirm("objects/b", CONTENT) != "confirmed"
            assert other.confirm("objects/b") == "pending"
            with pytest.raises(ObjectExists):
                other.create("objects/b", CONTENT)
            assert not writing.done()
            if op == "write":
                assert other.list("objects").sizes["b"] < len(DATA)
                with pytest.raises(FormatInvalid):
                    other.read("objects/b", len(DATA))
        finally:
            drive.heal()
        writing.result()
    assert other.read("objects/b", len(DATA)) == DATA


@pytest.mark.parametrize("op", ["create", "write", "fsync", "flush", "getattr", "mkdir"])
def test_a_mount_that_dies_while_a_write_hangs_has_not_written(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive, op: str
) -> None:
    drive.hang(op)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.create, "new/b", CONTENT)
        try:
            drive.wait_until_it_hangs()
        finally:
            drive.crash()
        with pytest.raises(StoreUnavailable):
            writing.result()
    drive.remount()
    store.create("new/b", CONTENT)
    assert other.read("new/b", len(DATA)) == DATA


@pytest.mark.parametrize("act", ALL.values(), ids=ALL)
def test_a_dead_mount_is_no_empty_store(store: DriveFolder, drive: MountedDrive, act: Act) -> None:
    drive.crash()
    with pytest.raises(StoreUnavailable, match=r"force_remount=True"):
        act(store)
    with pytest.raises(StoreUnusable, match=r"not connected.*force_remount=True"):
        store.check()
    drive.remount()
    assert store.list("objects") == Listing({"a": len(DATA)})
    act_again(act, store)


def act_again(act: Act, store: DriveFolder) -> None:
    """It works as if nothing had been, in the same store."""
    with suppress(ObjectNotFound, FormatInvalid):
        act(store)


@pytest.mark.parametrize("act", ALL.values(), ids=ALL)
def test_what_lies_beside_the_mount_is_no_store(store: DriveFolder, drive: MountedDrive, act: Act) -> None:
    drive.unmount()
    with pytest.raises(StoreUnavailable, match=r"gone.*force_remount=True"):
        act(store)
    beside = drive.place / "MyDrive" / "holdfast" / "run" / "objects"
    beside.mkdir(parents=True)
    (beside / "a").write_bytes(b"another" * 100)
    with pytest.raises(StoreUnavailable, match="nothing is mounted there"):
        act(store)
    assert [path.name for path in drive.place.rglob("*") if path.is_file()] == ["a"]
    shutil.rmtree(drive.place / "MyDrive")
    drive.mount()
    assert store.list("objects") == Listing({"a": len(DATA)})
    act_again(act, store)


@pytest.mark.parametrize("where", ["/MyDrive", "/MyDrive/holdfast", "/MyDrive/holdfast/run"])
@pytest.mark.parametrize("act", ALL.values(), ids=ALL)
def test_a_folder_that_was_there_has_not_gone_by_itself(
    store: DriveFolder, drive: MountedDrive, act: Act, where: str
) -> None:
    if where == "/MyDrive/holdfast/run" and act is ALL["quota"]:
        act = ALL["list"]
    drive.fail("getattr", errno.ENOENT, name=where)
    with pytest.raises(StoreUnavailable, match=r"force_remount=True"):
        act(store)
    drive.log()
    with pytest.raises(StoreUnavailable):
        store.create("objects/new", CONTENT)
    assert {op for op, _, _ in drive.log()} == {"getattr"}
    drive.heal()
    assert store.list("objects") == Listing({"a": len(DATA)})
    act_again(act, store)


def test_a_deeper_folder_that_was_there_has_not_gone_by_itself(store: DriveFolder, drive: MountedDrive) -> None:
    assert store.list("claims") == Listing()
    drive.fail("getattr", errno.ENOENT, name="/objects")
    drive.fail("readdir", errno.ENOENT, name="/objects")
    for act in (ALL["list"], ALL["size"], ALL["delete"], ALL["create"]):
        with pytest.raises(StoreUnavailable, match="vanished"):
            act(store)
    with pytest.raises(StoreUnavailable, match="it lists objects"):
        DriveFolder("holdfast/run").list("objects")


def test_a_file_that_is_listed_and_not_there_is_no_answer(store: DriveFolder, drive: MountedDrive) -> None:
    drive.fail("getattr", errno.ENOENT, name="/objects/a")
    for act in (ALL["list"], ALL["size"], ALL["read"], ALL["delete"]):
        with pytest.raises(StoreUnavailable, match="it lists"):
            act(store)
    drive.heal()
    assert store.list("objects") == Listing({"a": len(DATA)})


def test_a_file_deleted_while_its_folder_is_listed_is_left_out(
    store: DriveFolder, other: DriveFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, scans = drive_module._scan, []

    def deleted_meanwhile(folder: Path) -> tuple[Listing, set[str]]:
        scans.append(folder)
        if len(scans) > 1:
            return scan(folder)
        other.delete("objects/a")
        return Listing(), {"a"}

    monkeypatch.setattr(drive_module, "_scan", deleted_meanwhile)
    assert store.list("objects") == Listing()
    assert len(scans) == 2


def test_what_is_not_to_be_seen_yet_is_neither_overwritten_nor_confirmed(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive
) -> None:
    drive.switch(delaying=True)
    store.create("objects/b", CONTENT)
    assert other.list("objects") == Listing({"a": len(DATA)})
    with pytest.raises(ObjectNotFound):
        other.size("objects/b")
    assert store.confirm("objects/b", CONTENT) == "pending"
    for client in (store, other):
        with pytest.raises(ObjectExists):
            client.create("objects/b", Content.of(b"another"))
    with pytest.raises(StoreUnavailable, match="not visible yet"):
        store.create("new/b", CONTENT)
    drive.switch(delaying=False)
    assert other.read("objects/b", len(DATA)) == DATA
    store.create("new/b", CONTENT)


@pytest.mark.parametrize("how", ["refused", "reverted"])
def test_that_renames_fail_or_are_undone_is_no_matter(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive, how: str
) -> None:
    drive.switch(rename=how)
    with suppress(PermissionError):
        (store.folder / "objects" / "a").rename(store.folder / "objects" / "b")
    assert (store.folder / "objects" / "a").exists()
    store.check()
    store.create("objects/b", CONTENT)
    assert other.list("objects") == Listing({"a": len(DATA), "b": len(DATA)})


def test_a_lost_machine_takes_what_was_not_uploaded(store: DriveFolder, drive: MountedDrive) -> None:
    drive.upload()
    store.create("objects/b", CONTENT)
    drive.lose_machine()
    assert store.list("objects") == Listing({"a": len(DATA)})
    assert store.confirm("objects/b", CONTENT) != "confirmed"
    store.create("objects/b", CONTENT)


@pytest.fixture
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying_module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(retrying_module, "LONGEST_SECONDS", 0.0)


@pytest.mark.usefixtures("without_waiting")
def test_tried_again_it_goes_back_to_work_by_itself(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive
) -> None:
    failures: list[str] = []

    def failed(error: StoreUnavailable) -> None:
        failures.append(error.what)
        if len(failures) == 2:
            drive.crash()
        if len(failures) == 5:
            drive.remount()

    drive.fail("write", errno.EIO)
    retrying = Retrying(store, 600.0, failed)
    retrying.create("objects/b", HALVES)
    assert len(failures) == 5
    assert other.read("objects/b", len(DATA)) == DATA
    assert retrying.list("objects") == Listing({"a": len(DATA), "b": len(DATA)})


@pytest.mark.usefixtures("without_waiting")
def test_tried_again_a_file_made_against_the_mounts_word_is_taken_over(
    store: DriveFolder, other: DriveFolder, drive: MountedDrive
) -> None:
    drive.fail("create", errno.EIO, times=1, after=True)
    Retrying(store, 600.0).create("objects/b", CONTENT)
    assert other.read("objects/b", len(DATA)) == DATA


def test_no_mount_and_no_process_outlives_a_test_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), drive_mount(tmp_path) as drive:
        process = drive._process
        drive.hang("write")
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit((drive.place / "MyDrive" / "a").write_bytes, b"x")
            drive.wait_until_it_hangs()
            drive.unmount()
            assert isinstance(writing.exception(), OSError)
        raise ZeroDivisionError
    assert isinstance(process, subprocess.Popen) and process.poll() is not None
    assert not drive.mounted()
