"""The retry wrapper: what may pass is tried again, what will not is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.faults import FailsFor, SaysFailedButDidIt
from holdfast.runtime.errors import (
    ObjectExists,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
)
from holdfast.runtime.stores import Content, FolderStore
from holdfast.runtime.stores.base import Store
from holdfast.runtime.stores.retrying import LONGEST_SECONDS, Retrying


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time."""
    found: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", found.append)
    return found


def every_operation(store: Store) -> None:
    store.check()
    store.create("objects/a", Content.of(b"abc"))
    assert store.read("objects/a", 3) == b"abc"
    assert store.size("objects/a") == 3
    assert store.list("objects").sizes == {"a": 3}
    assert store.leftovers("objects") == {}
    assert store.confirm("objects/a") == "confirmed"
    assert store.holds("objects/a", Content.of(b"abc"))
    assert store.quota() is not None
    store.delete("objects/a")


def test_every_operation_is_tried_until_it_succeeds(tmp_path: Path, waits: list[float]) -> None:
    told: list[str] = []
    flaky = FailsFor(tmp_path, tries=3)
    every_operation(Retrying(flaky, 1e9, lambda error: told.append(str(error))))
    assert len(waits) == len(told) >= 3 * 10
    assert all("on purpose" in line for line in told)


def test_waits_grow_are_drawn_at_random_and_are_bounded(tmp_path: Path, waits: list[float]) -> None:
    Retrying(FailsFor(tmp_path, tries=40), 1e9).check()
    assert len(set(waits)) > 20
    assert max(waits[:2]) <= 1.0
    assert max(waits) > 5.0
    assert all(0 <= wait <= LONGEST_SECONDS for wait in waits)


def test_after_the_deadline_the_last_failure_is_raised(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(StoreUnavailable, match="on purpose"):
        Retrying(FailsFor(tmp_path, tries=10**9), 0.0).size("a")
    assert waits == []


@pytest.mark.parametrize("error", [StoreRefused, ObjectNotFound])
def test_what_is_permanent_is_raised_at_once(
    tmp_path: Path, waits: list[float], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Retrying(FailsFor(tmp_path, tries=10**9, error=error), 1e9).size("a")
    assert waits == []


def test_what_is_under_it_is_retried_too(tmp_path: Path, waits: list[float]) -> None:
    flaky = FailsFor(tmp_path, tries=2)
    Retrying(flaky, 1e9).under("run").create("objects/a", Content.of(b"abc"))
    assert (tmp_path / "run" / "objects" / "a").read_bytes() == b"abc"
    assert len(waits) == 2


def test_a_create_that_came_through_although_it_failed_is_no_error(tmp_path: Path, waits: list[float]) -> None:
    Retrying(SaysFailedButDidIt(tmp_path), 1e9).create("objects/a", Content.of(b"ab", b"c"))
    assert FolderStore(tmp_path).read("objects/a", 3) == b"abc"
    assert len(waits) == 1


def test_a_name_that_somebody_else_took_meanwhile_is_taken(tmp_path: Path, waits: list[float]) -> None:
    store = SaysFailedButDidIt(tmp_path, instead=b"xyz")
    with pytest.raises(ObjectExists):
        Retrying(store, 1e9).create("objects/a", Content.of(b"abc"))
    assert FolderStore(tmp_path).read("objects/a", 3) == b"xyz"
    assert len(waits) == 1


def test_a_first_create_of_a_name_that_is_taken_is_refused_even_with_the_same_bytes(tmp_path: Path) -> None:
    store = Retrying(FolderStore(tmp_path), 1e9)
    store.create("a", Content.of(b"abc"))
    with pytest.raises(ObjectExists):
        store.create("a", Content.of(b"abc"))
