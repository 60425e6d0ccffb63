"""Snapshots and checkpoints made of plain bytes, without TensorFlow."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.runtime import claims
from holdfast.runtime.claims import Claim
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.manifest import Kind, Manifest, TensorRecord
from holdfast.runtime.names import Stem, object_path
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.restore import Checkpoint, open_checkpoint
from holdfast.runtime.retention import Deletions, Policy
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.snapshot import Snapshot, TensorSource
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores.base import Content, Store
from holdfast.runtime.upkeep import Upkeep
from holdfast.runtime.upload import Uploader

Contents = dict[str, bytes]
"""The bytes of each tensor, by its name."""

SESSION = "aaaaaaaa"
SLOT = "slot-0000"
TAKEN_AT = 1_700_000_000.25
KEEP_TWO = Policy(last=2, hourly=0, daily=0)


def stem(sequence: int, incarnation: int = 1, session: str = SESSION) -> Stem:
    """A checkpoint's name."""
    return Stem(incarnation, sequence, session)


def contents(seed: int, *, count: int = 3, nbytes: int = 1000, prefix: str = "") -> Contents:
    """Tensors of ``nbytes`` bytes each, the same for the same seed."""
    source = random.Random(seed)
    return {f"{prefix}tensor-{number}": source.randbytes(nbytes) for number in range(count)}


def snapshot(
    tensors: Mapping[str, bytes],
    *,
    kind: Kind = "scheduled",
    slots: tuple[str, ...] = (SLOT,),
    journal: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
) -> Snapshot:
    """A snapshot that holds ``tensors``."""

    def source(name: str, data: bytes) -> TensorSource:
        return TensorSource(TensorSpec(name, "U8", (len(data),)), lambda: [memoryview(data)])

    sources = [source(name, data) for name, data in tensors.items()]
    return Snapshot(kind, slots, sources, TAKEN_AT, journal or {"slots": []}, state or {})


def uploaded(uploader: Uploader, name: Stem, tensors: Mapping[str, bytes], **rest: Any) -> Manifest:
    """Writes a snapshot into the uploader's spool and carries it to its store."""
    ensure_claimed(uploader.store, name.incarnation)
    committed = uploader.spool.write("run", name, snapshot(tensors, **rest))
    return uploader.upload(committed, name.incarnation, lambda done, total: None).manifest


def ensure_claimed(store: Store, incarnation: int = 1, session: str = SESSION) -> None:
    """Claims a run as the session that writes to it has done, unless it is claimed already."""
    if claims.highest(store)[0] < incarnation:
        claim = Claim(incarnation, session, "machine", ProcessId(1, 1.0), TAKEN_AT)
        store.create(claim.name, Content.of(to_json(claim.to_dict())))


def read_back(checkpoint: Checkpoint) -> Contents:
    """All tensors of a checkpoint, read and verified."""

    def allocate(record: TensorRecord) -> tuple[bytearray, memoryview]:
        memory = bytearray(record.spec.nbytes)
        return memory, memoryview(memory)

    found = checkpoint.fetch(checkpoint.manifest.tensors, allocate)
    return {name: bytes(memory) for name, memory in found.items()}


def stored(store: Store, name: Stem) -> Contents:
    """All tensors of the checkpoint of that name in a store."""
    return read_back(open_checkpoint(Shelf("store", store), name)[0])


def spooled(spool: Spool, name: Stem) -> Contents:
    """All tensors of the snapshot of that name in a spool."""
    return read_back(open_checkpoint(Shelf("spool", spool), name)[0])


def objects_of(store: Store) -> dict[str, int]:
    """The objects in a run's folder in a store, with their sizes."""
    return Shelf("store", store).objects()


def manifests_of(store: Store) -> set[str]:
    """The manifests in a run's folder in a store."""
    return {found.manifest_name for found, _ in Shelf("store", store).newest_first()}


def object_file(folder: Path, name: str) -> Path:
    """The file of an object in a run's folder."""
    return folder / object_path(name)


def tidy(uploader: Uploader, policy: Policy = KEEP_TWO, incarnation: int = 1) -> Deletions:
    """Applies retention to the uploader's run."""
    upkeep = Upkeep(uploader.store, uploader.catalogue, policy)
    return upkeep.run(incarnation, lambda: uploader.ensure_claim(incarnation))
