"""The daemon as a real process: it uploads, outlives its kernel, drains, ends, and stays small."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from helpers.faults import flip_bit
from helpers.processes import Kernel, Machine, daemon_process, environment, eventually, machine
from helpers.snapshots import contents, ensure_claimed, objects_of, snapshot, stem, stored
from holdfast.runtime.files import replace_atomically
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.names import parse_stem
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import FolderStore

MAX_RESIDENT_BYTES = 60_000_000
BLOCKED = ("tensorflow", "keras", "IPython", "numpy", "google")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as made:
        yield made


def serve(spool: Path, extra: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a daemon to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "holdfast.runtime.daemon", str(spool)],
        env=environment(extra),
        capture_output=True,
        text=True,
        check=False,
    )


def submitted(kernel: Kernel, seed: int, **order: object) -> str:
    """Has a kernel submit a snapshot and returns its name."""
    done = kernel.tell("submit", seed=seed, **order)
    assert done["submitted"]
    return str(done["stem"])


def a_spool_whose_kernel_is_gone(folder: Path, **changes: object) -> Spool:
    """A spool with one snapshot, left by a session that ended."""
    spool = Spool(folder / "spool")
    spool.make_folders()
    spool.write("run", stem(1), snapshot(contents(1)))
    session = {
        "session": "aaaaaaaa",
        "incarnation": 1,
        "pid": 1,
        "started": 1.0,
        "ended": True,
        "run": "run",
        "store": (folder / "store").as_uri(),
        "persist_seconds": 86_400.0,
        "keep": {"last": 3, "hourly": 0, "daily": 0, "max_bytes": 0},
        "rejected": [],
    }
    ensure_claimed(FolderStore(folder / "store" / "run"))
    replace_atomically(spool.folder / "session.json", to_json(session | changes))
    return spool


def test_what_a_session_submits_is_uploaded(here: Machine) -> None:
    kernel = here.open()
    name = submitted(kernel, 1)
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    assert stored(here.store, parse_stem(name)) == contents(1)
    status = DaemonStatus.load(kernel.spool)
    assert (status.written, status.confirmed, status.error) == (name, name, "")
    assert status.bytes_written == sum(objects_of(here.store).values())


def test_a_scheduled_snapshot_waits_and_an_interrupted_one_does_not(here: Machine) -> None:
    kernel = here.open()
    submitted(kernel, 1)
    name = submitted(kernel, 2, kind="interrupted")
    eventually(lambda: DaemonStatus.load(kernel.spool).written, "the interrupted one")
    assert here.shelf.stems() == [parse_stem(name)]


def test_snapshots_are_persisted_at_the_schedules_pace(here: Machine) -> None:
    kernel = here.open(persist_seconds=0.05)
    names = []
    for seed in (1, 2, 3):
        names.append(submitted(kernel, seed))
        eventually(lambda: DaemonStatus.load(kernel.spool).written == names[-1], "each of them")
    assert stored(here.store, parse_stem(names[-1])) == contents(3)


def test_a_second_daemon_ends_at_once_and_leaves_the_first_alone(here: Machine) -> None:
    kernel = here.open()
    eventually(lambda: DaemonStatus.load(kernel.spool).session, "the first daemon at work")
    first = daemon_process(kernel.spool)
    done = serve(kernel.spool)
    assert done.returncode == 0
    assert first.is_alive()
    assert daemon_process(kernel.spool) == first


def test_a_killed_kernel_leaves_a_daemon_that_drains_the_spool_and_ends(here: Machine) -> None:
    kernel = here.open()
    eventually(lambda: DaemonStatus.load(kernel.spool).session, "the daemon at work")
    names = [submitted(kernel, seed) for seed in (1, 2, 3)]
    daemon = daemon_process(kernel.spool)
    assert here.shelf.stems() == []
    kernel.kill()
    eventually(lambda: not daemon.is_alive(), "the daemon's end")
    assert stored(here.store, parse_stem(names[-1])) == contents(3)


def test_a_kernel_killed_with_its_whole_process_group_leaves_the_daemon_alive(here: Machine) -> None:
    kernel = here.open()
    eventually(lambda: DaemonStatus.load(kernel.spool).session, "the daemon at work")
    daemon = DaemonStatus.load(kernel.spool).pid
    theirs = kernel.pid
    assert os.getpgid(daemon) != os.getpgid(theirs)
    assert os.getsid(daemon) != os.getsid(theirs)


def test_the_daemon_is_no_child_of_its_kernel(here: Machine) -> None:
    kernel = here.open()
    eventually(lambda: DaemonStatus.load(kernel.spool).session, "the daemon at work")
    assert psutil.Process(kernel.pid).children(recursive=True) == []


def test_a_closed_session_leaves_a_daemon_that_drains_the_spool_and_ends(here: Machine) -> None:
    kernel = here.open()
    name = submitted(kernel, 1)
    kernel.tell("close")
    eventually(lambda: here.shelf.stems() == [parse_stem(name)], "the last snapshot in the store")
    eventually(lambda: not here.daemons(), "the daemon's end")


def test_a_killed_daemon_is_started_again_said_and_nothing_is_lost(here: Machine) -> None:
    kernel = here.open()
    eventually(lambda: DaemonStatus.load(kernel.spool).session, "the daemon at work")
    name = submitted(kernel, 1)
    first = daemon_process(kernel.spool)
    psutil.Process(first.pid).kill()
    eventually(lambda: "started again; nothing is lost" in kernel.said, "the line that says so")
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    assert daemon_process(kernel.spool) != first
    assert stored(here.store, parse_stem(name)) == contents(1)
    assert kernel.said.count("started again") == 1


def test_what_was_confirmed_before_the_daemon_was_killed_is_confirmed_after_it(here: Machine) -> None:
    kernel = here.open()
    name = submitted(kernel, 1)
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    first = daemon_process(kernel.spool)
    psutil.Process(first.pid).kill()
    eventually(
        lambda: daemon_process(kernel.spool) != first and DaemonStatus.load(kernel.spool).session, "another"
    )
    assert kernel.tell("wait", timeout=10) == {"confirmed": True}
    assert DaemonStatus.load(kernel.spool).written == name


def test_a_daemon_drains_what_a_dead_kernel_left_without_ever_having_met_it(tmp_path: Path) -> None:
    spool = a_spool_whose_kernel_is_gone(tmp_path)
    assert serve(spool.folder).returncode == 0
    assert (tmp_path / "store" / "run" / stem(1).manifest_path).exists()


def test_it_never_imports_what_is_slow_or_not_there(tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {BLOCKED!r}:\n"
        "            raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n",
        encoding="utf-8",
    )
    spool = a_spool_whose_kernel_is_gone(tmp_path)
    extra = {"PYTHONPATH": str(blocker)}
    for name in BLOCKED:
        probe = subprocess.run(
            [sys.executable, "-P", "-c", f"import {name}"],
            env=environment(extra),
            capture_output=True,
            check=False,
        )
        assert b"blocked" in probe.stderr
    done = serve(spool.folder, extra)
    assert (done.returncode, "blocked" in done.stderr) == (0, False)
    assert (tmp_path / "store" / "run" / stem(1).manifest_path).exists()


def test_it_takes_no_more_memory_than_a_small_process_after_a_large_upload(here: Machine) -> None:
    kernel = here.open()
    submitted(kernel, 1, count=10, nbytes=20_000_000)
    assert kernel.tell("wait", timeout=120) == {"confirmed": True}
    memory = psutil.Process(DaemonStatus.load(kernel.spool).pid).memory_full_info()
    # The set that is this process's alone and what it has resident, pages of shared libraries included.
    assert sum(objects_of(here.store).values()) > 200_000_000
    assert memory.uss <= MAX_RESIDENT_BYTES
    assert memory.rss <= MAX_RESIDENT_BYTES


def test_a_snapshot_that_was_damaged_in_the_spool_stays_out_of_the_store_and_is_told(tmp_path: Path) -> None:
    spool = a_spool_whose_kernel_is_gone(tmp_path)
    flip_bit(spool.objects / stem(1).object_name())
    done = serve(spool.folder)
    assert done.returncode == 0
    assert str(stem(1)) in done.stderr or "tensor-2" in done.stderr
    assert not (tmp_path / "store" / "run" / "manifests").exists()
    assert "tensor-2" in DaemonStatus.load(spool.folder).error


def test_a_damaged_snapshot_does_not_keep_the_one_before_from_the_store(tmp_path: Path) -> None:
    spool = a_spool_whose_kernel_is_gone(tmp_path)
    spool.write("run", stem(2), snapshot(contents(2)))
    flip_bit(spool.objects / stem(2).object_name())
    assert serve(spool.folder).returncode == 0
    assert (tmp_path / "store" / "run" / stem(1).manifest_path).exists()


def test_a_daemon_that_ends_with_the_session_before_is_followed_by_another_without_a_word(
    here: Machine,
) -> None:
    first = here.open()
    eventually(lambda: DaemonStatus.load(first.spool).session, "the daemon at work")
    daemon = psutil.Process(daemon_process(first.spool).pid)
    daemon.suspend()  # as one that is about to end, and has not yet
    first.tell("close")
    first.ended()
    second = here.open()
    daemon.kill()
    eventually(lambda: DaemonStatus.load(second.spool).pid != daemon.pid, "the new daemon")
    assert "started again" not in second.said
