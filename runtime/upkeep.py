"""Keeping a run's folder in the store in bounds. Only the holder of the claim deletes anything."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.runtime import claims
from holdfast.runtime.catalogue import Catalogue
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import FormatInvalid, FormatUnknown, ObjectNotFound, StoreError
from holdfast.runtime.names import Stem, object_path, parse_object_name, parse_stem
from holdfast.runtime.report import size
from holdfast.runtime.restore import read_manifest
from holdfast.runtime.retention import Deletions, Policy, choose_deletions
from holdfast.runtime.stores.base import Quota, Store

READ_AT_ONCE: Final = 200
"""Manifests of earlier checkpoints read after each upload, until all are known."""

SPARE_CHECKPOINTS: Final = 3
"""A store that has no room for so many more checkpoints is said to be filling up."""

SPARE_SHARE: Final = 0.05
"""So is one of which less than this share is free."""


@dataclass(slots=True)
class Upkeep:
    """Applies retention to a run.

    Attributes:
        store: The run's folder in the store.
        catalogue: What it has.
        policy: What the user wants kept.
        warning: What the user should know of the room that is left; empty for nothing.
        quota: The room that was left when it was last asked for.
    """

    store: Store
    catalogue: Catalogue
    policy: Policy = field(default_factory=Policy)
    warning: str = ""
    quota: Quota | None = None
    _cleared: bool = field(default=False)

    def plan(self) -> Deletions:
        """What retention lets go, of what is known by now."""
        journal = self.catalogue.journal
        retired = [slot.name for slot in journal.slots if slot.retired]
        unsound = self.catalogue.unsound
        read = self.catalogue.read
        stored = [one for stem, one in read.items() if stem not in unsound]
        stored += [replace(read[stem], sound=False) for stem in unsound & read.keys()]
        return choose_deletions(
            stored, self.catalogue.objects, self.policy, needed=journal.stems(), retired=retired
        )

    def run(self, incarnation: int, ensure_claim: Callable[[], None]) -> Deletions:
        """Deletes what retention lets go: manifests first, then objects that none names.

        Args:
            incarnation: Under which this machine may write.
            ensure_claim: Raises `ClaimLost` unless it still may.

        Returns:
            What was deleted.
        """
        complete = self.catalogue.read_some(READ_AT_ONCE)
        deletions = self.plan()
        damaged = self._damaged_and_outlived()
        # While a manifest is unread or cannot be read, no object goes: it may be a mount's whim.
        objects = deletions.objects if complete and not self.catalogue.unreadable else ()
        if deletions.manifests or objects or damaged:
            ensure_claim()
        for stem in (*damaged, *deletions.manifests):
            self.store.delete(stem.manifest_path)
            self.catalogue.forget(stem)
        reach("store.retention")
        for name in objects:
            self.store.delete(object_path(name))
            self.catalogue.objects.pop(name, None)
        if not self._cleared:
            ensure_claim()
            self._clear(incarnation)
            self._cleared = True
        return Deletions(deletions.manifests, tuple(objects), deletions.bytes_kept, deletions.over)

    def _damaged_and_outlived(self) -> list[Stem]:
        """The manifests that are none, such as an upload leaves that broke off, and that nobody will want.

        They go like other checkpoints, once there are so many newer ones that are sound; until then they
        stay for people to look at, and keep every object.
        """
        sound = sorted(self.catalogue.read.keys() - self.catalogue.unsound)
        found = []
        for stem in sorted(self.catalogue.unreadable):
            if len(sound) - bisect.bisect(sound, stem) < self.policy.last:
                continue
            try:
                self.catalogue.note_readable(read_manifest(self.catalogue.shelf, stem))
            except ObjectNotFound:
                self.catalogue.forget(stem)
            except FormatUnknown:  # of a newer Holdfast, which may want it
                continue
            except FormatInvalid:  # still: it was no whim of a mount
                found.append(stem)
        return found

    def _clear(self, incarnation: int) -> None:
        """Removes what uploads left that broke off in their midst, and all but the last claims."""
        claims.prune(self.store, incarnation)
        for folder in self.catalogue.shelf.folders():
            parse: Callable[[str], Stem] = parse_object_name if folder.startswith("objects") else parse_stem
            for name, meant in self.store.leftovers(folder).items():
                with suppress(FormatInvalid):
                    if parse(meant).incarnation <= incarnation:
                        self.store.delete(f"{folder}/{name}")

    def look_at_room(self, checkpoint_bytes: int, deletions: Deletions) -> None:
        """Notes a warning where the store is about to be full.

        Args:
            checkpoint_bytes: What the last checkpoint wrote.
            deletions: What the last round of retention decided.
        """
        self.warning = ""
        if deletions.over:
            self.warning = (
                f"the run takes {size(deletions.bytes_kept)} although max_bytes is "
                f"{size(self.policy.max_bytes)}: the newest checkpoints alone take more, and they are kept"
            )
        with suppress(StoreError):  # it is only for a warning
            self.quota = self.store.quota()
        if self.quota is None:
            return
        low = SPARE_CHECKPOINTS * checkpoint_bytes
        if self.quota.free < low or (self.quota.total and self.quota.free < SPARE_SHARE * self.quota.total):
            total = f" of {size(self.quota.total)}" if self.quota.total else ""
            self.warning = (
                f"the store is filling up: {size(self.quota.free)}{total} free; the last checkpoint took "
                f"{size(checkpoint_bytes)}. Free some space, or keep less: settings max_bytes, keep_last"
            )
