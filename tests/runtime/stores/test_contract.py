"""What every store does, run over each of them."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from helpers.faults import tree
from helpers.store_makers import MAKERS, Made
from helpers.strategies import hostile_names
from holdfast.runtime.errors import (
    FormatInvalid,
    HoldfastError,
    ObjectExists,
    ObjectNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores import Content, FolderStore, Store
from holdfast.runtime.stores.base import Listing


@pytest.fixture(params=MAKERS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    with MAKERS[request.param](tmp_path) as made:
        made.store.check()
        yield made


@pytest.fixture
def store(made: Made) -> Store:
    return made.store


@pytest.fixture
def folder(made: Made) -> Path:
    if made.folder is None:
        pytest.skip("this store is no folder")
    return made.folder


def test_what_was_created_is_read_back_in_ranges(store: Store) -> None:
    store.create("objects/a", Content.of(b"abc", memoryview(b"defg"), b""))
    assert store.read("objects/a", 7) == b"abcdefg"
    buffer = bytearray(3)
    store.read_into("objects/a", 2, memoryview(buffer))
    assert buffer == b"cde"


def test_an_empty_object_is_an_object(store: Store) -> None:
    store.create("objects/empty", Content.of())
    assert store.read("objects/empty", 0) == b""
    assert store.sizes("objects") == {"empty": 0}


def test_nothing_is_overwritten(store: Store) -> None:
    store.create("a", Content.of(b"first"))
    with pytest.raises(ObjectExists):
        store.create("a", Content.of(b"second"))
    assert store.read("a", 5) == b"first"


def test_a_create_that_breaks_off_leaves_nothing(made: Made) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.store.create("objects/a", Content(9, breaks_off))
    assert made.store.sizes("objects") == made.other.sizes("objects") == {}
    if made.folder is not None:
        assert tree(made.folder) == {}
    made.store.create("objects/a", Content.of(b"whole"))
    assert made.other.read("objects/a", 5) == b"whole"


def test_what_the_content_raises_passes_through(made: Made) -> None:
    def fails() -> Iterator[bytes]:
        yield b"half"
        raise FileNotFoundError(errno.ENOENT, "the spool's file is gone")

    with pytest.raises(FileNotFoundError, match="the spool's"):
        made.store.create("objects/a", Content(9, fails))
    assert made.other.sizes("objects") == {}


def test_what_is_half_written_is_never_taken_for_whole(made: Made) -> None:
    def looks() -> Iterator[bytes]:
        yield b"half"
        assert made.other.sizes("objects").get("a") != 9
        with pytest.raises((ObjectNotFound, FormatInvalid)):
            made.other.read("objects/a", 9)
        yield b"whole"

    made.store.create("objects/a", Content(9, looks))
    assert made.store.sizes("objects") == {"a": 9}


def test_a_buffer_that_is_used_again_for_the_next_chunk(made: Made) -> None:
    def reuses() -> Iterator[memoryview]:
        buffer = memoryview(bytearray(1 << 20))
        for number in range(20):
            buffer[:] = bytes([number]) * len(buffer)
            yield buffer

    made.store.create("objects/a", Content(20 << 20, reuses))
    assert made.other.size("objects/a") == 20 << 20
    for number in range(20):
        assert made.other.read("objects/a", 3, (number << 20) + 7) == bytes([number]) * 3


def test_several_threads_write_and_read_at_once(made: Made) -> None:
    def work(number: int) -> bytes:
        data = bytes([number]) * 100_000
        made.store.create(f"objects/folder/{number}", Content.of(data))
        return made.other.read(f"objects/folder/{number}", 100_000)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(16)))
    assert found == [bytes([number]) * 100_000 for number in range(16)]
    assert made.store.sizes("objects/folder") == {str(number): 100_000 for number in range(16)}


def test_what_was_created_is_confirmed_if_the_store_says_so_at_once(made: Made) -> None:
    made.store.create("objects/a", Content.of(b"abc"))
    if made.store.capabilities.confirmed_on_return:
        assert made.store.confirm("objects/a", Content.of(b"abc")) == "confirmed"


def test_it_holds_what_was_created_and_nothing_else(made: Made) -> None:
    made.store.create("objects/a", Content.of(b"abc"))
    assert made.other.holds("objects/a", Content.of(b"a", b"bc"))
    assert not made.other.holds("objects/a", Content.of(b"abd"))
    assert not made.other.holds("objects/a", Content.of(b"abcd"))
    assert not made.other.holds("objects/b", Content.of(b"abc"))


def test_the_size_of_an_object(made: Made) -> None:
    made.store.create("objects/deep/a", Content.of(b"abc"))
    assert made.other.size("objects/deep/a") == 3
    for name in ("objects/deep", "objects/none", "none"):
        with pytest.raises(ObjectNotFound):
            made.store.size(name)


def test_room_is_told_in_bytes_or_not_at_all(store: Store) -> None:
    quota = store.quota()
    assert quota is None or (quota.free >= 0 and (quota.total is None or quota.total >= quota.free))


def test_of_many_that_create_one_name_exactly_one_succeeds(made: Made) -> None:
    start, won = threading.Barrier(8), []

    def contend(number: int) -> None:
        start.wait()
        try:
            (made.store, made.other)[number % 2].create("claims/one", Content.of(bytes([number]) * 1000))
            won.append(number)
        except ObjectExists:
            pass

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if made.store.capabilities.atomic_create:
        assert len(won) == 1
    assert made.other.read("claims/one", 1000) in {bytes([number]) * 1000 for number in won}


def test_what_is_missing_is_said_to_be_missing(store: Store) -> None:
    with pytest.raises(ObjectNotFound):
        store.read("objects/none", 1)
    with pytest.raises(ObjectNotFound):
        store.read("none", 0)


def test_reading_past_the_end_is_a_format_error(store: Store) -> None:
    store.create("a", Content.of(b"abc"))
    for offset, count in ((0, 4), (3, 1), (100, 1), (2**40, 1)):
        with pytest.raises(FormatInvalid):
            store.read_into("a", offset, memoryview(bytearray(count)))


def test_sizes_lists_the_objects_directly_in_a_folder(store: Store) -> None:
    store.create("objects/a", Content.of(b"abc"))
    store.create("objects/b", Content.of(b""))
    store.create("objects/deeper/c", Content.of(b"x"))
    store.create("manifests/d", Content.of(b"x"))
    assert store.list("objects") == Listing({"a": 3, "b": 0}, frozenset({"deeper"}))
    assert store.list("none") == Listing()


def test_the_store_itself_is_listed_by_an_empty_name(made: Made) -> None:
    made.store.create("a", Content.of(b"abc"))
    made.store.create("run one/objects/b", Content.of(b"x"))
    assert made.other.list("") == Listing({"a": 3}, frozenset({"run one"}))
    assert made.other.under("run one").list("") == Listing({}, frozenset({"objects"}))


def test_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    store.create("a", Content.of(b"abc"))
    store.delete("a")
    store.delete("a")
    store.delete("none/at/all")
    assert store.sizes("objects") == {}
    with pytest.raises(ObjectNotFound):
        store.read("a", 1)


def test_a_store_under_a_prefix_is_a_store_of_its_own(store: Store) -> None:
    run = store.under("run one")
    run.create("objects/a", Content.of(b"abc"))
    assert store.read("run one/objects/a", 3) == b"abc"
    assert store.sizes("objects") == {}
    assert run.url == f"{store.url}/run%20one"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../../x", "/etc/hostname", "a//b", "a/", "nul\0", "a/./b"]
)
def test_a_name_that_leads_elsewhere_is_refused_by_every_operation(store: Store, name: str) -> None:
    with pytest.raises(FormatInvalid):
        store.create(name, Content.of(b"x"))
    with pytest.raises(FormatInvalid):
        store.read(name, 1)
    with pytest.raises(FormatInvalid):
        store.size(name)
    if name:
        with pytest.raises(FormatInvalid):
            store.list(name)
    with pytest.raises(FormatInvalid):
        store.delete(name)
    with pytest.raises(FormatInvalid):
        store.under(name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=hostile_names)
def test_any_name_gives_only_our_errors_and_stays_inside(made: Made, name: str) -> None:
    store, folder = made.store, made.folder
    if folder is not None:
        (folder.parent / "x").write_bytes(b"outside")
    for act in (
        lambda: store.create(name, Content.of(b"x")),
        lambda: store.read(name, 1),
        lambda: store.sizes(name),
        lambda: store.delete(name),
        lambda: store.under(name).sizes("objects"),
    ):
        try:
            act()
        except HoldfastError:
            continue
    if folder is None:
        return
    outside = {path: data for path, data in tree(folder.parent).items() if not path.startswith("store/")}
    assert outside == {"x": b"outside"}


def test_a_name_that_no_file_can_have_is_our_error(store: Store) -> None:
    for name in ("x" * 2000, "\ud800"):
        with pytest.raises(HoldfastError):
            store.create(name, Content.of(b"x"))
        with pytest.raises(HoldfastError):
            store.read(name, 1)


def test_a_link_in_the_store_does_not_list_what_it_points_to(store: Store, folder: Path) -> None:
    store.create("objects/a", Content.of(b"abc"))
    (folder.parent / "secret").write_bytes(b"outside")
    (folder / "objects" / "link").symlink_to(folder.parent / "secret")
    assert store.sizes("objects") == {"a": 3}


def test_a_folder_in_the_place_of_an_object_is_our_error(store: Store, folder: Path) -> None:
    (folder / "objects" / "a").mkdir(parents=True)
    (folder / "file").write_bytes(b"x")
    with pytest.raises(HoldfastError):
        store.read("objects/a", 1)
    with pytest.raises(StoreUnavailable):
        store.delete("objects/a")
    with pytest.raises(StoreUnavailable):
        store.create("file/a", Content.of(b"x"))
    with pytest.raises(StoreUnavailable):
        store.list("file")


def test_a_folder_that_cannot_be_written_says_so_with_its_url(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/holdfast")):
        with pytest.raises(StoreUnusable, match=str(path)):
            FolderStore(path).check()


def test_checking_a_store_leaves_nothing(made: Made) -> None:
    made.store.check()
    assert made.other.list("objects") == Listing()
    if made.folder is not None:
        assert tree(made.folder) == {}
