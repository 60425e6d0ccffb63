"""Reloads ``holdfast.yaml`` while the session runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler

from holdfast.runtime import report
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.session import Session
from holdfast.runtime.settings import Settings
from holdfast.runtime.watching import watch


class SettingsWatch(FileSystemEventHandler):
    """Watches one settings file; settings that are wrong leave the last good ones in force."""

    def __init__(self, path: Path, load: Callable[[], Settings], session: Session) -> None:
        self._path, self._load, self._session = path.absolute(), load, session
        self._observer = watch(self._path.parent, self, "holdfast-settings", recursive=False)

    def stop(self) -> None:
        """Stops watching."""
        self._observer.stop()
        self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in ("closed", "moved", "deleted"):
            return
        if str(self._path) in (str(event.src_path), str(event.dest_path)):
            self.reload()

    def reload(self) -> None:
        """Reads the settings again."""
        try:
            settings = self._load()
        except HoldfastError as error:
            report.say(f"{error}. The last good settings stay in force")
            return
        before = self._session.settings
        if settings.store and (settings.run, settings.spool) != (before.run, before.spool):
            report.say("store, run and spool cannot change while a session runs; start it again for that")
        self._session.change_settings(lambda _: settings)
        report.say(f"the settings in {self._path} are in force")
