"""What is uploaded when, and what the status says of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from helpers.faults import RefusesManifests
from helpers.snapshots import contents, ensure_claimed, snapshot, stem
from holdfast.runtime.carrier import Carrier
from holdfast.runtime.daemon import Daemon
from holdfast.runtime.errors import StoreUnavailable
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.manifest import Manifest
from holdfast.runtime.names import Stem
from holdfast.runtime.retention import Policy
from holdfast.runtime.service import Service
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus


@pytest.fixture
def store(tmp_path: Path) -> RefusesManifests:
    made = RefusesManifests(tmp_path / "run")
    made.refusing = False
    ensure_claimed(made)
    return made


@pytest.fixture
def carrier(tmp_path: Path, store: RefusesManifests) -> Carrier:
    """One whose spool has a scheduled snapshot."""
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    spool.write("run", stem(1), snapshot(contents(1)))
    return Carrier(spool, store, DaemonStatus(), "aaaaaaaa")


def service(persist_seconds: float = 0.0) -> Service:
    return Service(
        session="aaaaaaaa",
        incarnation=1,
        kernel=ProcessId.own(),
        ended=False,
        run="run",
        store="file:///x",
        persist_seconds=persist_seconds,
        policy=Policy(),
        rejected=frozenset(),
    )


def carry(carrier: Carrier, persist_seconds: float = 0.0) -> None:
    carrier.carry(service(persist_seconds), draining=False, wake=threading.Event())


def test_an_upload_that_failed_is_none_whose_time_is_told(carrier: Carrier, store: RefusesManifests) -> None:
    store.refusing = True
    with pytest.raises(StoreUnavailable):
        carry(carrier)
    assert carrier.status.uploading_since > 0
    assert (carrier.status.uploaded_from, carrier.status.uploaded_to) == (0.0, 0.0)
    store.refusing = False
    carry(carrier)
    status = carrier.status
    assert status.uploading_since == status.uploaded_from <= status.uploaded_to
    assert DaemonStatus.load(carrier.spool.folder).uploaded_to == status.uploaded_to


HOUR = 3600.0


def test_an_upload_that_failed_is_due_still_and_its_error_stays_until_one_comes_through(
    carrier: Carrier, store: RefusesManifests
) -> None:
    daemon = Daemon(carrier.spool.folder)
    daemon._carrier, carrier.status = carrier, daemon.status
    carrier._last_persist -= HOUR
    store.refusing = True
    for failures in (1, 2):
        daemon._attempt(service(HOUR), draining=False)
        assert daemon._failures == failures
    for _ in range(2):  # not due any more, by a changed setting: for all that is known the store fails still
        daemon._attempt(service(10 * HOUR), draining=False)
        assert "on purpose" in DaemonStatus.load(carrier.spool.folder).error
    carrier.spool.write("run", stem(2), snapshot(contents(2)))
    store.refusing = False
    daemon._attempt(service(HOUR), draining=False)
    status = DaemonStatus.load(carrier.spool.folder)
    assert (status.written, status.error, daemon._failures) == (str(stem(2)), "", 0)
    carrier.spool.write("run", stem(3), snapshot(contents(3)))
    daemon._attempt(service(HOUR), draining=False)
    assert status.written == str(stem(2))  # the interval counts from the one that came through


def test_an_error_does_not_stay_where_there_is_nothing_to_upload(
    carrier: Carrier, store: RefusesManifests
) -> None:
    daemon = Daemon(carrier.spool.folder)
    daemon._carrier, carrier.status = carrier, daemon.status
    store.refusing = True
    daemon._attempt(service(), draining=False)
    assert daemon.status.error
    carrier.spool.discard(stem(1))
    daemon._attempt(service(), draining=False)
    assert daemon.status.error == ""


class RecyclesWhatIsRead(Spool):
    """The first snapshot whose manifest is read is superseded right after."""

    done = False

    def manifest(self, stem: Stem) -> Manifest:
        found = super().manifest(stem)
        if not self.done:
            self.done = True
            self.discard(stem)
        return found


def test_what_was_superseded_while_it_was_to_be_read_is_followed_at_once(
    carrier: Carrier, store: RefusesManifests
) -> None:
    spool = RecyclesWhatIsRead(carrier.spool.folder)
    carrier = Carrier(spool, store, DaemonStatus(), "aaaaaaaa")
    carrier._last_persist -= HOUR
    carry(carrier, HOUR)
    assert spool.done
    assert DaemonStatus.load(spool.folder).uploading == ""
    spool.write("run", stem(2), snapshot(contents(2)))
    carry(carrier, HOUR)
    assert carrier.status.written == str(stem(2))
