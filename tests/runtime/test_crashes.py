"""SIGKILL at every step of the save path: the daemon's at its steps, the kernel's at its own."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.processes import Machine, eventually, machine
from helpers.snapshots import contents, read_back, stored
from holdfast.runtime.crashpoints import STEPS
from holdfast.runtime.names import parse_stem
from holdfast.runtime.restore import newest, open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool

PROJECT = Path(__file__).parents[2]
DAEMON_STEPS = [step for step in STEPS if step.startswith(("daemon.", "store."))]
SPOOL_STEPS = [step for step in STEPS if step.startswith("spool.")]
START_STEPS = [step for step in STEPS if step.startswith("start.")]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as made:
        yield made


def is_whole(here: Machine, name: str) -> bool:
    return parse_stem(name) in here.shelf.stems()


def test_every_step_is_on_some_path() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("runtime", "hooks")
        for path in (PROJECT / folder).rglob("*.py")
    )
    reached = set(re.findall(r'reach\(\s*"([a-z.]+)"', code)) | set(re.findall(r'Step = "([a-z.]+)"', code))
    assert reached == set(STEPS)


@pytest.mark.parametrize("step", DAEMON_STEPS)
def test_a_daemon_killed_at_this_step_loses_nothing(here: Machine, step: str) -> None:
    kernel = here.open(crash_at=step)
    name = str(kernel.tell("submit", seed=1, kind="requested")["stem"])
    eventually(lambda: kernel.tell("state")["starts"] == 2, "the daemon's death and new start")
    eventually(lambda: is_whole(here, name), "the checkpoint")
    assert stored(here.store, parse_stem(name)) == contents(1)
    later = str(kernel.tell("submit", seed=2, kind="requested")["stem"])
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    assert stored(here.store, parse_stem(later)) == contents(2)


@pytest.mark.parametrize("step", ["store.object.middle", "store.object.written"])
def test_what_a_killed_upload_left_is_collected_in_the_end(here: Machine, step: str) -> None:
    kernel = here.open(crash_at=step, keep_last=1, keep_hourly=0, keep_daily=0)
    kernel.tell("submit", seed=1, kind="requested")
    eventually(lambda: kernel.tell("state")["starts"] == 2, "the daemon's death and new start")
    for seed in (2, 3):
        name = parse_stem(kernel.tell("submit", seed=seed, kind="requested")["stem"])
        assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    kernel.tell("close")
    eventually(lambda: not here.daemons(), "the daemon's end")
    left = [path.name for path in (here.store.folder / "objects").rglob("*") if path.is_file()]
    assert left == [name.object_name()]


@pytest.mark.parametrize("step", SPOOL_STEPS)
@pytest.mark.parametrize("passage", [1, 4])
def test_a_kernel_killed_at_this_step_leaves_the_newest_committed_snapshot(
    here: Machine, step: str, passage: int
) -> None:
    # Three tensors a snapshot: the middle of the fourth is the tenth passage of that step.
    count = 3 * passage - 2 if step == "spool.object.middle" else passage
    kernel = here.open(crash_at=f"{step}:{count}")
    committed = 0
    for seed in range(1, 6):
        if not kernel.tell("submit", seed=seed):
            break
        committed = seed
    assert kernel.ended() == -signal.SIGKILL
    assert committed == passage - 1
    found = newest([Shelf("spool", Spool(kernel.spool)), here.shelf], set(), lambda error: None)
    expected = passage if step == "spool.committed" else passage - 1
    if expected == 0:
        assert found is None
    else:
        assert found is not None
        assert found[0].stem.sequence == expected
        assert read_back(found[0]) == contents(expected)
    again = here.open()
    assert again.found["checkpoint"] == (str(found[0].stem) if found else None)
    assert again.tell("submit", seed=9)["committed"]


@pytest.mark.parametrize("step", START_STEPS)
def test_a_start_killed_at_this_step_can_be_done_again(here: Machine, step: str) -> None:
    kernel = here.open()
    name = str(kernel.tell("submit", seed=1)["stem"])
    kernel.kill()
    broken = here.start(crash_at=step)
    assert broken.ended() == -signal.SIGKILL
    again = here.open()
    assert again.found["checkpoint"] == name
    assert again.found["situation"] == "kernel restart"
    assert again.tell("submit", seed=2)["submitted"]
    assert again.tell("wait", timeout=60) == {"confirmed": True}


def test_a_restore_killed_while_it_chooses_can_be_done_again(here: Machine) -> None:
    kernel = here.open()
    name = str(kernel.tell("submit", seed=1, kind="requested")["stem"])
    assert kernel.tell("wait", timeout=60) == {"confirmed": True}
    kernel.kill()
    for _ in range(2):
        assert here.start(crash_at="restore.chosen").ended() == -signal.SIGKILL
    assert here.open().found["checkpoint"] == name
    assert read_back(open_checkpoint(here.shelf, parse_stem(name))[0]) == contents(1)
