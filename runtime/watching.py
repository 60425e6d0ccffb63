"""Watching folders through watchdog."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

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
    observer.start()
    return observer
