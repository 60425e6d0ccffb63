"""From *written* to *confirmed*, for stores that only later tell what is safe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from holdfast.runtime.errors import ObjectNotFound, StoreError
from holdfast.runtime.names import Stem
from holdfast.runtime.stores.base import Store

LOOK_SECONDS: Final = (2.0, 5.0, 10.0, 20.0, 30.0)
"""Waits between looks that find nothing new; the last is repeated."""

CANNOT_TELL: Final = "this store does not tell when what was written to it is safe"


@dataclass(slots=True)
class Confirmations:
    """Checkpoints that are written, and what of them is not yet confirmed.

    Attributes:
        store: The run's folder in the store.
        confirmed: Newest checkpoint of which all is confirmed.
        reason: Why nothing newer is; empty while it may come.
    """

    store: Store
    confirmed: Stem | None = None
    reason: str = ""
    _names: set[str] = field(default_factory=set)
    _needs: dict[Stem, frozenset[str]] = field(default_factory=dict)
    _fruitless: int = 0
    _next_look: float = 0.0

    def add(self, stem: Stem, new: Iterable[str], needed: Iterable[str]) -> None:
        """Takes note of a checkpoint that is written.

        Args:
            stem: Its name.
            new: What was written for it.
            needed: All that it needs, also of earlier ones.
        """
        if self.store.capabilities.confirmed_on_return:
            self.confirmed = stem if self.confirmed is None else max(stem, self.confirmed)
            return
        self._names.update(new)
        self._needs[stem] = frozenset((*new, *needed))
        self._fruitless, self._next_look = 0, 0.0

    def forget(self, stems: Iterable[Stem], objects: Iterable[str]) -> None:
        """Takes note of checkpoints, and of objects by their names in the store, that were deleted."""
        for stem in stems:
            self._needs.pop(stem, None)
            self._names.discard(stem.manifest_path)
        self._names.difference_update(objects)

    @property
    def pending(self) -> bool:
        """Whether anything is still to be confirmed."""
        return bool(self._needs)

    def look(self, now: float) -> bool:
        """Asks the store, if it is time.

        Args:
            now: Time in seconds, of any steady clock.

        Returns:
            Whether a newer checkpoint is confirmed than before.
        """
        if not self._needs or now < self._next_look:
            return False
        found = len(self._names)
        unknown = False
        for name in sorted(self._names):
            try:
                answer = self.store.confirm(name)
            except ObjectNotFound:  # not to be seen yet, or lost
                continue
            except StoreError:
                break
            unknown = unknown or answer == "unknown"
            if answer == "confirmed":
                self._names.discard(name)
        self.reason = CANNOT_TELL if unknown else ""
        safe = [stem for stem, needed in self._needs.items() if not needed & self._names]
        self._fruitless = 0 if len(self._names) < found else self._fruitless + 1
        self._next_look = now + LOOK_SECONDS[min(self._fruitless, len(LOOK_SECONDS) - 1)]
        if not safe:
            return False
        before = self.confirmed
        self.confirmed = max(safe) if before is None else max(*safe, before)
        confirmed = self.confirmed
        # Names that are pending still stay: a later checkpoint may need them too.
        self._needs = {stem: needed for stem, needed in self._needs.items() if stem > confirmed}
        return confirmed != before
