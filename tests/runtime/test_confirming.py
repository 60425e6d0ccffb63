"""What is written is not yet confirmed, where the store says so only later or never."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.faults import ConfirmsLater
from helpers.snapshots import contents, ensure_claimed, snapshot, stem
from holdfast.runtime.carrier import Carrier
from holdfast.runtime.confirming import CANNOT_TELL, LOOK_SECONDS, Confirmations
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.manifest import Manifest, Patch, TensorRecord
from holdfast.runtime.names import Stem, object_path
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.restore import read_manifest
from holdfast.runtime.retention import Policy
from holdfast.runtime.service import Service
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.stores.base import Confirmation
from holdfast.runtime.upload import Written


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
    assert confirmations.pending
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
    confirmations.forget([stem(1)], ["objects/1"])
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


def test_what_is_not_to_be_seen_is_not_confirmed(store: ConfirmsLater) -> None:
    store.missing = True
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1"], [])
    assert not confirmations.look(0.0)
    assert confirmations.pending


def test_nothing_is_built_upon_a_checkpoint_that_a_restore_found_damaged(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "run")
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    ensure_claimed(store)
    carrier = Carrier(spool, store, DaemonStatus(), "aaaaaaaa")
    for sequence, rejected in ((1, frozenset[Stem]()), (2, frozenset({stem(1)}))):
        spool.write("run", stem(sequence), snapshot(contents(1)))
        carrier.carry(replace(service(), rejected=rejected), draining=True, wake=threading.Event())
    manifest = read_manifest(Shelf("store", store), stem(2))
    assert {record.object for record in manifest.tensors} == {stem(2).object_name()}


def test_a_patch_that_is_pending_keeps_the_checkpoint_that_needs_it_pending(
    store: ConfirmsLater, tmp_path: Path
) -> None:
    patch = Patch(stem(1).object_name(), 0, 8, 1, 1, 4)
    record = TensorRecord(TensorSpec("t", "U8", (64,)), stem(2).object_name(), 0, "0" * 32, (patch,))
    made = Manifest("run", stem(3), 1.0, "scheduled", ("slot",), (record,), {}, {})
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    carrier = Carrier(spool, store, DaemonStatus(), "aaaaaaaa")
    store.safe |= {stem(3).manifest_path, object_path(stem(2).object_name())}
    carrier._confirmations._names.add(object_path(stem(1).object_name()))
    carrier._confirm(stem(3), (stem(3).manifest_path,), Written(made, ()))
    assert carrier.status.confirmed == ""


def test_a_name_that_is_pending_is_not_forgotten_over_a_newer_checkpoint_that_does_not_need_it(
    store: ConfirmsLater,
) -> None:
    confirmations = Confirmations(store)
    confirmations.add(stem(1), ["objects/1", "manifests/1"], [])
    confirmations.add(stem(2), ["objects/2", "manifests/2"], [])
    store.safe |= {"objects/2", "manifests/2"}
    assert confirmations.look(0.0)
    store.safe.add("manifests/3")
    confirmations.add(stem(3), ["manifests/3"], ["objects/1"])
    assert not confirmations.look(100.0)
    assert confirmations.confirmed == stem(2)


def test_an_older_checkpoint_that_comes_later_takes_nothing_back(tmp_path: Path, store: ConfirmsLater) -> None:
    for here in (FolderStore(tmp_path), store):
        store.answer = "confirmed"
        confirmations = Confirmations(here)
        confirmations.add(stem(2), ["objects/2"], [])
        confirmations.look(0.0)
        confirmations.add(stem(1), ["objects/1"], [])
        confirmations.look(100.0)
        assert confirmations.confirmed == stem(2)


def test_a_snapshot_whose_object_is_gone_is_given_up_and_said(store: ConfirmsLater, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    ensure_claimed(store)
    spool.write("run", stem(1), snapshot(contents(1)))
    (spool.objects / stem(1).object_name()).unlink()
    carrier = Carrier(spool, store, DaemonStatus(), "aaaaaaaa")
    carrier.carry(service(), draining=True, wake=threading.Event())  # and does not turn in circles
    assert carrier.status.unusable == str(stem(1))
    assert "damaged on the local disk" in carrier.damage
    assert not carrier.left_to_do()
