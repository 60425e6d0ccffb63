"""Carries the snapshots of one session from the spool into the store, and tells how far it is."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from holdfast.runtime.confirming import Confirmations
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import (
    CheckpointDamaged,
    FormatInvalid,
    HoldfastError,
    ObjectNotFound,
    StoreError,
    StoreUnavailable,
)
from holdfast.runtime.names import Stem, object_path, parse_stem
from holdfast.runtime.schedule import Waiting, next_to_persist, superseded
from holdfast.runtime.service import Service
from holdfast.runtime.spool import KEEP_NEWEST, Spool
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores.base import Store
from holdfast.runtime.upkeep import Upkeep
from holdfast.runtime.upload import Uploader, Written

STATUS_SECONDS: Final = 0.5
"""Time between two words about an upload's progress."""

log = logging.getLogger("holdfast.daemon")


class Carrier:
    """Serves one session of one run.

    Args:
        spool: Where its snapshots are.
        store: The run's folder in the store.
        status: What the daemon tells the session; kept true here.
        session: Name of the session.

    Attributes:
        damage: What the local disk did to the last snapshot; empty for nothing.
    """

    def __init__(self, spool: Spool, store: Store, status: DaemonStatus, session: str) -> None:
        self.spool, self.store, self.status, self.session = spool, store, status, session
        self.damage = ""
        self._uploader = Uploader(store, spool)
        self._catalogue = self._uploader.catalogue
        self._confirmations = Confirmations(store)
        self._upkeep = Upkeep(store, self._catalogue)
        self._unusable: set[Stem] = set()
        self._last_persist = time.monotonic()  # when the last upload began that came through
        self._broken_off = False
        self._told = 0.0

    def learn(self) -> None:
        """Finds out what the store has."""
        self._catalogue.learn()
        latest = self._catalogue.latest()
        if latest is not None:
            self._note_written(latest.stem, latest.taken_at)
            self._confirm(latest.stem, (*map(object_path, latest.objects), latest.stem.manifest_path))

    def carry(self, service: Service, *, draining: bool, wake: threading.Event) -> None:
        """Uploads what is due, keeps the store in bounds, and looks for what has been confirmed.

        Raises:
            ClaimLost: A newer session has claimed the run.
            StoreError: The store failed.
        """
        self._catalogue.distrust(service.rejected)
        while (snapshot := self._next(service, draining=draining)) is not None:
            reach("daemon.noticed")
            if not self._upload(service, snapshot.stem):
                break  # until the next turn
            wake.clear()
        self._discard_uploaded()
        if self._confirmations.look(time.monotonic()) or self.status.unconfirmed != self._confirmations.reason:
            self._note_confirmed()

    @property
    def failing(self) -> bool:
        """Whether the last upload did not come through, and there is still something to upload."""
        return self._broken_off and bool(self._waiting())

    def left_to_do(self) -> bool:
        """Whether there is anything that a session's end must wait for."""
        waiting = self._waiting()
        if {one.stem for one in waiting} - superseded(waiting):
            return True
        return self._confirmations.pending and not self._confirmations.reason

    def _waiting(self) -> list[Waiting]:
        known = self._catalogue
        found = [
            one for one in self.spool.waiting() if not known.has(one.stem) and one.stem not in self._unusable
        ]
        newest = max(known.read, default=None)
        if newest is None:
            return found
        # A scheduled snapshot older than what the store has of its slot brings nothing.
        covered = set(known.read[newest].slots)
        return [
            one
            for one in found
            if one.stem > newest or one.kind == "milestone" or not covered.issuperset(one.slots)
        ]

    def _next(self, service: Service, *, draining: bool) -> Waiting | None:
        now = time.monotonic()
        return next_to_persist(
            self._waiting(), now, self._last_persist, service.persist_seconds, draining=draining
        )

    def _upload(self, service: Service, stem: Stem) -> bool:
        """Uploads one snapshot; False where it could not be read just now."""
        before, began = self._uploader.bytes_written, time.monotonic()
        self._broken_off = True
        try:
            snapshot = self.spool.manifest(stem)
        except ObjectNotFound as error:
            log.info("superseded meanwhile: %s", error)
            return False
        except FormatInvalid as error:
            self._give_up(stem, error)
            return True
        try:
            self.status.uploading, self.status.uploading_bytes = str(stem), 0
            self.status.uploading_total, self.status.uploading_since = snapshot.nbytes, time.time()
            self.status.save(self.spool.folder)
            written = self._uploader.upload(snapshot, service.incarnation, self._progress)
        except ObjectNotFound as error:
            log.info("not to be read just now: %s", error)
            missing = [one for one in snapshot.tensors if not (self.spool.objects / one.object).exists()]
            if missing and (self.spool.manifests / stem.manifest_name).exists():
                self._give_up(stem, error)  # its object is gone for good
            self.status.uploading = ""
            self.status.save(self.spool.folder)
            return False
        except CheckpointDamaged as error:
            self._give_up(stem, error)
            return True
        except FormatInvalid as error:
            raise StoreUnavailable(f"The store gives back other than it was given: {error.what}") from None
        finally:
            self.status.uploading = ""
        self.damage = ""
        self._last_persist, self._broken_off = began, False
        self.status.uploaded_from, self.status.uploaded_to = self.status.uploading_since, time.time()
        self.status.bytes_written = self._uploader.bytes_written
        self._note_written(stem, time.time())
        self._confirm(stem, written.names, written)
        log.info("checkpoint %s written", stem)
        self._keep_in_bounds(service, self._uploader.bytes_written - before)
        return True

    def _give_up(self, stem: Stem, error: HoldfastError) -> None:
        """Passes a snapshot over that the local disk has damaged."""
        log.error("not uploaded: %s", error)
        self._unusable.add(stem)
        self._broken_off = False
        self.status.unusable = str(max(self._unusable))
        self.damage = f"a snapshot was damaged on the local disk before its upload: {error}"

    def _keep_in_bounds(self, service: Service, checkpoint_bytes: int) -> None:
        upkeep, incarnation = self._upkeep, service.incarnation
        upkeep.policy = service.policy
        try:
            deletions = upkeep.run(incarnation, lambda: self._uploader.ensure_claim(incarnation))
        except StoreError as error:  # the checkpoint itself is written
            log.warning("retention: %s", error)
            self.status.warning = f"older checkpoints cannot be deleted: {error}"
            self.status.save(self.spool.folder)
            return
        self._confirmations.forget(deletions.manifests, map(object_path, deletions.objects))
        upkeep.look_at_room(checkpoint_bytes, deletions)
        self.status.warning = upkeep.warning
        self.status.space_used = deletions.bytes_kept
        self.status.space_free = upkeep.quota.free if upkeep.quota else -1
        self.status.save(self.spool.folder)

    def _progress(self, done: int, total: int) -> None:
        self.status.uploading_bytes, self.status.uploading_total = done, total
        if (now := time.monotonic()) - self._told >= STATUS_SECONDS:
            self._told = now
            self.status.save(self.spool.folder)

    def _note_written(self, stem: Stem, at: float) -> None:
        if not self.status.written or parse_stem(self.status.written) <= stem:
            self.status.written, self.status.written_at = str(stem), at
        self.status.save(self.spool.folder)

    def _confirm(self, stem: Stem, names: tuple[str, ...], written: Written | None = None) -> None:
        tensors = written.manifest.tensors if written else ()
        needed = {name for record in tensors for name, _, _ in record.places}
        self._confirmations.add(stem, names, map(object_path, needed))
        self._confirmations.look(time.monotonic())
        self._note_confirmed()

    def _note_confirmed(self) -> None:
        newest = self._confirmations.confirmed
        if newest is not None and self.status.confirmed != str(newest):
            self.status.confirmed, self.status.confirmed_at = str(newest), time.time()
            stored = self._catalogue.read.get(newest)
            self.status.confirmed_taken_at = stored.taken_at if stored is not None else 0.0
        self.status.unconfirmed = self._confirmations.reason
        self.status.save(self.spool.folder)

    def _discard_uploaded(self) -> None:
        """Frees the spool of what the store has, but for the newest."""
        for stem in self.spool.stems()[:-KEEP_NEWEST]:
            if self._catalogue.has(stem):
                self.spool.discard(stem)
