"""Watching folders through watchdog."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

_DESCRIPTORS: Final = Path("/proc/self/fd")

_AT_STOP: Final = "called when the thread is inactive"
"""What watchdog 7.1 logs as an error whenever an observer is stopped in good order."""


def _not_at_stop(record: logging.LogRecord) -> bool:
    return _AT_STOP not in record.getMessage()


def watch(folder: Path, handler: FileSystemEventHandler, name: str, *, recursive: bool) -> BaseObserver:
    """Starts a thread that tells ``handler`` what happens in ``folder``.

    Args:
        folder: What to watch; it must exist.
        handler: Its methods are called on the thread.
        name: Name of the thread.
        recursive: Whether folders in it are watched too.

    Returns:
        The observer, to be stopped and joined.
    """
    for logger in ("watchdog.observers.inotify", "watchdog.observers.inotify_c"):
        logging.getLogger(logger).addFilter(_not_at_stop)
    observer = Observer()
    observer.name = name
    observer.schedule(handler, str(folder), recursive=recursive)
    before = _inotify_descriptors()
    observer.start()
    for descriptor in _inotify_descriptors() - before:
        # Watchdog makes it so that the programs inherit it which the user's code starts.
        with contextlib.suppress(OSError):
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - it has no name
    return observer


def _inotify_descriptors() -> set[int]:
    """This process's descriptors by which files are watched, on Linux."""
    found = set()
    for entry in _DESCRIPTORS.iterdir() if _DESCRIPTORS.exists() else ():
        with contextlib.suppress(OSError):  # gone meanwhile, such as the one that lists them
            if "inotify" in str(entry.readlink()):
                found.add(int(entry.name))
    return found
