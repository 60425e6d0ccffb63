"""Which checkpoints a store keeps, and which objects go with those that leave. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.runtime.manifest import Kind, Stem

KEEP_LAST: Final = 3
"""Checkpoints kept of each slot beside the milestones: the newest, and two to fall back on."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint in the store, as far as retention needs to know it."""

    stem: Stem
    kind: Kind
    slots: tuple[str, ...]
    objects: frozenset[str]


@dataclass(frozen=True, slots=True)
class Deletions:
    """What to delete, manifests first: an object goes only when no manifest names it."""

    manifests: tuple[Stem, ...]
    objects: tuple[str, ...]


def choose_deletions(
    stored: Iterable[Stored], objects: Mapping[str, Stem], needed: frozenset[Stem], keep_last: int = KEEP_LAST
) -> Deletions:
    """Decides what leaves the store.

    Args:
        stored: Every checkpoint of the run.
        objects: Every object of the run, orphans of broken uploads included, and what wrote it.
        needed: Checkpoints that the journal still names, kept whatever their age.
        keep_last: How many of each slot's newest to keep.
    """
    checkpoints = sorted(stored, key=lambda one: one.stem, reverse=True)
    seen: dict[str, int] = {}
    kept: list[Stored] = []
    gone: list[Stored] = []
    for checkpoint in checkpoints:
        recent = any(seen.get(slot, 0) < keep_last for slot in checkpoint.slots)
        keep = recent or checkpoint.kind == "milestone" or checkpoint.stem in needed
        (kept if keep else gone).append(checkpoint)
        for slot in checkpoint.slots:
            seen[slot] = seen.get(slot, 0) + 1
    live = frozenset[str]().union(*(checkpoint.objects for checkpoint in kept))
    newest = max((checkpoint.stem for checkpoint in kept), default=None)
    # An object as new as every manifest may belong to an upload whose manifest is still to come.
    dead = [name for name, stem in objects.items() if name not in live and newest is not None and stem < newest]
    return Deletions(tuple(one.stem for one in reversed(gone)), tuple(sorted(dead)))
