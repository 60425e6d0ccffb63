"""Two live sessions on one run: the newer wins, whatever the clocks say and whoever was frozen meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from helpers.faults import unexpected
from helpers.processes import TESTS, Kernel, Machine, eventually, machine
from helpers.snapshots import contents, stored
from holdfast.runtime.names import Stem, parse_stem
from holdfast.runtime.restore import newest


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as made:
        yield made


def clock(hours: float) -> dict[str, str]:
    """The environment of a machine whose clock is so many hours ahead."""
    path = str(TESTS / "programs" / "shifted_clock")
    return {"PYTHONPATH": path, "HOLDFAST_TEST_CLOCK": str(3600 * hours)}


def persisted(kernel: Kernel, seed: int) -> Stem:
    """Has a session make a checkpoint and waits until it is in the store."""
    name = str(kernel.tell("submit", seed=seed, kind="requested")["stem"])
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    return parse_stem(name)


def newest_contents(here: Machine) -> tuple[Stem, dict[str, bytes]]:
    """What a restore would take."""
    found = newest([here.shelf], set(), unexpected)
    assert found is not None
    return found[0].stem, stored(here.store, found[0].stem)


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_the_newer_session_wins_also_where_its_clock_is_an_hour_off(here: Machine, hours: float) -> None:
    older = here.open(persist_seconds=0.05)
    persisted(older, 1)
    newer = here.open(base=here.folder / "elsewhere", persist_seconds=0.05, extra=clock(hours))
    assert newer.found["checkpoint"] is not None
    older.tell("submit", seed=2)
    eventually(lambda: older.tell("state")["fenced"], "the older one's notice")
    eventually(lambda: "writes no more" in older.said, "the line that says so")
    assert not older.tell("submit", seed=3)["submitted"]
    last = persisted(newer, 4)
    assert newest_contents(here) == (last, contents(4))
    newer.kill()
    again = here.open(base=here.folder / "third")
    assert again.found["checkpoint"] == str(last)


def frozen_processes(kernel: Kernel, here: Machine) -> list[psutil.Process]:
    """A session's kernel and daemon."""
    daemons = [one for one in here.daemons() if str(kernel.spool) == one.cmdline()[-1]]
    assert daemons
    return [psutil.Process(kernel.pid), *daemons]


def test_a_session_that_was_frozen_for_a_while_finds_itself_taken_over(here: Machine) -> None:
    older = here.open(persist_seconds=0.05)
    persisted(older, 1)
    frozen = frozen_processes(older, here)
    for process in frozen:
        process.suspend()
    newer = here.open(base=here.folder / "elsewhere", persist_seconds=0.05)
    last = persisted(newer, 2)
    for process in frozen:
        process.resume()
    older.tell("submit", seed=3)
    eventually(lambda: older.tell("state")["fenced"], "the older one's notice")
    eventually(lambda: "writes no more" in older.said, "the line that says so")
    assert newest_contents(here) == (last, contents(2))
    assert persisted(newer, 4) == newest_contents(here)[0]


STEPS = ["store.object.begin", "store.object.middle", "store.object.written", "store.manifest.begin"]


@pytest.mark.parametrize("step", [*STEPS, "store.retention"])
def test_a_daemon_frozen_in_the_midst_of_an_upload_does_no_harm_when_it_goes_on(
    here: Machine, step: str
) -> None:
    keep: dict[str, Any] = {"keep_last": 1, "keep_hourly": 0, "keep_daily": 0}
    extra = {"HOLDFAST_CRASH_SIGNAL": "SIGSTOP"}
    older = here.open(persist_seconds=0.05, crash_at=step, extra=extra, **keep)
    older.tell("submit", seed=1, kind="requested")
    eventually(lambda: any(one.status() == psutil.STATUS_STOPPED for one in here.daemons()), "the freeze")
    (daemon,) = [one for one in here.daemons() if one.status() == psutil.STATUS_STOPPED]
    newer = here.open(base=here.folder / "elsewhere", **keep)
    for seed in (2, 3):
        last = persisted(newer, seed)
    daemon.resume()
    eventually(lambda: older.tell("state")["fenced"], "the older one's notice")
    eventually(lambda: "writes no more" in older.said, "the line that says so")
    assert newest_contents(here) == (last, contents(3))
    last = persisted(newer, 4)
    assert newest_contents(here) == (last, contents(4))
    newer.kill()
    back = here.open(base=here.folder / "third")
    assert back.found["checkpoint"] == str(last)


def test_a_kernel_frozen_at_its_start_wins_only_if_it_claims_last(here: Machine) -> None:
    slow = here.start(crash_at="start.evidence", extra={"HOLDFAST_CRASH_SIGNAL": "SIGSTOP"})
    eventually(lambda: psutil.Process(slow.pid).status() == psutil.STATUS_STOPPED, "the freeze")
    other = here.open(base=here.folder / "elsewhere", persist_seconds=0.05)
    persisted(other, 1)
    os.kill(slow.pid, signal.SIGCONT)
    slow.opened()
    here.spools.add(slow.spool)
    assert slow.found["incarnation"] == other.found["incarnation"] + 1
    other.tell("submit", seed=2)
    eventually(lambda: other.tell("state")["fenced"], "the other one's notice")
    last = persisted(slow, 3)
    assert newest_contents(here) == (last, contents(3))
