"""Reading a run through: every manifest, and every byte that a checkpoint needs, each once.

Memory stays bounded: tensors are hashed as they pass; only one that has patches is held whole, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from holdfast.runtime import claims
from holdfast.runtime.errors import FormatInvalid, ObjectNotFound
from holdfast.runtime.inventory import Inventory, read_manifests, take_inventory
from holdfast.runtime.manifest import Manifest, TensorRecord
from holdfast.runtime.names import Stem, object_path, parse_object_name
from holdfast.runtime.ranges import Progress, Verdict, check_objects
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores.base import Store

Subject = Literal["claim", "manifest", "object"]
NAMED: Final = 5
"""Tensors of a damaged object that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not what it should be.

    Attributes:
        subject: What kind of file it is.
        name: Its name in the run's folder.
        what: What is wrong.
        checkpoints: The checkpoints that cannot be restored because of it, newest first.
    """

    subject: Subject
    name: str
    what: str
    checkpoints: tuple[Stem, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """Something in a run's folder that harms nobody, and that one may want to know of."""

    name: str
    what: str


@dataclass(slots=True)
class Findings:
    """What a run is like.

    Attributes:
        run: Its name.
        inventory: Its files.
        slots: The slots of each checkpoint whose manifest can be read.
        needs: The objects that each of those needs.
        damages: What is damaged.
        remarks: What else was seen.
        bytes_read: Bytes of manifests and objects that were read.
    """

    run: str
    inventory: Inventory
    slots: dict[Stem, tuple[str, ...]] = field(default_factory=dict)
    needs: dict[Stem, frozenset[str]] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    bytes_read: int = 0

    @property
    def damaged(self) -> set[Stem]:
        """The checkpoints that cannot be restored."""
        return {stem for damage in self.damages for stem in damage.checkpoints}

    @property
    def sound(self) -> list[Stem]:
        """The checkpoints that can be restored, newest first."""
        return sorted(self.slots.keys() - self.damaged, reverse=True)


def verify(top: Store, run: str, progress: Progress, *, before: Findings | None = None) -> Findings:
    """Reads a run through.

    Args:
        top: The whole store.
        run: Name of the run.
        progress: Told how many bytes of objects are read, and of how many.
        before: What an earlier reading found: the checkpoints that were sound are not read again.

    Raises:
        StoreUnavailable: The store failed; nothing is said of the run.
    """
    store = top.under(run)
    shelf = Shelf("store", store)
    found = Findings(run, take_inventory(top, run))
    _read_claims(store, found)
    wanted = dict(found.inventory.manifests)
    if before is not None:
        found.damages += [
            damage
            for damage in before.damages
            if not damage.checkpoints and damage.name.rpartition("/")[2] in found.inventory.objects
        ]
        for stem in [stem for stem in before.sound if wanted.pop(stem, None) is not None]:
            found.slots[stem], found.needs[stem] = before.slots[stem], before.needs[stem]
    records: dict[TensorRecord, list[Stem]] = {}
    for stem, manifest in read_manifests(shelf, wanted):
        found.bytes_read += wanted[stem]
        if isinstance(manifest, FormatInvalid):
            found.damages.append(Damage("manifest", stem.manifest_path, str(manifest), (stem,)))
            continue
        _note(found, manifest, records)
    verdicts, bytes_read = check_objects(shelf, records, found.inventory.objects, progress)
    found.bytes_read += bytes_read
    found.damages += _damages(verdicts, records, _deleted_since(store, found, verdicts, records))
    _remark(found)
    return found


def _note(found: Findings, manifest: Manifest, records: dict[TensorRecord, list[Stem]]) -> None:
    found.slots[manifest.stem] = manifest.slots
    found.needs[manifest.stem] = frozenset(name for one in manifest.tensors for name, _, _ in one.places)
    for record in manifest.tensors:
        records.setdefault(record, []).append(manifest.stem)


def _read_claims(store: Store, found: Findings) -> None:
    for name, size in found.inventory.claims.items():
        path = f"{claims.FOLDER}/{name}"
        try:
            claims.read_claim(store, name, size)
        except FormatInvalid as error:
            found.damages.append(Damage("claim", path, str(error)))
        except ObjectNotFound:  # deleted since, as old ones are
            continue


def _deleted_since(
    store: Store, found: Findings, verdicts: list[Verdict], records: dict[TensorRecord, list[Stem]]
) -> set[Stem]:
    """The checkpoints that lack an object because they have been deleted since they were listed."""
    hit = {stem for verdict in verdicts for record in verdict.records for stem in records[record]}
    gone = set()
    for stem in hit:
        try:
            store.size(stem.manifest_path)
        except ObjectNotFound:
            gone.add(stem)
            del found.slots[stem], found.needs[stem]
    return gone


def _damages(
    verdicts: list[Verdict], records: dict[TensorRecord, list[Stem]], gone: set[Stem]
) -> Iterator[Damage]:
    merged: dict[tuple[str, str, bool], list[TensorRecord]] = {}
    for one in verdicts:
        merged.setdefault((one.object, one.what, one.name_tensors), []).extend(one.records)
    for (name, what, name_tensors), hit in sorted(merged.items()):
        stems = {stem for record in hit for stem in records[record]}
        if stems and stems <= gone:
            continue
        names = sorted({record.spec.name for record in hit}) if name_tensors else []
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        tensors = f" in {', '.join(names[:NAMED])}{more}" if names else ""
        yield Damage("object", object_path(name), what + tensors, tuple(sorted(stems - gone, reverse=True)))


def _remark(found: Findings) -> None:
    inventory = found.inventory
    for path, size in inventory.foreign.items():
        what = "a folder that is not Holdfast's" if size is None else "a file that is not Holdfast's"
        found.remarks.append(Remark(path, what))
    for path, meant in inventory.leftovers.items():
        found.remarks.append(Remark(path, f"left by an upload of {meant} that broke off, or is under way"))
    if any(damage.subject == "manifest" for damage in found.damages):  # what nobody needs is not known then
        return
    needed = frozenset[str]().union(*found.needs.values())
    newest = max(found.needs, default=None)
    for name in sorted(inventory.objects.keys() - needed):
        late = newest is None or parse_object_name(name) >= newest
        what = (
            "its upload is under way or broke off" if late else "no checkpoint needs it; retention deletes it"
        )
        found.remarks.append(Remark(object_path(name), f"an orphan: {what}"))
