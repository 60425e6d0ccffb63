"""The store on a mounted Drive that behaves: its promises, what it can confirm, and where it is."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.drive_mount import MountedDrive, drive_mount
from helpers.drive_server import DriveServer, Fault, answers, drive_server, resets
from holdfast.runtime.errors import (
    FormatInvalid,
    ObjectNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores import Content, FolderStore, drive_confirm
from holdfast.runtime.stores import drive as drive_module
from holdfast.runtime.stores import drive_mount as mount_module
from holdfast.runtime.stores.base import Confirmation, Listing, Quota
from holdfast.runtime.stores.drive import DriveFolder
from holdfast.runtime.stores.drive_confirm import Attributes
from holdfast.runtime.stores.drive_rest import DriveRest

DATA = bytes(range(256)) * 1000
CONTENT = Content.of(DATA)
MD5 = "ab" * 16


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[MountedDrive]:
    with drive_mount(tmp_path) as drive:
        yield drive


@pytest.fixture
def store(drive: MountedDrive) -> DriveFolder:
    store = DriveFolder("deep/holdfast")
    store.check()
    return store


@pytest.fixture
def server() -> Iterator[DriveServer]:
    with drive_server() as server:
        yield server


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of a mount, for what needs none."""
    monkeypatch.setenv(mount_module.PLACE, str(tmp_path))
    monkeypatch.setattr(DriveRest, "available", lambda: False)
    (tmp_path / "MyDrive").mkdir()
    return tmp_path / "MyDrive"


def test_the_promises_are_a_mounts(store: DriveFolder) -> None:
    promised = store.capabilities
    assert not promised.atomic_create and not promised.confirmed_on_return and not promised.remote
    assert promised.parallel == 1
    assert store.url == "drive:deep/holdfast"
    assert store.under("a run").url == "drive:deep/holdfast/a%20run"


def test_an_object_is_a_file_in_my_drive(store: DriveFolder, drive: MountedDrive) -> None:
    store.under("run").create("objects/a", CONTENT)
    assert (drive.cache / "MyDrive/deep/holdfast/run/objects/a").read_bytes() == DATA
    assert store.leftovers("run/objects") == {}


def test_nothing_is_ever_renamed_or_linked(store: DriveFolder, drive: MountedDrive) -> None:
    drive.log()
    store.check()
    store.create("objects/a", CONTENT)
    store.list("objects")
    store.delete("objects/a")
    operations = {op for op, _, _ in drive.log()}
    assert "create" in operations
    assert operations.isdisjoint({"rename", "link", "symlink"})


def test_a_file_is_cut_to_nothing_before_it_is_deleted(store: DriveFolder, drive: MountedDrive) -> None:
    store.create("objects/a", CONTENT)
    drive.log()
    store.delete("objects/a")
    changes = [(op, detail) for op, _, detail in drive.log() if op in ("truncate", "unlink")]
    assert changes == [("truncate", "0"), ("unlink", "")]
    assert [file.stat().st_size for file in drive.trash.glob("*_a")] == [0]


def test_deleting_a_link_leaves_what_it_points_to(store: DriveFolder, drive: MountedDrive) -> None:
    store.create("objects/a", CONTENT)
    (drive.place / "MyDrive/deep/holdfast/objects/link").symlink_to("a")
    store.delete("objects/link")
    assert store.list("objects") == Listing({"a": len(DATA)})


def test_doubles_that_the_mount_shows_are_passed_over(store: DriveFolder, drive: MountedDrive) -> None:
    drive.switch(doubling=True)
    store.create("manifests/a.json", CONTENT)
    store.create("manifests/b", CONTENT)
    assert len(list((drive.cache / "MyDrive/deep/holdfast/manifests").iterdir())) == 4
    assert store.list("manifests") == Listing({"a.json": len(DATA), "b": len(DATA)})


def test_a_folder_is_a_double_only_beside_another(store: DriveFolder, drive: MountedDrive) -> None:
    for name in ("run", "run (1)", "Untitled (1)", "v1.2", "v1 (3).2"):
        (drive.place / "MyDrive/deep/holdfast/all" / name).mkdir(parents=True)
    assert store.list("all").folders == {"run", "Untitled (1)", "v1.2"}


def test_written_is_pending_until_it_is_uploaded(store: DriveFolder, drive: MountedDrive) -> None:
    store.create("objects/a", CONTENT)
    assert store.confirm("objects/a", CONTENT) == store.confirm("objects/a") == "pending"
    drive.upload("deep/holdfast/objects/a")
    assert store.confirm("objects/a", CONTENT) == store.confirm("objects/a") == "confirmed"


def test_what_is_uploaded_as_it_is_closed_is_confirmed(store: DriveFolder, drive: MountedDrive) -> None:
    drive.switch(uploading=True)
    store.create("objects/a", CONTENT)
    assert store.confirm("objects/a", CONTENT) == "confirmed"


def test_what_is_confirmed_outlives_the_machine(store: DriveFolder, drive: MountedDrive) -> None:
    store.create("objects/a", CONTENT)
    store.create("objects/b", CONTENT)
    drive.upload("deep/holdfast/objects/a")
    told = {name: store.confirm(f"objects/{name}", CONTENT) for name in "ab"}
    assert told == {"a": "confirmed", "b": "pending"}
    drive.lose_machine()
    assert (drive.cloud / "MyDrive/deep/holdfast/objects/a").read_bytes() == DATA
    another = DriveFolder("deep/holdfast")
    assert another.read("objects/a", len(DATA)) == DATA
    assert another.list("objects") == Listing({"a": len(DATA)})


def test_a_corrupted_upload_is_never_confirmed(store: DriveFolder, drive: MountedDrive) -> None:
    store.create("objects/a", CONTENT)
    drive.upload("deep/holdfast/objects/a", corrupted=True)
    assert store.confirm("objects/a", CONTENT) == store.confirm("objects/a") == "unknown"


def test_bytes_that_were_corrupted_on_the_way_are_never_confirmed(
    store: DriveFolder, drive: MountedDrive
) -> None:
    drive.switch(corrupting=True)
    store.create("objects/a", CONTENT)
    drive.upload()
    assert store.confirm("objects/a", CONTENT) == "unknown"
    assert not store.holds("objects/a", CONTENT)


def test_what_is_not_there_is_not_confirmed(store: DriveFolder, drive: MountedDrive) -> None:
    drive.switch(attributes="none")
    assert store.confirm("objects/a") == "pending"
    store.create("objects/a", Content.of(DATA[:-1]))
    drive.upload()
    drive.switch(attributes="kept", overrides={"user.drive.md5": None})
    assert store.confirm("objects/a", CONTENT) == "unknown"
    assert store.confirm("objects/a", Content.of(DATA[:-1])) == "confirmed"
    with pytest.raises(FormatInvalid):
        store.confirm("../a")


@pytest.mark.parametrize(
    "overrides",
    [
        {"user.drive.id": None},
        {"user.drive.id": "local-1"},
        {"user.drive.uncommitted": "maybe"},
        {"user.drive.md5": "0" * 32},
        {"user.drive.md5": "cut off"},
        {"user.drive.uncommitted": None, "user.drive.md5": None},
    ],
    ids=str,
)
def test_attributes_that_are_missing_or_contradict_each_other_confirm_nothing(
    store: DriveFolder, drive: MountedDrive, overrides: dict[str, str | None]
) -> None:
    store.create("objects/a", CONTENT)
    drive.upload()
    assert store.confirm("objects/a", CONTENT) == "confirmed"
    drive.switch(overrides=overrides)
    assert store.confirm("objects/a", CONTENT) == "unknown"


@pytest.mark.parametrize(
    ("attributes", "verdict"),
    [
        (Attributes(), "unknown"),
        (Attributes("local-1"), "pending"),
        (Attributes("local-1", "1"), "pending"),
        (Attributes("local-1", "0"), "unknown"),
        (Attributes("local-1", None, MD5), "unknown"),
        (Attributes("1abc"), "unknown"),
        (Attributes("1abc", "1"), "pending"),
        (Attributes("1abc", "1", MD5), "pending"),
        (Attributes("1abc", "0"), "confirmed"),
        (Attributes("1abc", "0", MD5), "confirmed"),
        (Attributes("1abc", None, MD5.upper()), "confirmed"),
        (Attributes("1abc", "0", "cd" * 16), "unknown"),
        (Attributes(None, "0", MD5), "unknown"),
    ],
    ids=str,
)
def test_what_attributes_say_together(attributes: Attributes, verdict: Confirmation) -> None:
    assert attributes.verdict(lambda md5: md5 == MD5) == verdict


VALUES = st.none() | st.sampled_from(["0", "1", "local-9", "1abc", MD5]) | st.text(max_size=3)


@given(VALUES, VALUES, VALUES, st.booleans())
def test_only_evidence_confirms(id_: str | None, uncommitted: str | None, md5: str | None, same: bool) -> None:
    if Attributes(id_, uncommitted, md5).verdict(lambda _: same) == "confirmed":
        assert id_ is not None and not id_.startswith("local")
        assert uncommitted in (None, "0") and (md5 is None or same)
        assert uncommitted == "0" or md5 is not None


def test_the_digest_of_a_file_is_reckoned_once(
    store: DriveFolder, drive: MountedDrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_confirm, "DIGESTS_KEPT", 1)
    store.create("objects/a", CONTENT)
    store.create("objects/b", CONTENT)
    drive.upload()
    drive.log()
    assert store.confirm("objects/a") == store.confirm("objects/a") == "confirmed"
    assert len([path for op, path, _ in drive.log() if op == "open"]) == 1
    assert store.confirm("objects/b") == store.confirm("objects/a") == "confirmed"
    assert len([path for op, path, _ in drive.log() if op == "open"]) == 2


def test_without_attributes_and_without_credentials_nothing_can_be_known(
    store: DriveFolder, drive: MountedDrive
) -> None:
    drive.switch(attributes="none")
    store.create("objects/a", CONTENT)
    drive.upload()
    assert store.confirm("objects/a", CONTENT) == "unknown"


@pytest.fixture
def asked(
    store: DriveFolder, drive: MountedDrive, server: DriveServer, monkeypatch: pytest.MonkeyPatch
) -> DriveFolder:
    """A store whose mount gives no attributes, and which may ask Drive; it has written one object."""
    monkeypatch.setattr(DriveRest, "available", lambda: True)
    drive.switch(attributes="none")
    store.create("objects/a", CONTENT)
    return store


def in_drive(server: DriveServer, content: bytes) -> None:
    """What the mount's client would have uploaded."""
    parent = "0Aroot"
    for name in ("deep", "holdfast", "objects"):
        parent = server.add(name, parent=parent, folder=True).id
    server.add("a", content, parent=parent)


def test_drive_is_asked_where_attributes_say_nothing(asked: DriveFolder, server: DriveServer) -> None:
    assert asked.confirm("objects/a", CONTENT) == "pending"
    in_drive(server, DATA)
    assert asked.confirm("objects/a", CONTENT) == asked.confirm("objects/a") == "confirmed"


@pytest.mark.parametrize(("there", "verdict"), [(DATA[:-1], "pending"), (DATA[:-1] + b"x", "unknown")])
def test_other_bytes_in_drive_confirm_nothing(
    asked: DriveFolder, server: DriveServer, there: bytes, verdict: Confirmation
) -> None:
    in_drive(server, there)
    assert asked.confirm("objects/a", CONTENT) == verdict


def test_attributes_are_believed_before_drive_is_asked(
    asked: DriveFolder, drive: MountedDrive, server: DriveServer
) -> None:
    drive.switch(attributes="kept")
    assert asked.confirm("objects/a", CONTENT) == "pending"
    drive.upload()
    assert asked.confirm("objects/a", CONTENT) == "confirmed"
    assert server.requests == []


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (answers(403, "userRateLimitExceeded"), "pending"),
        (answers(503), "pending"),
        (resets, "pending"),
        (answers(403, "insufficientPermissions"), "unknown"),
        (answers(401), "unknown"),
    ],
    ids=["rate", "503", "reset", "scope", "401"],
)
def test_a_failure_of_drive_confirms_nothing(
    asked: DriveFolder, server: DriveServer, fault: Fault, verdict: Confirmation
) -> None:
    in_drive(server, DATA)
    server.fail(r"files\..*", *[fault] * 20)
    assert asked.confirm("objects/a", CONTENT) == verdict


def test_credentials_are_looked_for_once_a_mount_and_while_missing_now_and_then(
    store: DriveFolder, drive: MountedDrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = itertools.chain([0.0, 1.0, 2.0, 700.0], itertools.repeat(701.0))
    looked: list[int] = []

    def available() -> bool:
        looked.append(1)
        return False

    monkeypatch.setattr(drive_confirm, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(DriveRest, "available", available)
    drive.switch(attributes="none")
    store.create("objects/a", CONTENT)
    counts = []
    for _ in range(5):
        assert store.confirm("objects/a") == "unknown"
        counts.append(len(looked))
    drive.crash()
    with pytest.raises(StoreUnavailable):
        store.confirm("objects/a")
    drive.remount()
    drive.switch(attributes="none")
    assert store.confirm("objects/a") == "unknown"
    assert [*counts, len(looked)] == [1, 1, 1, 2, 2, 3]


def test_room_is_drives_own_where_it_can_be_asked(
    asked: DriveFolder, drive: MountedDrive, server: DriveServer
) -> None:
    server.limit = 1 << 20
    in_drive(server, b"x" * 100)
    assert asked.quota() == Quota(1 << 20, (1 << 20) - 100)
    drive.switch(room=5)
    server.fail("about.get", answers(403, "insufficientPermissions"), answers(503))
    assert asked.quota() == asked.quota() == Quota(5 * 4096, 5 * 4096)
    server.limit = None
    assert asked.quota() == Quota(5 * 4096, 5 * 4096)


def test_room_that_nobody_knows_is_not_told(store: DriveFolder, drive: MountedDrive) -> None:
    drive.switch(room=0)
    assert store.quota() is None


def test_nothing_mounted_is_said_with_the_line_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (tmp_path, tmp_path / "none"):
        monkeypatch.setenv(mount_module.PLACE, str(place))
        with pytest.raises(StoreUnusable, match=rf"drive\.mount\('{place}'\)$"):
            DriveFolder("holdfast").check()
        with pytest.raises(StoreUnavailable):
            DriveFolder("holdfast").list("objects")
        assert list(tmp_path.iterdir()) == []


def test_without_another_place_it_is_colabs_and_must_be_a_mount(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(mount_module.PLACE)
    assert DriveFolder("a")._mount.place == Path("/content/drive")
    monkeypatch.setattr(mount_module, "COLAB_PLACE", str(plain.parent))
    store = DriveFolder("holdfast")
    with pytest.raises(StoreUnusable, match="nothing is mounted there"):
        store.check()
    assert list(plain.iterdir()) == []
    store.folder.mkdir()
    with pytest.raises(StoreUnavailable):
        store.create("a", Content(1, lambda: pytest.fail("the content was asked for")))
    assert list(store.folder.iterdir()) == []


def test_a_folder_in_the_place_of_a_mount_is_watched_too(plain: Path) -> None:
    store = DriveFolder("holdfast")
    store.check()
    assert store.list("objects") == Listing()
    with pytest.raises(ObjectNotFound):
        store.size("objects/a")
    store.folder.rmdir()
    plain.rmdir()
    plain.write_bytes(b"no folder")
    for act in (lambda: store.list("objects"), lambda: store.size("objects/a"), lambda: store.delete("a")):
        with pytest.raises(StoreUnavailable):
            act()


def test_a_mount_that_goes_while_it_is_written_to_has_not_been_written_to(plain: Path) -> None:
    def goes() -> Iterator[bytes]:
        yield DATA
        plain.rename(plain.with_name("elsewhere"))

    store = DriveFolder("holdfast")
    store.check()
    with pytest.raises(StoreUnavailable, match="gone"):
        store.create("a", Content(len(DATA), goes))
    plain.with_name("elsewhere").rename(plain)
    store.create("a", CONTENT)
    assert store.read("a", len(DATA)) == DATA


def test_a_mount_that_goes_while_it_is_listed_has_not_been_listed(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DriveFolder("holdfast")
    store.create("objects/a", CONTENT)
    scan = drive_module._scan

    def goes(folder: Path) -> tuple[Listing, set[str]]:
        found = scan(folder)
        plain.rename(plain.with_name("elsewhere"))
        return found

    monkeypatch.setattr(drive_module, "_scan", goes)
    with pytest.raises(StoreUnavailable, match="gone"):
        store.list("objects")


def test_a_mount_that_goes_while_it_is_read_has_not_cut_the_file_off(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DriveFolder("holdfast")
    store.create("a", CONTENT)

    def goes(self: FolderStore, name: str, offset: int, buffer: memoryview) -> None:
        plain.rename(plain.with_name("elsewhere"))
        raise FormatInvalid("The file ends too early")

    monkeypatch.setattr(FolderStore, "read_into", goes)
    with pytest.raises(StoreUnavailable, match="gone"):
        store.read("a", len(DATA))


@pytest.mark.parametrize(
    ("op", "number"), [("write", errno.ENOSPC), ("create", errno.EROFS), ("mkdir", errno.EDQUOT)]
)
def test_a_store_that_refuses_is_unusable(drive: MountedDrive, op: str, number: int) -> None:
    drive.fail(op, number)
    with pytest.raises(StoreUnusable, match="drive:holdfast"):
        DriveFolder("holdfast").check()


def test_a_store_that_changes_bytes_is_unusable(drive: MountedDrive) -> None:
    drive.switch(corrupting=True)
    with pytest.raises(StoreUnusable, match="other bytes"):
        DriveFolder("holdfast").check()


def test_a_store_that_fails_may_be_usable_later(drive: MountedDrive) -> None:
    drive.fail("write", errno.EIO, times=1)
    store = DriveFolder("holdfast")
    with pytest.raises(StoreUnavailable):
        store.check()
    store.check()
    assert list(store.folder.iterdir()) == []
