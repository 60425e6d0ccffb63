"""What every store does, run over each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from helpers.faults import tree
from helpers.strategies import hostile_names
from holdfast.runtime.errors import (
    FormatInvalid,
    HoldfastError,
    ObjectExists,
    ObjectNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore, Store

MAKERS: list[Callable[[Path], Store]] = [FolderStore, Spool]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "top" / "store"


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def store(request: pytest.FixtureRequest, folder: Path) -> Store:
    maker: Callable[[Path], Store] = request.param
    made = maker(folder)
    made.check()
    return made


def test_what_was_created_is_read_back_in_ranges(store: Store) -> None:
    store.create("objects/a", [b"abc", memoryview(b"defg"), b""])
    assert store.read("objects/a", 7) == b"abcdefg"
    buffer = bytearray(3)
    store.read_into("objects/a", 2, memoryview(buffer))
    assert buffer == b"cde"


def test_an_empty_object_is_an_object(store: Store) -> None:
    store.create("objects/empty", [])
    assert store.read("objects/empty", 0) == b""
    assert store.sizes("objects") == {"empty": 0}


def test_nothing_is_overwritten(store: Store) -> None:
    store.create("a", [b"first"])
    with pytest.raises(ObjectExists):
        store.create("a", [b"second"])
    assert store.read("a", 5) == b"first"


def test_a_create_that_breaks_off_leaves_nothing(store: Store, folder: Path) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.create("objects/a", breaks_off())
    assert store.sizes("objects") == {}
    assert tree(folder) == {}


def test_an_object_is_not_there_before_it_is_whole(store: Store) -> None:
    def looks() -> Iterator[bytes]:
        yield b"half"
        assert store.sizes("objects") == {}
        with pytest.raises(ObjectNotFound):
            store.read("objects/a", 1)
        yield b"whole"

    store.create("objects/a", looks())
    assert store.sizes("objects") == {"a": 9}


def test_of_many_that_create_one_name_exactly_one_succeeds(store: Store) -> None:
    start, won = threading.Barrier(8), []

    def contend(number: int) -> None:
        start.wait()
        try:
            store.create("claims/one", [bytes([number])] * 1000)
            won.append(number)
        except ObjectExists:
            pass

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("claims/one", 1000) == bytes(won) * 1000


def test_what_is_missing_is_said_to_be_missing(store: Store) -> None:
    with pytest.raises(ObjectNotFound):
        store.read("objects/none", 1)
    with pytest.raises(ObjectNotFound):
        store.read("none", 0)


def test_reading_past_the_end_is_a_format_error(store: Store) -> None:
    store.create("a", [b"abc"])
    for offset, count in ((0, 4), (3, 1), (100, 1), (2**40, 1)):
        with pytest.raises(FormatInvalid):
            store.read_into("a", offset, memoryview(bytearray(count)))


def test_sizes_lists_the_objects_directly_in_a_folder(store: Store) -> None:
    store.create("objects/a", [b"abc"])
    store.create("objects/b", [b""])
    store.create("objects/deeper/c", [b"x"])
    store.create("manifests/d", [b"x"])
    assert store.sizes("objects") == {"a": 3, "b": 0}
    assert store.sizes("none") == {}


def test_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    store.create("a", [b"abc"])
    store.delete("a")
    store.delete("a")
    store.delete("none/at/all")
    assert store.sizes("objects") == {}
    with pytest.raises(ObjectNotFound):
        store.read("a", 1)


def test_a_store_under_a_prefix_is_a_store_of_its_own(store: Store) -> None:
    run = store.under("run one")
    run.create("objects/a", [b"abc"])
    assert store.read("run one/objects/a", 3) == b"abc"
    assert store.sizes("objects") == {}
    assert run.url == f"{store.url}/run%20one"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../../x", "/etc/hostname", "a//b", "a/", "nul\0", "a/./b"]
)
def test_a_name_that_leads_elsewhere_is_refused_by_every_operation(store: Store, name: str) -> None:
    with pytest.raises(FormatInvalid):
        store.create(name, [b"x"])
    with pytest.raises(FormatInvalid):
        store.read(name, 1)
    with pytest.raises(FormatInvalid):
        store.sizes(name)
    with pytest.raises(FormatInvalid):
        store.delete(name)
    with pytest.raises(FormatInvalid):
        store.under(name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=hostile_names)
def test_any_name_gives_only_our_errors_and_stays_inside(store: Store, folder: Path, name: str) -> None:
    (folder.parent / "x").write_bytes(b"outside")
    for act in (
        lambda: store.create(name, [b"x"]),
        lambda: store.read(name, 1),
        lambda: store.sizes(name),
        lambda: store.delete(name),
        lambda: store.under(name).sizes("objects"),
    ):
        try:
            act()
        except HoldfastError:
            continue
    outside = {path: data for path, data in tree(folder.parent).items() if not path.startswith("store/")}
    assert outside == {"x": b"outside"}


def test_a_name_that_no_file_can_have_is_our_error(store: Store) -> None:
    for name in ("x" * 300, "\ud800"):
        with pytest.raises(HoldfastError):
            store.create(name, [b"x"])
        with pytest.raises(HoldfastError):
            store.read(name, 1)


def test_a_link_in_the_store_does_not_list_what_it_points_to(store: Store, folder: Path) -> None:
    store.create("objects/a", [b"abc"])
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
        store.create("file/a", [b"x"])
    with pytest.raises(StoreUnavailable):
        store.sizes("file")


def test_a_store_that_cannot_be_written_says_so_with_its_url(store: Store, folder: Path) -> None:
    (folder / "file").write_bytes(b"x")
    for path in (folder / "file", folder / "file" / "below", Path("/proc/holdfast")):
        with pytest.raises(StoreUnusable, match=str(path)):
            type(store)(path).check()  # type: ignore[call-arg]


def test_checking_a_store_leaves_nothing(store: Store, folder: Path) -> None:
    store.check()
    assert tree(folder) == {}
