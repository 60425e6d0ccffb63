"""The Drive store against a server that speaks Drive's interface: what is Drive's own about it."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.drive_server import DriveServer, drive_api_store, drive_server
from holdfast.runtime.errors import (
    FormatInvalid,
    ObjectExists,
    ObjectNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores import drive_client, open_store
from holdfast.runtime.stores.base import Content, Quota
from holdfast.runtime.stores.drive_api import DriveApiStore
from holdfast.runtime.stores.drive_rest import DriveRest
from holdfast.runtime.stores.drive_upload import PIECE_BYTES

BIG = bytes(range(251)) * (2 * PIECE_BYTES // 251 + 1000)
"""Three pieces of an upload, the last one short."""


@pytest.fixture
def drive() -> Iterator[DriveServer]:
    with drive_server() as server:
        yield server


@pytest.fixture
def store(drive: DriveServer) -> DriveApiStore:
    return DriveApiStore("team/holdfast")


@pytest.fixture
def other(drive: DriveServer) -> DriveApiStore:
    """Another machine's."""
    return DriveApiStore("team/holdfast")


def in_chunks(data: bytes, count: int) -> Content:
    return Content(len(data), lambda: (data[at : at + count] for at in range(0, len(data), count)))


def test_the_maker_gives_two_clients_of_one_place(tmp_path: Path) -> None:
    with drive_api_store(tmp_path) as made:
        made.store.create("a", Content.of(b"abc"))
        assert made.other.read("a", 3) == b"abc"


def test_a_url_opens_it_without_a_request(drive: DriveServer) -> None:
    assert open_store("drive-api:team/my%20runs").url == "drive-api:team/my%20runs"
    assert drive.requests == []


@pytest.mark.parametrize("chunk", [1 << 20, PIECE_BYTES, PIECE_BYTES + 1, 3_000_001, len(BIG)])
def test_content_of_several_pieces_arrives_whole(drive: DriveServer, store: DriveApiStore, chunk: int) -> None:
    store.create("objects/a", in_chunks(BIG, chunk))
    assert drive.named("a")[0].content == BIG
    assert drive.count("upload.start") == 1
    assert drive.count("upload.piece") == 3


def test_content_is_sent_while_it_is_read(drive: DriveServer, store: DriveApiStore) -> None:
    ahead = []

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(BIG), 1 << 20):
            ahead.append(at - drive.count("upload.piece") * PIECE_BYTES)
            yield BIG[at : at + (1 << 20)]

    store.create("a", Content(len(BIG), chunks))
    assert max(ahead) <= PIECE_BYTES


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES])
def test_pieces_end_where_they_should(drive: DriveServer, store: DriveApiStore, size: int) -> None:
    store.create("a", Content.of(BIG[:size]))
    assert drive.named("a")[0].content == BIG[:size]
    assert store.size("a") == size
    assert store.read("a", size) == BIG[:size]


@pytest.mark.parametrize("before", [0, 100, PIECE_BYTES + 5])
@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), OSError(errno.EIO, "disk"), StoreUnavailable("another's"), ValueError(), KeyError()],
)
def test_what_the_content_raises_passes_through_and_leaves_nothing(
    drive: DriveServer, store: DriveApiStore, before: int, error: Exception
) -> None:
    def chunks() -> Iterator[bytes]:
        yield BIG[:before]
        raise error

    with pytest.raises(type(error)) as caught:
        store.create("a", Content(len(BIG), chunks))
    assert caught.value is error
    assert drive.named("a") == []
    store.create("a", Content.of(b"abc"))


@pytest.mark.parametrize("promised", [2, 4, PIECE_BYTES * 2])
def test_content_of_another_size_than_promised_is_not_stored(
    drive: DriveServer, store: DriveApiStore, promised: int
) -> None:
    with pytest.raises(FormatInvalid):
        store.create("a", Content(promised, lambda: iter([b"abc"])))
    assert drive.named("a") == []


def test_long_ranges_are_read_in_several_requests(
    drive: DriveServer, store: DriveApiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_client, "READ_BYTES", 1000)
    store.create("a", Content.of(BIG[:4000]))
    assert store.read("a", 2500, 77) == BIG[77:2577]
    assert drive.count("media") == 3
    for offset, count in ((3000, 1001), (3999, 2), (4000, 1), (9999, 1)):
        with pytest.raises(FormatInvalid):
            store.read("a", count, offset)


def test_several_threads_read_and_write_at_once(drive: DriveServer, store: DriveApiStore) -> None:
    failures = []

    def act(number: int) -> None:
        try:
            data = bytes([number]) * 300_000
            store.create(f"objects/{number}", Content.of(data))
            assert store.read(f"objects/{number}", 200_000, 100_000) == data[100_000:]
        except BaseException as error:  # told to the test
            failures.append(error)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.list("objects").sizes) == 8
    assert [len(drive.named(name)) for name in ("team", "holdfast", "objects")] == [1, 1, 1]


@pytest.mark.parametrize(
    "name", ["it's", 'back\\slash "and" quote', "ünï ☃", "' or trashed = true", "a+b&c=d%20"]
)
def test_letters_that_mean_something_elsewhere_mean_nothing(store: DriveApiStore, name: str) -> None:
    store.create(f"{name}/{name}", Content.of(b"abc"))
    assert store.list(name).sizes == {name: 3}
    assert store.read(f"{name}/{name}", 3) == b"abc"
    store.delete(f"{name}/{name}")
    assert store.list(name).sizes == {}


def test_names_that_differ_in_case_are_two(store: DriveApiStore) -> None:
    store.create("Objects/A", Content.of(b"upper"))
    with pytest.raises(ObjectNotFound):
        store.size("Objects/a")
    store.create("Objects/a", Content.of(b"lower"))
    assert store.read("Objects/A", 5) == b"upper"
    assert store.list("objects").sizes == {}


def test_a_path_too_long_for_an_address_is_found(store: DriveApiStore, other: DriveApiStore) -> None:
    deep = "/".join(f"{'ü' * 60}{number}" for number in range(12))
    store.create(f"{deep}/a", Content.of(b"abc"))
    assert other.list(deep).sizes == {"a": 3}


def test_a_listing_of_several_pages_is_whole(drive: DriveServer, store: DriveApiStore) -> None:
    drive.page_entries = 3
    for number in range(10):
        store.create(f"objects/{number}", Content.of(b"x" * number))
    drive.requests.clear()
    assert store.list("objects").sizes == {str(number): number for number in range(10)}
    assert drive.count("files.list") == 1 + 4  # the folders on the way, then the objects
    assert all(request.query["pageSize"] == "1000" for request in drive.requests)


def test_doubles_are_not_listed(drive: DriveServer, store: DriveApiStore) -> None:
    store.create("objects/x.json", Content.of(b"abc"))
    folder = drive.named("objects")[0].id
    for name in ("x (1).json", "x (23).json", "y (1)"):
        drive.add(name, parent=folder)
    drive.add("x (a).json", parent=folder)
    assert store.list("objects").sizes == {"x.json": 3, "x (a).json": 0}


def test_a_run_may_be_called_like_a_double(drive: DriveServer, store: DriveApiStore) -> None:
    store.create("notebook (1)/claims/a", Content.of(b""))
    store.create("run/claims/a", Content.of(b""))
    drive.add("run (1)", parent=drive.named("holdfast")[0].id, folder=True)
    top = DriveApiStore("team")
    assert top.list("holdfast").folders == {"notebook (1)", "run"}


def test_documents_of_googles_kinds_are_no_objects(drive: DriveServer, store: DriveApiStore) -> None:
    store.create("objects/a", Content.of(b"abc"))
    drive.add("notes", parent=drive.named("objects")[0].id, folder=True)
    assert store.list("objects").sizes == {"a": 3}
    with pytest.raises(ObjectNotFound):
        store.size("objects/notes")
    store.create("objects/notes", Content.of(b"abc"))
    assert store.size("objects/notes") == 3


def test_what_is_written_is_confirmed_by_its_digest(drive: DriveServer, store: DriveApiStore) -> None:
    content = Content.of(b"abc", b"def")
    assert store.confirm("a", content) == "pending"
    store.create("a", content)
    assert store.confirm("a") == "confirmed"
    assert store.confirm("a", content) == "confirmed"
    drive.named("a")[0].md5 = hashlib.md5(b"other", usedforsecurity=False).hexdigest()
    assert store.confirm("a", content) == "pending"
    assert not store.holds("a", content)


def test_holds_compares_digests_without_a_download(drive: DriveServer, store: DriveApiStore) -> None:
    store.create("a", Content.of(b"abc"))
    assert store.holds("a", Content.of(b"a", b"bc"))
    assert not store.holds("a", Content.of(b"abd"))
    assert not store.holds("a", Content.of(b"abcd"))
    assert not store.holds("b", Content.of(b"abc"))
    assert drive.count("media") == 0


def test_the_quota_is_the_accounts(drive: DriveServer, store: DriveApiStore) -> None:
    drive.limit = 1000
    store.create("a", Content.of(bytes(300)))
    assert store.quota() == Quota(1000, 700)
    drive.limit = None
    assert store.quota() is None


def test_deleted_is_gone_for_good(drive: DriveServer, store: DriveApiStore, other: DriveApiStore) -> None:
    store.create("a", Content.of(b"abc"))
    drive.add("a", b"double", parent=drive.named("holdfast")[0].id)
    other.delete("a")
    assert drive.named("a") == []
    store.delete("a")
    with pytest.raises(ObjectNotFound):
        store.size("a")


def test_of_two_files_with_one_name_the_oldest_counts(
    drive: DriveServer, store: DriveApiStore, other: DriveApiStore
) -> None:
    store.create("objects/x", Content.of(b"the first"))
    folder = drive.named("objects")[0].id
    drive.add("x", b"second", parent=folder)
    drive.frozen = True  # of one instant: the lesser id
    pair = [drive.add("a", content, parent=folder) for content in (b"one", b"three")]
    least = min(pair, key=lambda file: file.id)
    for client in (store, other):
        assert client.read("objects/x", 9) == b"the first"
        assert client.list("objects").sizes == {"x": 9, "a": least.size}
        assert client.size("objects/a") == least.size
        assert client.read("objects/a", least.size) == least.content
        with pytest.raises(ObjectExists):
            client.create("objects/a", Content.of(b"more"))


def test_of_many_that_create_one_name_one_remains(drive: DriveServer) -> None:
    clients = [DriveApiStore("team/holdfast") for _ in range(8)]
    clients[0].create("claims/zero", Content.of(b""))
    start, won, failures = threading.Barrier(8), [], []

    def contend(number: int) -> None:
        start.wait()
        try:
            clients[number].create("claims/one", Content.of(bytes([number]) * 1000))
            won.append(number)
        except ObjectExists:
            pass
        except BaseException as error:  # told to the test
            failures.append(error)

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(won) == 1
    assert [file.content for file in drive.named("one")] == [bytes(won) * 1000]


def test_who_finds_an_older_one_after_the_upload_takes_his_back(
    drive: DriveServer, store: DriveApiStore
) -> None:
    store.create("claims/zero", Content.of(b""))
    folder = drive.named("claims")[0].id

    def chunks() -> Iterator[bytes]:
        drive.add("one", b"theirs", parent=folder)
        yield b"ours"

    with pytest.raises(ObjectExists):
        store.create("claims/one", Content(4, chunks))
    assert [file.content for file in drive.named("one")] == [b"theirs"]
    assert store.read("claims/one", 6) == b"theirs"


def test_folders_that_two_machines_made_count_as_one(
    drive: DriveServer, store: DriveApiStore, other: DriveApiStore
) -> None:
    store.create("run/claims/a", Content.of(b"abc"))
    top = drive.named("holdfast")[0].id
    second = drive.add("run", parent=top, folder=True)
    claims = drive.add("claims", parent=second.id, folder=True)
    drive.add("b", b"defg", parent=claims.id)
    for client in (store, other):
        assert client.list("run/claims").sizes == {"a": 3, "b": 4}
        assert client.list("run").folders == {"claims"}
        assert client.read("run/claims/b", 4) == b"defg"
        with pytest.raises(ObjectExists):
            client.create("run/claims/b", Content.of(b"again"))
    other.create("run/claims/c", Content.of(b""))
    assert drive.named("c")[0].parent != claims.id
    store.delete("run/claims/b")
    assert drive.named("b") == []


def test_a_folder_that_another_machine_makes_at_the_same_time_is_seen(
    drive: DriveServer, store: DriveApiStore
) -> None:
    store.check()
    top, create = drive.named("holdfast")[0].id, drive._files_create

    def overtaken(request: object) -> object:
        first = drive.add("run", parent=top, folder=True)
        drive._files_create = create  # type: ignore[method-assign]
        reply = create(request)  # type: ignore[arg-type]
        assert first.id
        return reply

    drive._files_create = overtaken  # type: ignore[method-assign, assignment]
    store.create("run/a", Content.of(b"abc"))
    oldest = min(drive.named("run"), key=lambda file: file.created)
    assert len(drive.named("run")) == 2
    assert drive.named("a")[0].parent == oldest.id


def test_a_name_that_was_made_anew_elsewhere_is_found_anew(
    drive: DriveServer, store: DriveApiStore, other: DriveApiStore
) -> None:
    store.create("a", Content.of(b"abc"))
    other.delete("a")
    other.create("a", Content.of(b"defgh"))
    assert store.read("a", 5) == b"defgh"
    assert store.size("a") == 5
    other.delete("a")
    with pytest.raises(ObjectNotFound):
        store.read("a", 0)


def test_what_lies_in_the_trash_is_not_there(drive: DriveServer, store: DriveApiStore) -> None:
    store.create("objects/a", Content.of(b"abc"))
    drive.trash(drive.named("a")[0].id)
    with pytest.raises(ObjectNotFound):
        store.size("objects/a")
    assert store.list("objects").sizes == {}
    store.create("objects/a", Content.of(b"again"))
    assert store.size("objects/a") == 5


def test_checking_makes_the_folder_and_leaves_nothing_in_it(drive: DriveServer, store: DriveApiStore) -> None:
    store.check()
    assert [file.name for file in drive.files.values()] == ["My Drive", "team", "holdfast"]


def test_a_missing_package_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DriveRest, "installed", staticmethod(lambda: False))
    with pytest.raises(StoreUnusable, match="pip install google-api-python-client"):
        open_store("drive-api:runs")
    assert not DriveRest.available()


def test_paths_are_looked_up_for_the_mounted_drive(drive: DriveServer, store: DriveApiStore) -> None:
    rest = DriveRest()
    assert rest.available()
    assert rest.folder_id("team/holdfast") is None
    assert rest.lookup("team/holdfast/a") is None
    store.create("a", Content.of(b"abc"))
    folder = rest.folder_id("team/holdfast")
    assert folder == drive.named("holdfast")[0].id
    found = rest.lookup("team/holdfast/a")
    assert found is not None
    assert (found.size, found.md5) == (3, hashlib.md5(b"abc", usedforsecurity=False).hexdigest())
    assert rest.find(folder, "a") == [found]
    assert rest.about_quota() == Quota(15 << 30, (15 << 30) - 3)
    rest.delete(found.id)
    assert rest.lookup("team/holdfast/a") is None
    top = rest.folder_id("new/one", create=True)
    assert top == drive.named("one")[0].id
