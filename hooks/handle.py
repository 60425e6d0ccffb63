"""What `start()` returns, and the one runtime that a process has."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.hooks import first_use, keras2_fit, keras_fit, loops, notebook_name, tf1_session
from holdfast.hooks.colab import prepare
from holdfast.hooks.magics import register_magic
from holdfast.hooks.notebook import Cells, evict_others, find_shell
from holdfast.hooks.on_import import after_import
from holdfast.hooks.panel import Panel
from holdfast.hooks.panel_output import PanelOutput
from holdfast.hooks.patching import guarded, unpatch_all
from holdfast.hooks.tracking import Tracker
from holdfast.runtime import exactness_notes, report
from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.panel_view import view
from holdfast.runtime.run_status import Status
from holdfast.runtime.session import Session
from holdfast.runtime.settings import FILE_NAME, Settings, load
from holdfast.runtime.settings_watch import SettingsWatch
from holdfast.runtime.stores import normalise
from holdfast.runtime.stores.credentials import default_store

if TYPE_CHECKING:
    from holdfast.runtime.pictures import Theme

LOG_NAME: Final = "kernel.log"


class Handle:
    """The running runtime, for the user."""

    def __init__(self, session: Session, tracker: Tracker, undo: list[Callable[[], None]]) -> None:
        self._session, self._tracker, self._undo = session, tracker, undo
        self._panel: Panel | None = None
        self._leaving = False

    def status(self) -> Status:
        """Where the run stands."""
        session, daemon = self._session, self._session.status()
        newest, last_cell = session.last_committed, self._tracker.cells.last
        problem = daemon.fenced or daemon.error
        if session.fenced:
            problem = problem or "another session has taken the run over"
        return Status(
            run=session.settings.run,
            store=session.settings.store,
            situation=session.found.situation,
            found=found_text(session),
            snapshot=str(newest.stem) if newest else "",
            snapshot_at=newest.taken_at if newest else 0.0,
            written=daemon.written,
            written_at=daemon.written_at,
            confirmed=daemon.confirmed,
            confirmed_at=daemon.confirmed_at,
            confirmed_taken_at=daemon.confirmed_taken_at,
            confirmed_here=_is_of(daemon.confirmed, session),
            last_step_at=session.last_step_at,
            persist_seconds=session.schedule.plan.persist_seconds,
            schedule=session.schedule,
            schedule_problem=session.schedule_problem(),
            unconfirmed=daemon.unconfirmed,
            warning=daemon.warning,
            problem=problem,
            problem_since=daemon.error_since if daemon.error else 0.0,
            snapshot_problem=session.snapshot_problem,
            memory_short=session.memory_short,
            fenced=session.fenced or bool(daemon.fenced),
            ended=session.closed,
            uploading=daemon.uploading,
            uploading_bytes=daemon.uploading_bytes,
            uploading_total=daemon.uploading_total,
            uploading_since=daemon.uploading_since,
            space_used=daemon.space_used,
            space_free=daemon.space_free,
            cell=last_cell.outcome if last_cell else "",
            cell_again=bool(last_cell and last_cell.again),
            inexact=exactness_notes.notes(),
            said=report.recent(),
        )

    def show(self) -> None:
        """Shows where the run stands: in a notebook as the panel, in a terminal as text."""
        output = PanelOutput.in_notebook()
        if self._panel is not None:
            self._panel.show()
        elif output is not None:
            output.show(view(self.status(), time.time()))
        else:
            print(self.status())

    def show_panel(self, wanted: str) -> None:
        """Shows the panel where that is wanted, and keeps it true.

        Args:
            wanted: The setting ``panel``: ``auto``, in notebooks; ``on``, also as text in a terminal; ``off``.
        """
        output = PanelOutput.in_notebook() if wanted != "off" else None
        if output is not None and self._panel is None and self.active:
            self._panel = Panel(self.status, output)
            self._undo.insert(0, self._panel.close)  # the last to go: it shows the end of all else
        if self._panel is not None or (wanted == "on" and self._tracker.cells.in_notebook):
            self.show()

    def stop_after_cell(self) -> None:
        """Ends the runtime at the end of the running cell, unless `start` is called before."""
        self._leaving = True

    def stay(self) -> None:
        """Takes `stop_after_cell` back."""
        self._leaving = False

    def leave(self) -> None:
        """At a cell's end: stops where that was asked for."""
        if self._leaving:
            self.stop()

    def slots(self) -> list[str]:
        """The names of the run's slots."""
        return [slot.name for slot in self._session.journal.slots]

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

    def history(self) -> None:
        """Prints what happened to the run: sessions, training calls, where they went on."""
        from holdfast.hooks import run_history  # seldom wanted, and not light

        run_history.history(self._session)

    def plot(self, theme: Theme = "light") -> None:
        """Shows losses and metrics, stitched across sessions; without a notebook, in words.

        Args:
            theme: For a light or a dark background.
        """
        from holdfast.hooks import run_history

        run_history.plot(self._session, theme)

    def stop(self) -> None:
        """Ends the runtime and takes every patch back."""
        if _current is self:
            stop()

    def __repr__(self) -> str:
        return f"<holdfast run {self._session.settings.run!r} in {self._session.settings.store}>"

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

    def close(self, *, exiting: bool = False) -> None:
        """Ends everything that `start` began.

        Args:
            exiting: Whether the process ends, so that nobody is shown anything any more.
        """
        if exiting and self._panel is not None:
            guarded(self._panel.close)(say_last=False)
        while self._undo:
            guarded(self._undo.pop())()


_current: Handle | None = globals().get("_current")  # a reload of this module keeps the one that runs


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
            _current.stay()
            report.say(f"rerun: the runtime of run {_current.status().run!r} goes on")
            guarded(_current.show_panel)(settings.panel)
            return _current
        report.say("another store or run: the runtime is started anew")
        stop()
    evict_others()
    report.forget_all()
    exactness_notes.forget_all()
    prepare(settings.store)
    undo: list[Callable[[], None]] = []
    try:
        if find_shell() is not None:
            report.speak_through(print)
            undo.append(lambda: report.speak_through(None))
        session = Session.open(settings, notebook_name.chooser(settings.run))
        undo.append(session.close)
        cells = Cells()
        undo.append(cells.close)
        undo.append(_log_to(session.spool.folder / LOG_NAME))
        tracker = Tracker(session, cells)
        tracker.at_cell_end(session.paused)
        tracker.at_cell_end(tracker.saving.flush)
        undo.append(unpatch_all)
        undo.append(after_import("keras", lambda: install_keras(tracker)))
        undo.append(after_import("tf_keras", lambda: guarded(keras2_fit.install)(tracker)))
        undo.append(after_import("tensorflow", lambda: guarded(tf1_session.install)(tracker)))
        undo.append(loops.install(tracker))
        watch = SettingsWatch(folder / FILE_NAME, read_settings, session)
        undo.append(watch.stop)
        _current = Handle(session, tracker, undo)
        cells.evicted = _current.close
        tracker.at_cell_end(_current.leave)
        register_magic(_current)
    except BaseException:
        while undo:
            undo.pop()()
        raise
    atexit.register(_at_exit, os.getpid())
    _announce(session)
    guarded(_current.show_panel)(settings.panel)
    return _current


def stop(*, exiting: bool = False) -> None:
    """Ends the runtime, if one runs.

    Args:
        exiting: Whether the process ends.
    """
    global _current
    handle, _current = _current, None
    if handle is not None:
        handle.close(exiting=exiting)


def stop_after_cell() -> None:
    """Ends the runtime at the end of the running cell; ``%reload_ext`` starts it again before that."""
    if _current is not None:
        _current.stop_after_cell()


def install_keras(tracker: Tracker) -> None:
    """Patches Keras 3, once it is imported."""
    guarded(keras_fit.install)(tracker)
    guarded(first_use.install)(tracker)


def _at_exit(process: int) -> None:
    if os.getpid() == process:  # not in a forked child
        stop(exiting=True)


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
    report.say(f"{head}; {found_text(session)}")
    if found.situation == "takeover":
        report.say("the session before still runs; it stops writing now that this one has claimed the run")


def found_text(session: Session) -> str:
    """What the session's start found to restore from; its age is that of then."""
    checkpoint = session.found.checkpoint
    if checkpoint is None:
        return "nothing to restore"
    manifest = checkpoint.manifest
    age, size = report.ago(session.began_at - manifest.taken_at), report.size(manifest.nbytes)
    return f"found checkpoint {manifest.stem} in the {checkpoint.shelf.origin}, {age} old, {size}"


def _is_of(stem: str, session: Session) -> bool:
    """Whether the checkpoint of that name, if it is one, is the session's own."""
    return stem.rpartition("-")[2] == session.claim.session


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
