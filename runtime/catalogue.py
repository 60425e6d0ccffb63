"""What a run has in the store, as far as writing to it and keeping it in bounds need to know."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.runtime.errors import FormatInvalid, HoldfastError, ObjectNotFound
from holdfast.runtime.journal import Journal, journal_from_dict
from holdfast.runtime.manifest import Manifest, TensorRecord
from holdfast.runtime.names import Stem
from holdfast.runtime.restore import read_manifest
from holdfast.runtime.retention import Stored
from holdfast.runtime.shelf import Shelf

COMPARED_SLOTS: Final = 16
"""Slots whose newest checkpoint is read at the start, to be built upon: the last ones trained."""


@dataclass(slots=True)
class Catalogue:
    """The checkpoints and objects of a run in the store.

    Manifests are read newest first and only as far as they are needed: of however many checkpoints, an upload
    waits for a few. The others are read little by little, and retention deletes no object before all are.

    Attributes:
        shelf: The run's folder in the store.
        read: Checkpoints whose manifests have been read.
        unread: Those that are only known by name, with the sizes of their manifests.
        unreadable: Those whose manifest is none, or is gone.
        unsound: Those of ``read`` whose objects are not whole, or that a restore found damaged.
        rejected: Those that a restore found damaged.
        objects: Every object's size in bytes.
        newest: For each slot the newest sound manifest, to compare with.
        journal: The journal of the newest checkpoint.
    """

    shelf: Shelf
    read: dict[Stem, Stored] = field(default_factory=dict)
    unread: dict[Stem, int] = field(default_factory=dict)
    unreadable: set[Stem] = field(default_factory=set)
    unsound: set[Stem] = field(default_factory=set)
    rejected: frozenset[Stem] = frozenset()
    objects: dict[str, int] = field(default_factory=dict)
    newest: dict[str, Manifest] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)

    def has(self, stem: Stem) -> bool:
        """Whether a checkpoint is there, as far as sizes tell: one that is broken can be uploaded again."""
        if stem in self.unread:
            return True
        return stem in self.read and (stem not in self.unsound or stem in self.rejected)

    def holds(self, record: TensorRecord) -> bool:
        """Whether every object that a tensor needs is there and long enough."""
        return all(self.objects.get(name, -1) >= end for name, _, end in record.places)

    def learn(self) -> None:
        """Lists what is there, and reads the newest checkpoint of each of the last slots."""
        self.objects = self.shelf.objects()
        self.unread = dict(self.shelf.newest_first())
        while self.unread and not self.newest:
            self._read_one(max(self.unread))
        recent = {slot.newest for slot in self.journal.slots[-COMPARED_SLOTS:] if slot.newest is not None}
        for stem in sorted(recent & self.unread.keys(), reverse=True):
            self._read_one(stem)

    def read_some(self, count: int) -> bool:
        """Reads up to ``count`` manifests more, several at a time.

        Returns:
            Whether all have been read.
        """
        stems = sorted(self.unread, reverse=True)[:count]
        threads = self.shelf.store.capabilities.parallel
        with ThreadPoolExecutor(threads, thread_name_prefix="holdfast-catalogue") as pool:
            for stem, manifest in zip(stems, pool.map(self._manifest, stems), strict=True):
                self._note(stem, manifest)
        return not self.unread

    def add(self, manifest: Manifest, objects: dict[str, int]) -> None:
        """Takes note of a checkpoint that was just written."""
        self.objects.update(objects)
        self.unsound.discard(manifest.stem)
        self.note_readable(manifest)

    def note_readable(self, manifest: Manifest) -> None:
        """Takes note of a manifest that could not be read before."""
        self.unreadable.discard(manifest.stem)
        self._note(manifest.stem, manifest)

    def forget(self, stem: Stem) -> None:
        """Takes note of a checkpoint that was deleted."""
        self.read.pop(stem, None)
        self.unsound.discard(stem)
        self.unreadable.discard(stem)
        self._renew({stem})

    def distrust(self, stems: frozenset[Stem]) -> None:
        """Takes note of checkpoints whose tensors are damaged: nothing is built upon them."""
        self.rejected = stems
        if not stems <= self.unsound:
            self.unsound |= stems
            self._renew(stems)

    def _renew(self, gone: Collection[Stem]) -> None:
        """Lets nothing be compared with checkpoints that are gone, but with the next older sound ones."""
        for slot in [slot for slot, manifest in self.newest.items() if manifest.stem in gone]:
            del self.newest[slot]
            for stem in sorted(self.read.keys() - self.unsound, reverse=True):
                if slot in self.read[stem].slots and (manifest := self._manifest(stem)):
                    self.newest[slot] = replace(manifest, journal={}, state={})
                    break

    def latest(self) -> Stored | None:
        """The newest checkpoint that is sound."""
        sound = self.read.keys() - self.unsound
        return self.read[max(sound)] if sound else None

    def _read_one(self, stem: Stem) -> None:
        self._note(stem, self._manifest(stem))

    def _manifest(self, stem: Stem) -> Manifest | None:
        with suppress(FormatInvalid, ObjectNotFound):
            return read_manifest(self.shelf, stem, self.unread.get(stem))
        return None

    def _note(self, stem: Stem, manifest: Manifest | None) -> None:
        self.unread.pop(stem, None)
        if manifest is None:
            self.unreadable.add(stem)
            return
        needed: dict[str, dict[tuple[int, int], None]] = {}
        for record in manifest.tensors:
            for name, count, end in record.places:
                needed.setdefault(name, {})[end, count] = None  # tensors of the same bytes share a place
        sums = {name: sum(count for _, count in places) for name, places in needed.items()}
        self.read[stem] = Stored(stem, manifest.kind, manifest.slots, manifest.taken_at, sums)
        if stem in self.unsound or not all(map(self.holds, manifest.tensors)):
            self.unsound.add(stem)
            return
        bare = replace(manifest, journal={}, state={})
        for slot in manifest.slots:
            if slot not in self.newest or self.newest[slot].stem < stem:
                self.newest[slot] = bare
        if len(self.newest) > COMPARED_SLOTS:
            del self.newest[min(self.newest, key=lambda slot: self.newest[slot].stem)]
        if stem == max(self.read):
            with suppress(HoldfastError):
                self.journal = journal_from_dict(manifest.journal)
