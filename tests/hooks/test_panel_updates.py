"""When the panel is sent again, and when it is quiet."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from holdfast.hooks import panel as hook
from holdfast.hooks.panel import Panel, signature
from holdfast.runtime.panel_view import View
from holdfast.runtime.run_status import Status

NOW = 1_800_000_000.0
STEM = "00000002-000003-aaaaaaaa"
STATUS = Status(
    run="r",
    store="gs://bucket",
    situation="first run",
    snapshot=STEM,
    snapshot_at=NOW - 5,
    written=STEM,
    written_at=NOW - 4,
    confirmed=STEM,
    confirmed_at=NOW - 4,
    confirmed_taken_at=NOW - 5,
    confirmed_here=True,
    unconfirmed="",
    warning="",
    problem="",
    last_step_at=NOW - 6,
    cell="running",
)


@pytest.mark.parametrize(
    "change",
    [
        {"cell": "done"},
        {"cell": "done", "cell_again": True},
        {"last_step_at": NOW - 9},
    ],
)
def test_what_is_not_shown_does_not_count(change: dict[str, Any]) -> None:
    assert signature(replace(STATUS, **change), NOW) == signature(STATUS, NOW)


def test_ages_alone_do_not_count_while_nothing_runs() -> None:
    assert signature(STATUS, NOW + 3600) == signature(STATUS, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"last_step_at": NOW},
        {"snapshot": STEM[:-1] + "b"},
        {"uploading_bytes": 1},
        {"problem": "no network"},
        {"cell": "interrupted"},
        {"ended": True},
        {"said": ((NOW, "resuming"),)},
        {"inexact": (("data", "text"),)},
    ],
)
def test_what_is_shown_counts(change: dict[str, Any]) -> None:
    assert signature(replace(STATUS, **change), NOW) != signature(STATUS, NOW)


def test_steps_count_every_ten_seconds() -> None:
    running = [signature(replace(STATUS, last_step_at=NOW + 0.5 * step), NOW) for step in range(120)]
    assert len(set(running)) == 6


def test_a_checkpoint_that_becomes_late_counts_though_nothing_else_has_changed() -> None:
    waiting = replace(STATUS, snapshot=STEM[:-1] + "b", snapshot_at=NOW - 1, last_step_at=NOW - 2)
    assert signature(waiting, NOW) != signature(waiting, NOW + 3600)


class Front:
    """A front end that notes what it is sent, and refuses it for as long as it is told to."""

    def __init__(self) -> None:
        self.sent: queue.Queue[View] = queue.Queue()
        self.refused = threading.Semaphore(0)
        self.refuses = False

    def show(self, view: View) -> None:
        self.sent.put(view)

    def replace(self, view: View) -> bool:
        if self.refuses:
            self.refused.release()
            return False
        self.sent.put(view)
        return True


class Run:
    """A run that stands where the test says, and counts how often it is asked."""

    def __init__(self) -> None:
        self.now: Status | Exception = STATUS
        self.asked = threading.Semaphore(0)

    def status(self) -> Status:
        self.asked.release()
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def looked_at(self, times: int = 3) -> None:
        """Waits until it has been asked so many times more."""
        while self.asked.acquire(blocking=False):
            pass
        for _ in range(times):
            assert self.asked.acquire(timeout=60)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(hook, "UPDATE_SECONDS", 0.01)
    return Run()


@pytest.fixture
def front() -> Front:
    return Front()


@pytest.fixture
def panel(run: Run, front: Front) -> Iterator[Panel]:
    made = Panel(run.status, front)  # type: ignore[arg-type]
    made.show()
    assert front.sent.get_nowait().headline.startswith("Safe")
    yield made
    made.close()


def test_nothing_is_sent_while_nothing_changes(panel: Panel, run: Run, front: Front) -> None:
    assert panel is not None
    run.looked_at()
    assert front.sent.empty()
    run.now = replace(STATUS, problem="no network")
    assert "The store fails" in front.sent.get(timeout=60).headline
    run.looked_at()
    assert front.sent.empty()


def test_what_was_refused_is_sent_later(panel: Panel, run: Run, front: Front) -> None:
    assert panel is not None
    front.refuses = True
    run.now = replace(STATUS, problem="no network")
    assert front.refused.acquire(timeout=60)
    front.refuses = False
    assert "The store fails" in front.sent.get(timeout=60).headline


def test_an_error_of_ours_does_not_end_it(panel: Panel, run: Run, front: Front) -> None:
    assert panel is not None
    run.now = RuntimeError("on purpose")
    run.looked_at()
    run.now = replace(STATUS, problem="no network")
    assert "The store fails" in front.sent.get(timeout=60).headline


def test_the_end_is_shown_once_and_nothing_after_it(panel: Panel, run: Run, front: Front) -> None:
    run.now = replace(STATUS, ended=True)
    panel.close()
    headlines = [front.sent.get_nowait().headline for _ in range(front.sent.qsize())]
    assert headlines == ["Stopped: all that was trained is confirmed"]
    panel.close()
    assert front.sent.empty()
    panel.show()  # asked for: shown, and not followed any more
    assert front.sent.get_nowait().headline.startswith("Stopped")
    assert not any(thread.name == "holdfast-panel" for thread in threading.enumerate())


def test_an_ending_kernel_is_sent_nothing(panel: Panel, run: Run, front: Front) -> None:
    panel.close(say_last=False)
    run.now = replace(STATUS, ended=True)
    panel.close()
    assert front.sent.empty()


def test_a_forked_child_sends_nothing(panel: Panel, front: Front) -> None:
    child = os.fork()
    if child == 0:
        panel.close()
        os._exit(0 if front.sent.empty() else 1)
    assert os.waitpid(child, 0)[1] == 0
