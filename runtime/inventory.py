"""What lies in a run's folder in a store, by names and sizes alone; what is not Holdfast's included."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from holdfast.runtime import claims
from holdfast.runtime.errors import FormatInvalid, ObjectNotFound
from holdfast.runtime.journal import journal_from_dict
from holdfast.runtime.manifest import Manifest
from holdfast.runtime.names import MANIFESTS, OBJECTS, Stem, object_path, parse_stem
from holdfast.runtime.restore import read_manifest
from holdfast.runtime.shelf import DEPTH, Shelf
from holdfast.runtime.stores.base import Store

FOLDERS: Final = (MANIFESTS, OBJECTS, claims.FOLDER)
"""What makes a folder a run. Manifests come first: an object is written before its manifest, so whatever
a listed manifest names is there when objects are listed, unless it was deleted in between."""

READ_AT_ONCE: Final = 64
"""Manifests held in memory at a time while all are read."""

_CLAIM: Final = re.compile(r"\d{8,12}-[0-9a-f]{8}\.json", re.ASCII)


@dataclass(slots=True)
class Inventory:
    """The files of a run.

    Attributes:
        manifests: Size in bytes of each checkpoint's manifest.
        objects: Size in bytes of each object.
        claims: Size in bytes of each claim, by its file name.
        foreign: What has no name that Holdfast gives, by its path: a size in bytes, or None for a folder.
        leftovers: What uploads that broke off left, by its path, and what it was to become.
    """

    manifests: dict[Stem, int] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    foreign: dict[str, int | None] = field(default_factory=dict)
    leftovers: dict[str, str] = field(default_factory=dict)

    @property
    def object_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(self.objects.values())

    def take(self, path: str, size: int) -> None:
        """Adds a file."""
        top, _, name = path.rpartition("/")
        with suppress(FormatInvalid):
            if top == claims.FOLDER and _CLAIM.fullmatch(name):
                self.claims[name] = size
                return
            if path.startswith(f"{MANIFESTS}/") and (stem := parse_stem(name)).manifest_path == path:
                self.manifests[stem] = size
                return
            if path.startswith(f"{OBJECTS}/") and object_path(name) == path:
                self.objects[name] = size
                return
        self.foreign[path] = size


def is_run(folders: frozenset[str]) -> bool:
    """Whether a folder that holds these folders is a run."""
    return bool(folders & {MANIFESTS, claims.FOLDER})


def take_inventory(top: Store, run: str) -> Inventory:
    """Lists all that lies in a run's folder.

    Args:
        top: The whole store.
        run: Name of the run.
    """
    found, store = Inventory(), top.under(run)
    listing = top.list(run)
    for name, size in listing.sizes.items():
        found.take(name, size)
    for name in sorted(listing.folders - set(FOLDERS)):
        found.foreign[name] = None
    for folder in FOLDERS:
        if folder in listing.folders:
            _walk(store, folder, found)
    return found


def _walk(store: Store, folder: str, found: Inventory) -> None:
    listing = store.list(folder)
    for name, size in listing.sizes.items():
        found.take(f"{folder}/{name}", size)
    for name, meant in store.leftovers(folder).items():
        found.leftovers[f"{folder}/{name}"] = meant
    for name in sorted(listing.folders):
        path = f"{folder}/{name}"
        if folder != claims.FOLDER and path.count("/") <= DEPTH and name.isdecimal():
            _walk(store, path, found)
        else:
            found.foreign[path] = None


def read_manifests(
    shelf: Shelf, sizes: Mapping[Stem, int], read: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[Stem, Manifest | FormatInvalid]]:
    """Reads manifests and their journals, newest first, several at a time.

    Args:
        shelf: The run's folder in the store.
        sizes: Which, with their sizes in bytes.
        read: Told how many bytes more have been read.

    Returns:
        For each what it is, or why it is none. One that was deleted since it was listed is passed over.
    """

    def read_one(stem: Stem) -> Manifest | FormatInvalid | None:
        try:
            manifest = read_manifest(shelf, stem, sizes[stem])
            journal_from_dict(manifest.journal)
        except FormatInvalid as error:
            return error
        except ObjectNotFound:
            return None
        return manifest

    threads = 2 * shelf.store.capabilities.parallel
    with ThreadPoolExecutor(threads, thread_name_prefix="holdfast-manifests") as pool:
        order = sorted(sizes, reverse=True)
        for stems in (order[first : first + READ_AT_ONCE] for first in range(0, len(order), READ_AT_ONCE)):
            for stem, found in zip(stems, pool.map(read_one, stems), strict=True):
                read(sizes[stem])
                if found is not None:
                    yield stem, found
