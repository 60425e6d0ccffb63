"""A store with a run in it that shares tensors and has patches, and what a restore would say of it."""

from __future__ import annotations

import random
from pathlib import Path

from helpers.snapshots import contents, read_back, stem, uploaded
from holdfast.runtime.errors import CheckpointDamaged
from holdfast.runtime.journal import Journal, Place, TrainingCall
from holdfast.runtime.names import Stem
from holdfast.runtime.restore import open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore, Store
from holdfast.runtime.upload import Uploader

TABLE_BYTES = 1 << 20
"""Size of the tensor of which later checkpoints have only what changed."""

LAST = 5
"""Number of the newest checkpoint."""


def fill(top: Store, spool: Path, run: str = "run") -> None:
    """Writes five checkpoints; the second one is a milestone."""
    uploader = Uploader(top.under(run), Spool(spool))
    uploader.spool.make_folders()
    uploader.catalogue.learn()
    table = bytearray(random.Random(7).randbytes(TABLE_BYTES))
    for number in range(1, LAST + 1):
        table[number * 9000] ^= 1
        state = {
            "slot": "slot-0000",
            "call": 0,
            "position": {"phase": "batches", "epoch": number, "executions": 3},
            "logs": {"loss": 0.5},
            "labels": {"model/a/tensor-0": "dense/kernel", "model/b/tensor-0": "dense/bias"},
        }
        uploaded(
            uploader,
            stem(number),
            tensors(number) | {"model/table": bytes(table)},
            kind="milestone" if number == 2 else "scheduled",
            journal=journal(number),
            state=state,
        )


def tensors(number: int) -> dict[str, bytes]:
    """The small tensors of a checkpoint: some change, some do not, one is empty."""
    changing, same = contents(number, prefix="model/a/"), contents(0, prefix="model/b/")
    return {**changing, **same, "model/empty": b"", "data/position": bytes([number])}


def journal(number: int) -> dict[str, object]:
    """The journal of a checkpoint."""
    made = Journal()
    slot = made.add("fingerprint", ("Dense float32[4, 3] {}", "Dropout {}"), Place("cell", 0))
    slot.newest = stem(number)
    slot.record(0, TrainingCall({}, 10, number, milestone=stem(2) if number > 2 else None))
    return made.to_dict()


def lost(top: Path, run: str = "run") -> set[Stem]:
    """The checkpoints that cannot be restored, as a restore sees it."""
    shelf, bad = Shelf("store", FolderStore(top / run)), set()
    for name in shelf.stems():
        try:
            read_back(open_checkpoint(shelf, name)[0])
        except CheckpointDamaged:
            bad.add(name)
    return bad


def silent(done: int, total: int) -> None:
    """No progress."""
