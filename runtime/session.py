"""A session: one kernel process's part in a run. What the hooks call."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from holdfast.runtime import report
from holdfast.runtime.claims import Claim
from holdfast.runtime.daemon_process import DaemonProcess
from holdfast.runtime.errors import CheckpointDamaged, ObjectNotFound, SpoolFull
from holdfast.runtime.journal import Journal
from holdfast.runtime.last_step import NOTE_SECONDS, LastStep
from holdfast.runtime.limit_watch import LimitWatch
from holdfast.runtime.manifest import Manifest
from holdfast.runtime.names import Stem, parse_stem
from holdfast.runtime.opening import Found, open_run
from holdfast.runtime.read_ahead import ReadAhead
from holdfast.runtime.restore import Checkpoint, CheckpointPart, newest, open_checkpoint
from holdfast.runtime.resumptions import MAX_RESUMPTIONS, Resumption, together
from holdfast.runtime.retention import Policy
from holdfast.runtime.scheduler import Measured, Wishes
from holdfast.runtime.service import Service
from holdfast.runtime.settings import Settings
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.snapshot import Snapshot
from holdfast.runtime.spool import Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import Store
from holdfast.runtime.timing import Timing
from holdfast.runtime.waiting import until_confirmed
from holdfast.runtime.writer import Writer

MONITOR_SECONDS: Final = NOTE_SECONDS
"""How often the session looks after its daemon, and notes its last step."""

log = logging.getLogger("holdfast.session")


_open: weakref.WeakSet[Session] = weakref.WeakSet()


def _close_in_child() -> None:
    for session in list(_open):
        session.closed = True  # a forked child has none of the threads, and trains nothing of ours


os.register_at_fork(after_in_child=_close_in_child)


class Session:
    """One process's part in a run, from its claim to its end.

    Attributes:
        began_at: Unix time in seconds at which it was opened.
        last_committed: Manifest of the newest snapshot in the spool; None before the first of this session.
        last_step_at: Unix time in seconds at which a step of any training ended last; 0 before the first.
        snapshot_problem: Why the last snapshot could not be written; empty where it was.
        memory_short: Why the training had to wait while the last snapshot was written; empty where it had not.
    """

    def __init__(
        self, settings: Settings, store: Store, spool: Spool, claim: Claim, found: Found, journal: Journal
    ) -> None:
        self.settings = settings
        self.store = store
        self.spool = spool
        self.claim = claim
        self.found = found
        self.journal = journal
        self.shelves = (Shelf("spool", spool), Shelf("store", store))
        self.damaged: set[tuple[str, Stem]] = set()
        self.fenced = False
        self.closed = False
        self.last_committed: Manifest | None = None
        self.began_at = time.time()
        self.last_step_at = 0.0
        self.snapshot_problem = self.memory_short = ""
        self._noted_step = LastStep()
        self._unusable = ""
        self.ask_for_checkpoint: Callable[[], None] = lambda: None  # until something can be trained
        self._limits = LimitWatch()
        self._sequence = 0
        self._timing = Timing(_wishes(settings), found.failures)
        self._persist_now = False  # while somebody waits for the newest snapshot
        self._stop = threading.Event()
        self._telling = threading.Lock()
        self._read_ahead = ReadAhead(found.checkpoint)
        self._write_session_file(ended=False, taking_over=True)
        self.daemon = DaemonProcess(spool.folder)
        self.daemon.ensure()
        self._writer = Writer(spool, settings.run, self._committed, self._not_committed)
        self._monitor = threading.Thread(target=self._look_after, name="holdfast-monitor", daemon=True)
        self._monitor.start()
        _open.add(self)

    @classmethod
    def open(cls, settings: Settings, choose_run: Callable[[frozenset[str]], str] | None = None) -> Session:
        """Claims the run and finds its newest checkpoint.

        Args:
            settings: The settings.
            choose_run: Names the run instead, given those of the store.

        Raises:
            StoreUnusable: The store cannot be used.
            SettingsInvalid: The run's name is not allowed.
            ClaimLost: Others kept claiming the run.
        """
        one = open_run(settings, choose_run)
        return cls(one.settings, one.store, one.spool, one.claim, one.found, one.journal)

    @property
    def active(self) -> bool:
        """Whether snapshots are to be taken."""
        return not (self.closed or self.fenced)

    # --- saving -----------------------------------------------------------------------------

    def step_ended(self, *, epoch_ended: bool = False) -> bool:
        """Notes that a step of a training ended just now.

        Args:
            epoch_ended: It was noted before, and now its epoch has ended.

        Returns:
            Whether the schedule wants a snapshot; never while one is in the making. Where none comes of it,
            since there is nothing to take one of, or it failed, not at once again.
        """
        self.last_step_at = time.time()
        due = self._timing.step_ended(epoch_ended=epoch_ended)
        return due and self.active and not self._writer.busy and self._timing.ask()

    def due(self) -> bool:
        """Whether the schedule wants a snapshot now; never while one is in the making."""
        return self._timing.due() and self.active and not self._writer.busy

    def paused(self) -> None:
        """A training call begins, or a cell has ended: what passes until the next step's end is no step."""
        self._timing.paused()
        self.spool.let_go()  # of models that may be gone by the next snapshot

    @property
    def schedule(self) -> Measured:
        """The intervals in force, and what is known of the costs behind them."""
        return self._timing.measured

    def schedule_problem(self) -> str:
        """Which of the user's bounds cannot be kept, and why; empty for none."""
        return self._timing.problem()

    def next_stem(self) -> Stem:
        """The name of the snapshot to come, for the journal that goes into it."""
        return Stem(self.claim.incarnation, self._sequence + 1, self.claim.session)

    def submit(self, snapshot: Snapshot, *, after_step: bool = False) -> bool:
        """Hands a snapshot, named by `next_stem`, to the writer thread.

        Args:
            snapshot: It.
            after_step: Whether it was due at a step's end whatever its kind, so that its cost can be measured.

        Returns:
            False where another session has taken the run over, and nothing was done.
        """
        if not self.active or not self._still_ours():
            return False
        stem = self.next_stem()
        self._sequence += 1
        # Else another thing than a step has ended.
        measured = after_step or snapshot.kind in ("scheduled", "requested")
        self._timing.snapshot_begun(stem, snapshot.nbytes, after_step=measured)
        self.memory_short = late = snapshot.late
        try:
            self._writer.submit(stem, snapshot)
            if late:
                report.say_once("memory short", f"{late}. The training waits while a snapshot is written")
                self._written_first()
        finally:
            self._timing.snapshot_handed()
        return True

    def _written_first(self) -> None:
        """Waits for the snapshot, come what may: what it has not read yet must not change."""
        interrupt: KeyboardInterrupt | None = None
        while True:
            try:
                self.flush()
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def flush(self) -> None:
        """Waits until the last snapshot is committed to the spool."""
        self._writer.flush()

    def _committed(self, manifest: Manifest) -> None:
        self._timing.snapshot_over(manifest.stem, written=True)
        self.last_committed = manifest
        self.snapshot_problem = ""
        report.forget("spool full")

    def _not_committed(self, stem: Stem, error: Exception) -> None:
        self._timing.snapshot_over(stem, written=False)
        self.snapshot_problem = str(error) or repr(error)
        if isinstance(error, SpoolFull):
            report.say_once("spool full", f"{error}. Training goes on; older snapshots were dropped")
            log.warning("snapshot %s: %s", stem, error)
        else:
            report.say_once("snapshot failed", f"a snapshot could not be written: {error!r}. Training goes on")
            log.error("snapshot %s", stem, exc_info=error)

    # --- restoring --------------------------------------------------------------------------

    def newest_of(self, slot: str) -> Checkpoint | None:
        """The newest sound checkpoint of a slot; the damaged ones before it are said."""
        self.flush()
        pair = newest(self.shelves, self.damaged, lambda error: report.say(str(error)), slot=slot)
        return pair[0] if pair else None

    def checkpoint(self, stem: Stem) -> Checkpoint | None:
        """The checkpoint of that name; None where there is none, or a damaged one."""
        self.flush()
        for shelf in self.shelves:
            if (shelf.origin, stem) in self.damaged:
                continue
            try:
                return open_checkpoint(shelf, stem)[0]
            except ObjectNotFound:
                continue
            except CheckpointDamaged as error:
                report.say(str(error))
        return None

    def resumed(self, part: CheckpointPart, action: str, epoch: int, batch: int) -> None:
        """Notes that a training call went on from a checkpoint; the next snapshot carries the note.

        Args:
            part: What was restored.
            action: The decision.
            epoch: Whole epochs, or items of a loop, that were done.
            batch: Batches after these.
        """
        call, kind = part.state.get("call"), part.kind
        number = call if isinstance(call, int) else 0
        now, incarnation = time.time(), self.claim.incarnation
        self.journal.note(
            Resumption(
                now, incarnation, part.slot, number, action, part.stem, kind, part.taken_at, epoch, batch
            )
        )

    def lost_after(self, checkpoint: Checkpoint) -> str:
        """What was trained after a checkpoint and is lost, in words, as far as it is known."""
        stem = checkpoint.stem
        last = self.found.last_step if self.found.last_step.session == stem.session else LastStep()
        newest = self.found.checkpoint.stem if self.found.checkpoint else None
        if stem.session == self.claim.session:
            newest = self.last_committed.stem if self.last_committed else None
            last = LastStep(stem.session, self.last_step_at, exact=True)
        return last.lost_since(checkpoint.manifest.taken_at) if stem == newest else LastStep().lost_since(0.0)

    def reject(self, error: CheckpointDamaged) -> None:
        """Passes a checkpoint over from now on, and goes back to the journal of the one before."""
        report.say(str(error))
        self.damaged.add((error.origin, parse_stem(error.stem)))
        self.spool.distrust()
        self._write_session_file(ended=False)  # the daemon must not build on it
        pair = newest(self.shelves, self.damaged, lambda one: report.say(str(one)))
        notes, self.journal = self.journal.resumptions, pair[1] if pair else Journal()
        self.journal.resumptions = together([notes, self.journal.resumptions])[-MAX_RESUMPTIONS:]

    # --- life -------------------------------------------------------------------------------

    def status(self) -> DaemonStatus:
        """What the daemon last said; not that the session before this one was fenced."""
        status = DaemonStatus.load(self.spool.folder)
        if status.session != self.claim.session:
            status.fenced = ""
        return status

    def wait(self, timeout: float | None = None, *, progress: bool = True) -> bool:
        """Waits until the newest snapshot is confirmed in the store.

        Args:
            timeout: Seconds to wait at the longest; None for as long as it takes.
            progress: Whether to show a bar of the bytes uploaded.

        Returns:
            Whether it is confirmed.

        Raises:
            ClaimLost: Another session has taken the run over.
            CheckpointDamaged: The local disk damaged the snapshot.
            DaemonUnavailable: The daemon does not live and could not be started.
        """
        self.flush()
        target = self.last_committed
        if target is None:
            return True
        self._persist_now = True
        self._write_session_file(ended=self.closed)
        try:
            return until_confirmed(self, target, timeout, progress=progress)
        finally:
            self._persist_now = False
            self._write_session_file(ended=self.closed)

    def close(self) -> None:
        """Ends the session: the last snapshot is committed, the daemon drains the spool and ends."""
        if self.closed:
            return
        self._writer.stop()
        self.spool.let_go()
        self.closed = True
        self._stop.set()
        self._monitor.join()
        self._read_ahead.close()
        if not self.fenced:
            if self.last_step_at:
                LastStep(self.claim.session, self.last_step_at, exact=True).save(self.spool.folder)
            self._write_session_file(ended=True)
            self.daemon.ensure()  # one that died a moment ago has left something to upload
        self.daemon.release()

    def change_settings(self, change: Callable[[Settings], Settings]) -> None:
        """Puts changed settings in force; store, run and spool stay as they are."""
        new = change(self.settings)
        self.settings = replace(
            new, store=self.settings.store, run=self.settings.run, spool=self.settings.spool
        )
        self._timing.change(_wishes(self.settings))
        self._write_session_file(ended=False)

    def _still_ours(self) -> bool:
        """Whether no other kernel on this machine has taken the spool over."""
        service = Service.load(self.spool.folder)
        if service is None or service.session == self.claim.session:
            return True
        self._fence(f"Session {service.session} has taken run {self.settings.run!r} over")
        return False

    def _fence(self, reason: str) -> None:
        self.fenced = True
        report.say_once(
            f"fenced {self.claim.session}",
            f"{reason}. This session writes no more; its training goes on unsaved",
        )

    def _write_session_file(self, *, ended: bool, taking_over: bool = False) -> None:
        """Tells the daemon whom it serves; never over the word of a session that came later."""
        with self._telling:  # what one thread has read must not replace what another has written since
            if not taking_over and (self.fenced or not self._still_ours()):
                return
            settings = self.settings
            keep = Policy(settings.keep_last, settings.keep_hourly, settings.keep_daily, settings.max_bytes)
            Service(
                session=self.claim.session,
                incarnation=self.claim.incarnation,
                kernel=self.claim.process,
                ended=ended,
                run=settings.run,
                store=settings.store,
                persist_seconds=0.0 if self._persist_now else self._timing.persist_seconds,
                policy=keep,
                rejected=frozenset(stem for origin, stem in self.damaged if origin == "store"),
            ).save(self.spool.folder)

    def _look_after(self) -> None:
        while not self._stop.wait(MONITOR_SECONDS):
            try:
                self._look_once()
            except Exception:  # a thread's top: it must not end
                log.exception("looking after the daemon")

    def _look_once(self) -> None:
        step = LastStep(self.claim.session, self.last_step_at)
        if step.at and step != self._noted_step:
            step.save(self.spool.folder)
            self._noted_step = step
        if self.fenced or not self._still_ours():
            return
        now = time.monotonic()
        status = self.status()
        if self._timing.look(status, now):
            self._write_session_file(ended=False)
        if status.unusable != self._unusable:  # what it shares with later snapshots must not be named again
            self._unusable = status.unusable
            self.spool.distrust()
        served = status.session == self.claim.session  # else the daemon ended with the session before
        if self.daemon.ensure() and served:
            report.say_once(
                f"daemon {self.claim.session} {self.daemon.starts}",
                "the daemon had ended and was started again; nothing is lost",
            )
        if status.fenced:
            self._fence(status.fenced)
        if status.error:
            good = report.ago(time.time() - status.written_at) + " ago" if status.written else "never so far"
            report.say_once(
                "store failing",
                f"checkpoints do not reach the store: {status.error}. Last written {good}; it is tried again",
            )
        else:
            report.forget("store failing")
        if status.warning:
            report.say_once("store filling", status.warning)
        else:
            report.forget("store filling")
        self._limits.look(
            self.settings.time_limit_hours,
            self.ask_for_checkpoint,
            self.next_stem(),
            parse_stem(status.confirmed) if status.confirmed else None,
        )


def _wishes(settings: Settings) -> Wishes:
    return Wishes(settings.snapshot_seconds, settings.persist_seconds, settings.overhead_percent / 100)
