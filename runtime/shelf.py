"""A shelf: a place where checkpoints lie, the spool or a run's folder in the store."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.names import MANIFESTS, OBJECTS, Stem, object_path, parse_object_name, parse_stem
from holdfast.runtime.stores.base import Store

Origin = Literal["spool", "store"]
DEPTH: Final = 2
"""Folders below ``manifests`` and ``objects`` in a store: incarnation, then group. The spool is flat."""

_FOLDER: Final = re.compile(r"\d{3,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where checkpoints lie."""

    origin: Origin
    store: Store

    def manifest_path(self, stem: Stem) -> str:
        """The name of a checkpoint's manifest here."""
        return f"{MANIFESTS}/{stem.manifest_name}" if self.origin == "spool" else stem.manifest_path

    def object_path(self, name: str) -> str:
        """The name of an object here."""
        return f"{OBJECTS}/{name}" if self.origin == "spool" else object_path(name)

    def newest_first(self) -> Iterator[tuple[Stem, int]]:
        """The checkpoints here by their manifests' names alone, each with its manifest's size.

        Lists a folder only when it is come to, so that the newest of however many costs three listings.
        """
        for folder, sizes in self._folders(MANIFESTS, DEPTH):
            found = []
            for name, size in sizes.items():
                with suppress(FormatInvalid):
                    found.append((parse_stem(name), size, f"{folder}/{name}"))
            for stem, size, path in sorted(found, reverse=True):
                if path == self.manifest_path(stem):  # else not ours: let be
                    yield stem, size

    def stems(self) -> list[Stem]:
        """All the checkpoints here, newest first, by their manifests' names alone."""
        return [stem for stem, _ in self.newest_first()]

    def objects(self) -> dict[str, int]:
        """Every object here with its size in bytes, orphans of broken uploads included."""
        found = {}
        for folder, sizes in self._folders(OBJECTS, DEPTH):
            for name, size in sizes.items():
                with suppress(FormatInvalid):  # not ours: let be
                    parse_object_name(name)
                    if self.object_path(name) == f"{folder}/{name}":
                        found[name] = size
        return found

    def folders(self) -> Iterator[str]:
        """The folders that hold manifests or objects."""
        for top in (MANIFESTS, OBJECTS):
            for folder, _ in self._folders(top, DEPTH):
                yield folder

    def _folders(self, folder: str, depth: int) -> Iterator[tuple[str, dict[str, int]]]:
        listing = self.store.list(folder)
        yield folder, listing.sizes
        if depth:
            numbers = [name for name in listing.folders if _FOLDER.fullmatch(name)]
            for name in sorted(numbers, key=int, reverse=True):
                yield from self._folders(f"{folder}/{name}", depth - 1)


def newest_first(shelves: Sequence[Shelf]) -> Iterator[tuple[Stem, Shelf, int]]:
    """The checkpoints of several shelves; of equals, those of the shelf that was named first.

    Returns:
        For each its name, where it lies, and the size of its manifest.
    """

    def ranked(shelf: Shelf, rank: int) -> Iterator[tuple[Stem, int, Shelf, int]]:
        return ((stem, -rank, shelf, size) for stem, size in shelf.newest_first())

    walks = [ranked(shelf, rank) for rank, shelf in enumerate(shelves)]
    for stem, _, shelf, size in heapq.merge(*walks, key=lambda entry: entry[:2], reverse=True):
        yield stem, shelf, size
