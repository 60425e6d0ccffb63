"""Sessions in real processes: what a start finds, and who may write."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.processes import Kernel, Machine, daemon_process, eventually, machine
from helpers.snapshots import contents, stored
from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.machine import machine_id
from holdfast.runtime.names import check_run_name, parse_stem


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as made:
        yield made


def submit(kernel: Kernel, seed: int, **order: object) -> str:
    done = kernel.tell("submit", seed=seed, **order)
    assert done["submitted"]
    return str(done["stem"])


def is_fenced(kernel: Kernel) -> bool:
    return bool(kernel.tell("state")["fenced"])


def owner(kernel: Kernel) -> str:
    """The session that the spool says it belongs to."""
    return str(json.loads((kernel.spool / "session.json").read_text(encoding="utf-8"))["session"])


def test_a_first_run_finds_nothing(here: Machine) -> None:
    kernel = here.open()
    assert kernel.found["situation"] == "first run"
    assert kernel.found["checkpoint"] is None
    assert kernel.found["incarnation"] == 1


def test_a_start_after_the_kernel_was_killed_finds_its_last_snapshot_in_the_spool(here: Machine) -> None:
    kernel = here.open()
    names = [submit(kernel, seed) for seed in (1, 2, 3)]
    kernel.kill()
    again = here.open()
    assert again.found["situation"] == "kernel restart"
    assert (again.found["checkpoint"], again.found["origin"]) == (names[-1], "spool")
    assert again.found["incarnation"] == 2


def test_a_start_after_a_session_that_ended_is_a_kernel_restart_though_its_process_lives(here: Machine) -> None:
    kernel = here.open()
    submit(kernel, 1)
    kernel.tell("close")
    assert here.open().found["situation"] == "kernel restart"


def test_a_second_session_of_one_process_is_a_rerun(here: Machine) -> None:
    kernel = here.open()
    name = submit(kernel, 1)
    found = kernel.tell("reopen")
    assert found["situation"] == "rerun"
    assert found["checkpoint"] == name


def test_a_lost_machine_is_a_runtime_reset_and_the_store_has_the_checkpoint(here: Machine) -> None:
    kernel = here.open()
    name = submit(kernel, 1)
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    kernel.kill()
    for daemon in here.daemons():
        daemon.kill()
    shutil.rmtree(here.base)
    again = here.open()
    assert again.found["situation"] == "runtime reset"
    assert (again.found["checkpoint"], again.found["origin"]) == (name, "store")


def test_a_start_beside_a_live_session_takes_over_and_the_older_one_stops_and_says_so(here: Machine) -> None:
    older = here.open()
    name = submit(older, 1)
    newer = here.open()
    assert newer.found["situation"] == "takeover"
    assert newer.found["checkpoint"] == name
    assert not older.tell("submit", seed=2)["submitted"]
    assert is_fenced(older)
    eventually(lambda: "writes no more" in older.said, "the line that says so")
    last = submit(newer, 3)
    assert newer.tell("wait", timeout=60) == {"confirmed": True}
    assert max(here.shelf.stems()) == parse_stem(last)
    assert all(stored(here.store, stem) for stem in here.shelf.stems())


def test_a_takeover_from_another_machine_is_noticed_and_nothing_more_is_written(here: Machine) -> None:
    older = here.open(persist_seconds=0.05)
    submit(older, 1)
    eventually(here.shelf.stems, "its first checkpoint")
    newer = here.open(base=here.folder / "elsewhere")
    assert newer.found["situation"] == "runtime reset"
    submit(older, 2)
    eventually(lambda: is_fenced(older), "the older one's notice")
    eventually(lambda: "writes no more" in older.said, "the line that says so")
    assert not older.tell("submit", seed=3)["submitted"]
    assert {stem.sequence for stem in here.shelf.stems()} == {1}
    last = submit(newer, 4, kind="requested")
    assert newer.tell("wait", timeout=60) == {"confirmed": True}
    assert stored(here.store, parse_stem(last)) == contents(4)


@pytest.mark.parametrize("act", ["close", "wait", "change settings"])
def test_an_older_session_leaves_the_newer_one_alone_whatever_it_is_told(here: Machine, act: str) -> None:
    older = here.open()
    submit(older, 1)
    newer = here.open()
    session = owner(newer)
    older.tell(act, timeout=0.2)
    assert owner(newer) == session
    assert newer.tell("submit", seed=2)["submitted"]
    assert not is_fenced(newer)


def test_a_session_goes_back_to_its_pace_after_it_waited(here: Machine) -> None:
    kernel = here.open()
    submit(kernel, 1)
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    session = json.loads((kernel.spool / "session.json").read_text(encoding="utf-8"))
    assert session["persist_seconds"] == 86_400.0


def test_a_session_that_took_the_run_back_does_not_build_on_what_another_deleted(here: Machine) -> None:
    first = here.open(persist_seconds=0.05)
    submit(first, 1)
    eventually(here.shelf.stems, "its checkpoint")
    between = here.open(base=here.folder / "elsewhere", keep_last=1)
    for seed in (2, 3):
        submit(between, seed, kind="requested")
        assert between.tell("wait", timeout=60) == {"confirmed": True}
    assert len(here.shelf.stems()) == 1
    between.kill()
    assert daemon_process(first.spool).is_alive()
    back = here.open()
    name = submit(back, 1, kind="requested")  # the very tensors of the first
    assert back.tell("wait", timeout=60) == {"confirmed": True}
    assert stored(here.store, parse_stem(name)) == contents(1)


def test_a_kernel_that_was_killed_while_it_first_named_the_machine_leaves_no_machine_without_a_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "machine").touch()
    assert machine_id(tmp_path).split("/")[1]
    assert machine_id(tmp_path) == machine_id(tmp_path)


def test_kernels_that_start_together_agree_on_the_machine(tmp_path: Path) -> None:
    start, names = threading.Barrier(8), set[str]()

    def name() -> None:
        start.wait()
        names.add(machine_id(tmp_path / "base"))

    threads = [threading.Thread(target=name) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 1


@pytest.mark.parametrize("name", ["run", "Run 1.2 (a+b)=@x_y-z", "ü", "0"])
def test_a_name_that_can_be_a_folder_can_name_a_run(name: str) -> None:
    assert check_run_name(name) == name


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "a\\b", "-x", "x ", "a\0", "a\n", "x" * 101, ".hidden"]
)
def test_a_name_that_cannot_be_a_folder_everywhere_is_refused(name: str) -> None:
    with pytest.raises(SettingsInvalid, match="cannot name a run"):
        check_run_name(name)


def test_a_forked_child_takes_no_part(here: Machine) -> None:
    kernel = here.open()
    assert kernel.tell("fork") == {"active in child": False, "active here": True}
    assert submit(kernel, 1)
