"""Reloads ``holdfast.yaml`` while the session runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchdog.events import FileSystemEvent, FileSystemEventHandler

from holdfast.runtime import report
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.session import Session
from holdfast.runtime.settings import TABLE, Settings
from holdfast.runtime.watching import watch

SETTLE_SECONDS: Final = 0.2
"""From an event to the reading: editors save in several steps, some with no file in between."""

FIXED: Final = ("store", "run", "spool")
"""What a session has for its whole life."""

_EVENTS: Final = ("created", "closed", "moved", "deleted")

log = logging.getLogger("holdfast.settings")


class SettingsWatch(FileSystemEventHandler):
    """Watches one settings file; settings that are wrong leave the last good ones in force."""

    def __init__(self, path: Path, load: Callable[[], Settings], session: Session) -> None:
        self._path, self._load, self._session = path.absolute(), load, session
        self._stopping = threading.Event()
        self._wrong = False
        # As they are written: the session has its store in another form.
        self._fixed = _fixed(load())
        self._observer = watch(self._path.parent, self, "holdfast-settings", recursive=False)

    def stop(self) -> None:
        """Stops watching."""
        self._stopping.set()
        self._observer.stop()
        self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _EVENTS or str(self._path) not in (
            str(event.src_path),
            str(event.dest_path),
        ):
            return
        if self._stopping.wait(SETTLE_SECONDS):
            return
        try:
            self.reload()
        except Exception:  # a thread's top: it must not end
            log.exception("reloading the settings")

    def reload(self) -> None:
        """Reads the settings again, and says what changed."""
        try:
            settings = self._load()
        except HoldfastError as error:
            self._wrong = True
            report.say(f"the last good settings stay in force: {error}")
            return
        before, was_wrong = self._session.settings, self._wrong
        self._session.change_settings(lambda _: settings)
        self._wrong = False
        self._say(_changes(before, self._session.settings), repaired=was_wrong)
        moved = [key for key, old, new in zip(FIXED, self._fixed, _fixed(settings), strict=True) if old != new]
        if moved:
            self._fixed = _fixed(settings)
            report.say(f"{' and '.join(moved)} cannot change while a session runs: stop() and start() do that")

    def _say(self, changes: list[str], *, repaired: bool) -> None:
        # Nothing at all where nothing changed: one save is several events.
        where = f"the settings in {self._path}" if self._path.exists() else f"{self._path} is gone"
        if changes:
            report.say(f"{where}: {'; '.join(changes)}")
        elif repaired:
            report.say(f"{where}: nothing is wrong any more, and nothing has changed")


def _fixed(settings: Settings) -> list[str]:
    return [getattr(settings, key) for key in FIXED]


def _changes(before: Settings, after: Settings) -> list[str]:
    """What is in force now and was not before, in words."""
    return [
        f"{key} is {setting.kind.show(new)} now, was {setting.kind.show(old)}"
        for key, setting in TABLE.items()
        if (new := getattr(after, key)) != (old := getattr(before, key))
    ]
