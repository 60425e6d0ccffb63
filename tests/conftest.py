"""What holds for every test: no thread and no daemon of Holdfast may outlive it."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

from holdfast.runtime import report

MARK = "HOLDFAST_TEST_MARK"
"""Environment variable by which daemons that these tests started are told from all others."""

GIVE_UP_SECONDS = 60.0

# The same examples every time, so that a test fails by a change and not by chance; no deadline,
# since machines are slow at times. HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile(
    "same", deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_configure() -> None:
    """Marks this process, and with it whatever it starts; lets interrupts through to both.

    A shell starts what it puts in the background with interrupts ignored, and Python leaves that as it is.
    """
    os.environ[MARK] = uuid.uuid4().hex
    # Tests set the intervals that they want; what a budget makes of them has tests of its own.
    os.environ["HOLDFAST_OVERHEAD_PERCENT"] = "0"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def our_daemons() -> set[psutil.Process]:
    """The daemons alive that descend from this test run."""
    found = set()
    for process in psutil.process_iter():
        try:
            if (
                "holdfast.runtime.daemon" in process.cmdline()
                and process.environ().get(MARK) == os.environ[MARK]
            ):
                found.add(process)
        except psutil.Error:
            continue
    return found


def our_threads() -> set[threading.Thread]:
    """The threads of Holdfast in this process."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("holdfast")}


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fails a test that leaves a thread or a daemon behind."""
    threads, daemons = our_threads(), our_daemons()
    yield
    deadline = time.monotonic() + GIVE_UP_SECONDS
    # A daemon that is told to end drains its spool first.
    while (our_threads() - threads or our_daemons() - daemons) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = our_daemons() - daemons
    for process in left:
        process.kill()
    assert not left, f"daemons left running: {left}"
    assert not our_threads() - threads, f"threads left running: {our_threads() - threads}"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The lines said to the user during the test, each said once anew."""
    lines: list[str] = []
    monkeypatch.setattr(report, "_said", set())
    report.speak_through(lines.append)
    yield lines
    report.speak_through(None)
