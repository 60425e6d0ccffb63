"""What `start()` returns, and the one runtime that a process has."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from holdfast.hooks import first_use, keras2_fit, keras_fit, loops, notebook_name, tf1_session
from holdfast.hooks.colab import prepare
from holdfast.hooks.magics import register_magic
from holdfast.hooks.notebook import Cells
from holdfast.hooks.on_import import after_import
from holdfast.hooks.patching import guarded, unpatch_all
from holdfast.hooks.tracking import Tracker
from holdfast.runtime import report
from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.session import Session
from holdfast.runtime.settings import FILE_NAME, Settings, load
from holdfast.runtime.settings_watch import SettingsWatch
from holdfast.runtime.stores import normalise
from holdfast.runtime.stores.credentials import default_store

LOG_NAME: Final = "kernel.log"


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands. Times are Unix times in seconds, 0 for never.

    Attributes:
        run: Name of the run.
        store: URL of the store.
        situation: What happened before this session began.
        snapshot: Newest snapshot committed to the local spool; empty for none.
        snapshot_at: When it was taken.
        written: Newest checkpoint written to the store; empty for none.
        written_at: When that was done.
        confirmed: Newest checkpoint known to be safe there; empty for none.
        confirmed_at: When that was known.
        unconfirmed: Why what is written is not confirmed; empty where it is, or soon will be.
        warning: What to know of the room that is left; empty for nothing.
        problem: What fails at present; empty for nothing that is known.
    """

    run: str
    store: str
    situation: str
    snapshot: str
    snapshot_at: float
    written: str
    written_at: float
    confirmed: str
    confirmed_at: float
    unconfirmed: str
    warning: str
    problem: str

    def __str__(self) -> str:
        now = time.time()

        def line(name: str, stem: str, at: float) -> str:
            return f"  {name:<10} {stem}, {report.ago(now - at)} ago" if stem else f"  {name:<10} none yet"

        lines = [
            f"run {self.run!r} in {self.store} ({self.situation})",
            line("snapshot", self.snapshot, self.snapshot_at),
            line("written", self.written, self.written_at),
            line("confirmed", self.confirmed, self.confirmed_at),
        ]
        if self.unconfirmed:
            lines[-1] += f": {self.unconfirmed}"
        if self.warning:
            lines.append(f"  warning    {self.warning}")
        if self.problem:
            lines.append(f"  problem    {self.problem}")
        return "\n".join(lines)


class Handle:
    """The running runtime, for the user."""

    def __init__(self, session: Session, tracker: Tracker, undo: list[Callable[[], None]]) -> None:
        self._session, self._tracker, self._undo = session, tracker, undo

    def status(self) -> Status:
        """Where the run stands."""
        session, daemon = self._session, self._session.status()
        newest = session.last_committed
        problem = daemon.fenced or daemon.error
        if session.fenced:
            problem = problem or "another session has taken the run over"
        return Status(
            run=session.settings.run,
            store=session.settings.store,
            situation=session.found.situation,
            snapshot=str(newest.stem) if newest else "",
            snapshot_at=newest.taken_at if newest else 0.0,
            written=daemon.written,
            written_at=daemon.written_at,
            confirmed=daemon.confirmed,
            confirmed_at=daemon.confirmed_at,
            unconfirmed=daemon.unconfirmed,
            warning=daemon.warning,
            problem=problem,
        )

    def checkpoint(self) -> None:
        """Asks for a checkpoint now: at the next step, where a training runs, and up at once."""
        self._tracker.saving.flush()
        self._tracker.request_checkpoint()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the newest snapshot is confirmed in the store, with a progress bar.

        Args:
            timeout: Seconds to wait at the longest; None for as long as it takes.

        Returns:
            Whether it is confirmed.

        Raises:
            ClaimLost: Another session has taken the run over.
            DaemonUnavailable: The daemon does not live and could not be started.
        """
        self._tracker.saving.flush()
        return self._session.wait(timeout)

    def fresh(self, what: Any = None) -> None:
        """Lets trainings begin anew; what was trained stays in the store.

        Args:
            what: A model, a slot's name, or None for everything in the run.

        Raises:
            SlotNotFound: The run has no slot of that name.
        """
        self._tracker.wishes.fresh(what)

    def continue_changed(self, what: Any = None) -> None:
        """Lets trainings go on from the finished ones although their definition changed, or after `fresh`.

        Args:
            what: A model, a slot's name, or None for everything in the run.

        Raises:
            SlotNotFound: The run has no slot of that name, or the model has none.
        """
        self._tracker.wishes.continue_changed(what)

    def stop(self) -> None:
        """Ends the runtime and takes every patch back."""
        if _current is self:
            stop()

    def __repr__(self) -> str:
        return f"<holdfast {self.status()}>"

    @property
    def fenced(self) -> bool:
        """Whether another session has taken the run over, so that nothing more is saved."""
        return self._session.fenced

    @property
    def active(self) -> bool:
        """Whether the runtime runs."""
        return not self._session.closed

    def same_as(self, settings: Settings) -> bool:
        """Whether these settings ask for this store and run."""
        have = self._session.settings
        return (have.store, have.run) == (normalise(settings.store), settings.run)

    def close(self) -> None:
        """Ends everything that `start` began."""
        while self._undo:
            guarded(self._undo.pop())()


_current: Handle | None = None


def start(arguments: dict[str, Any], folder: Path, *, default_run: str = "") -> Handle:
    """Starts the runtime; see `colab_bootstrap.start`.

    Args:
        arguments: Settings by name; None for those not given.
        folder: Where the settings file may lie.
        default_run: Name of the run where no setting has one.
    """
    global _current

    def read_settings() -> Settings:
        return _complete(load(folder, arguments), default_run)

    settings = read_settings()
    if _current is not None and _current.active and _current.fenced:
        report.say("another session had taken the run over; this one claims it again")
        stop()
    if _current is not None and _current.active:
        # Nothing asked for: the one that runs, also where the working folder has changed since.
        if not (arguments.get("store") or arguments.get("run")) or _current.same_as(settings):
            report.say(f"rerun: the runtime of run {_current.status().run!r} goes on")
            return _current
        report.say("another store or run: the runtime is started anew")
        stop()
    report.forget_all()
    prepare(settings.store)
    session = Session.open(settings, notebook_name.chooser(settings.run))
    undo: list[Callable[[], None]] = [session.close]
    try:
        cells = Cells()
        undo.append(cells.close)
        if cells.in_notebook:
            report.speak_through(print)
            undo.append(lambda: report.speak_through(None))
        undo.append(_log_to(session.spool.folder / LOG_NAME))
        tracker = Tracker(session, cells)
        tracker.at_cell_end(tracker.saving.flush)
        undo.append(unpatch_all)
        undo.append(after_import("keras", lambda: install_keras(tracker)))
        undo.append(after_import("tf_keras", lambda: guarded(keras2_fit.install)(tracker)))
        undo.append(after_import("tensorflow", lambda: guarded(tf1_session.install)(tracker)))
        undo.append(loops.install(tracker))
        watch = SettingsWatch(folder / FILE_NAME, read_settings, session)
        undo.append(watch.stop)
        _current = Handle(session, tracker, undo)
        register_magic(_current)
    except BaseException:
        while undo:
            undo.pop()()
        raise
    atexit.register(_at_exit, os.getpid())
    _announce(session)
    return _current


def stop() -> None:
    """Ends the runtime, if one runs."""
    global _current
    handle, _current = _current, None
    if handle is not None:
        handle.close()


def install_keras(tracker: Tracker) -> None:
    """Patches Keras 3, once it is imported."""
    guarded(keras_fit.install)(tracker)
    guarded(first_use.install)(tracker)


def _at_exit(process: int) -> None:
    if os.getpid() == process:  # not in a forked child
        stop()


def _complete(settings: Settings, default_run: str) -> Settings:
    """Fills in the defaults that depend on where this runs."""
    store, run = settings.store, settings.run
    store = store or default_store()
    if not run:
        run = default_run or notebook_name.default_run()
    return replace(settings, store=store, run=run)


def _announce(session: Session) -> None:
    found = session.found
    head = f"run {session.settings.run!r} in {session.settings.store}: {found.situation}"
    if found.checkpoint is None:
        report.say(f"{head}; nothing to restore")
        return
    manifest = found.checkpoint.manifest
    age = report.ago(time.time() - manifest.taken_at)
    report.say(
        f"{head}; found checkpoint {manifest.stem} in the {found.checkpoint.shelf.origin}, {age} old, "
        f"{report.size(manifest.nbytes)}"
    )
    if found.situation == "takeover":
        report.say("the session before still runs; it stops writing now that this one has claimed the run")


def _log_to(path: Path) -> Callable[[], None]:
    """Sends the hooks' log, with the tracebacks of guarded errors, to a file in the spool."""
    logger = logging.getLogger("holdfast")
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    propagate, logger.propagate = logger.propagate, False

    def undo() -> None:
        logger.removeHandler(handler)
        handler.close()
        logger.propagate = propagate

    return undo


__all__ = ["Handle", "SettingsInvalid", "Status", "start", "stop"]
