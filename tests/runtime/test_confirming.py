"""What is written is not yet confirmed, where the store says so only later or never."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from helpers.faults import ConfirmsLater
from helpers.snapshots import contents, ensure_claimed, snapshot, stem
from holdfast.runtime.carrier import Carrier
from holdfast.runtime.confirming import CANNOT_TELL, LOOK_SECONDS, Confirmations
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.retention import Policy
from holdfast.runtime.service import Service
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.stores.base import Confirmation


@pytest.fixture
def store(tmp_path: Path) -> ConfirmsLater:
    return ConfirmsLater(tmp_path / "run")


def test_a_store_that_confirms_on_return_is_believed(tmp_path: Path) -> None:
    confirmations = Confirmations(FolderStore(tmp_path))
    confirmations.add(stem(1), ["objects/a", "manifests/a"], [])
    assert confirmations.confirmed == stem(1)
    assert not confirmations.pending


def test_a_checkpoint_is_confirmed_when_all_that_it_needs_is(store: ConfirmsLater) -> None:
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1", "manifests/1"], [])
    confirmations.add(stem(2), ["objects/2", "manifests/2"], ["objects/1"])
    store.safe |= {"objects/2", "manifests/2", "manifests/1"}
    assert not confirmations.look(0.0)
    assert not confirmations.confirmed
    store.safe.add("objects/1")
    assert confirmations.look(100.0)
    assert confirmations.confirmed == stem(2)
    assert not confirmations.pending


def test_an_older_checkpoint_may_be_confirmed_before_a_newer_one(store: ConfirmsLater) -> None:
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1", "manifests/1"], [])
    confirmations.add(stem(2), ["objects/2", "manifests/2"], ["objects/1"])
    store.safe |= {"objects/1", "manifests/1"}
    assert confirmations.look(0.0)
    assert (confirmations.confirmed, confirmations.pending) == (stem(1), True)
    assert confirmations.reason == ""


def test_a_store_that_cannot_tell_is_said_to_be_one_and_never_confirms(store: ConfirmsLater) -> None:
    store.answer = "unknown"
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1", "manifests/1"], [])
    assert not confirmations.look(0.0)
    assert confirmations.reason == CANNOT_TELL
    assert confirmations.confirmed is None
    store.safe |= {"objects/1", "manifests/1"}  # credentials came, say
    assert confirmations.look(100.0)
    assert confirmations.reason == ""


def test_it_is_asked_less_and_less_often_while_nothing_comes(store: ConfirmsLater) -> None:
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1"], [])
    asked_at = []
    for now in range(200):
        before = store.asked
        confirmations.look(float(now))
        if store.asked > before:
            asked_at.append(now)
    gaps = [later - earlier for earlier, later in zip(asked_at, asked_at[1:], strict=False)]
    assert gaps[-1] == max(gaps) == LOOK_SECONDS[-1]
    assert gaps == sorted(gaps)


def test_a_checkpoint_that_was_deleted_is_waited_for_no_more(store: ConfirmsLater) -> None:
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1"], [])
    confirmations.forget([stem(1)])
    assert not confirmations.pending
    confirmations.look(100.0)
    assert store.asked == 0


def test_a_failing_store_confirms_nothing(store: ConfirmsLater) -> None:
    store.failing = True
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1"], [])
    assert not confirmations.look(0.0)
    assert confirmations.confirmed is None


def service(session: str = "aaaaaaaa") -> Service:
    return Service(
        session=session,
        incarnation=1,
        kernel=ProcessId.own(),
        ended=False,
        run="run",
        store="file:///x",
        persist_seconds=0.0,
        policy=Policy(),
        rejected=frozenset(),
    )


def test_the_status_says_written_before_it_says_confirmed(store: ConfirmsLater, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    ensure_claimed(store)
    spool.write("run", stem(1), snapshot(contents(1)))
    carrier = Carrier(spool, store, DaemonStatus(), "aaaaaaaa")
    carrier.learn()
    carrier.carry(service(), draining=True, wake=threading.Event())
    status = DaemonStatus.load(spool.folder)
    assert (status.written, status.confirmed) == (str(stem(1)), "")
    assert carrier.left_to_do()
    store.answer = "confirmed"
    carrier._confirmations._next_look = 0.0
    carrier.carry(service(), draining=True, wake=threading.Event())
    status = DaemonStatus.load(spool.folder)
    assert status.confirmed == str(stem(1))
    assert not carrier.left_to_do()


def test_a_later_daemon_asks_again_about_what_an_earlier_one_wrote(
    store: ConfirmsLater, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    ensure_claimed(store)
    spool.write("run", stem(1), snapshot(contents(1)))
    answers: list[tuple[Confirmation, str]] = [("pending", ""), ("confirmed", str(stem(1)))]
    for answer, confirmed in answers:
        store.answer = answer
        status = DaemonStatus()
        carrier = Carrier(spool, store, status, "aaaaaaaa")
        carrier.learn()
        carrier.carry(service(), draining=True, wake=threading.Event())
        assert (status.written, status.confirmed) == (str(stem(1)), confirmed)
