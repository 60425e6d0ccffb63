"""What is uploaded when, and what the status says of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from helpers.faults import RefusesManifests
from helpers.snapshots import contents, ensure_claimed, snapshot, stem
from holdfast.runtime.carrier import Carrier
from holdfast.runtime.errors import StoreUnavailable
from holdfast.runtime.machine import ProcessId
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


def carry(carrier: Carrier, *, persist_seconds: float = 0.0) -> None:
    service = Service(
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
    carrier.carry(service, draining=False, wake=threading.Event())


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
