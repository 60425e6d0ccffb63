"""Removing from a run what is certainly useless: damaged checkpoints, and objects that no sound one needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from holdfast.runtime.claims import Claim
from holdfast.runtime.holder import ensure_claim
from holdfast.runtime.names import Stem, object_path, parse_object_name
from holdfast.runtime.stores.base import Store
from holdfast.runtime.verification import Findings


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair does, or has done.

    Attributes:
        checkpoints: Damaged checkpoints whose manifests go, newest first.
        spared: Damaged checkpoints that stay, as the only ones of a slot, newest first.
        objects: Objects that no checkpoint needs then.
        claims: Damaged claims that go.
        bytes_freed: Bytes of the objects.
    """

    checkpoints: tuple[Stem, ...]
    spared: tuple[Stem, ...]
    objects: tuple[str, ...]
    claims: tuple[str, ...]
    bytes_freed: int

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.objects or self.claims)


def plan(found: Findings, incarnation: int, *, spare: bool, among: Collection[Stem] | None = None) -> Repair:
    """Decides what goes. Pure.

    Args:
        found: What the run is like.
        incarnation: Damaged claims under it count for nobody.
        spare: Keeps a damaged checkpoint where no sound one has its slots.
        among: Keeps all others; None for no such bound.
    """
    sound = found.sound
    covered = {slot for stem in sound for slot in found.slots[stem]}

    def only_one(stem: Stem) -> bool:
        slots = found.slots.get(stem)  # None: its manifest tells nothing
        return not sound if slots is None else not covered.issuperset(slots)

    damaged = sorted(found.damaged, reverse=True)
    spared = [
        stem for stem in damaged if (spare and only_one(stem)) or (among is not None and stem not in among)
    ]
    gone = [stem for stem in damaged if stem not in spared]
    objects: list[str] = []
    if not any(stem not in found.slots for stem in spared):  # what an unreadable one needs is not known
        objects = _unneeded(found, [*sound, *spared])
    bad_claims = [
        damage.name
        for damage in found.damages
        if damage.subject == "claim" and int(damage.name.split("/")[1].split("-")[0]) < incarnation
    ]
    freed = sum(found.inventory.objects[name] for name in objects)
    return Repair(tuple(gone), tuple(spared), tuple(objects), tuple(bad_claims), freed)


def _unneeded(found: Findings, kept: Iterable[Stem]) -> list[str]:
    """The objects that nobody needs; none that may belong to an upload whose manifest is still to come."""
    newest = max(found.inventory.manifests, default=None)
    needed = frozenset[str]().union(*(found.needs[stem] for stem in kept))
    return [
        name
        for name in sorted(found.inventory.objects.keys() - needed)
        if newest is not None and parse_object_name(name) <= newest
    ]


def carry_out(store: Store, repair: Repair, claim: Claim) -> None:
    """Deletes what a repair is to delete: manifests first.

    Args:
        store: The run's folder in the store.
        repair: What goes.
        claim: This tool's own.

    Raises:
        ClaimLost: A session has claimed the run meanwhile.
    """
    ensure_claim(store, claim)
    for stem in repair.checkpoints:
        store.delete(stem.manifest_path)
    for path in repair.claims:
        store.delete(path)
    for name in repair.objects:
        store.delete(object_path(name))
