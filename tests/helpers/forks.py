"""Processes that are forks of one that has imported TensorFlow: a tenth of the time of starting each anew.

A process may fork as long as it has imported TensorFlow and Keras and executed no operation.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

AT_ONCE: Final = 2
"""Processes that run side by side."""

FAILED: Final = "failed"
"""Name of the file that a part which ended otherwise than it should leaves beside its log."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process.

    Attributes:
        log: Where its output goes; the folder is made.
        action: What it does.
        signal: What is to end it; 0 for its own end.
    """

    log: Path
    action: Callable[[], None]
    signal: int = 0


def keep_imports() -> None:
    """Spares the collector what the imports have made: to look through it takes 0.2 s each time."""
    gc.collect()
    gc.freeze()


def work_through(jobs: list[Iterator[Part]]) -> None:
    """Runs all parts of all jobs, those of one job one after another; a job of which one part fails is left."""
    keep_imports()
    running: dict[int, tuple[Iterator[Part], Part]] = {}
    waiting = list(reversed(jobs))
    while waiting or running:
        if waiting and len(running) < AT_ONCE:
            parts = waiting.pop()
            part = next(parts, None)
            if part is not None:
                running[_begin(part)] = parts, part
            continue
        pid, status = os.wait()
        parts, part = running.pop(pid)
        if status == part.signal:
            waiting.append(parts)
        else:
            why = f"{part.log.stem}: wait status {status}, not {part.signal}"
            part.log.with_name(FAILED).write_text(why, encoding="utf-8")


def _begin(part: Part) -> int:
    """Starts a process; returns its number."""
    part.log.parent.mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with part.log.open("wb") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        part.action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
