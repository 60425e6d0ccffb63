"""Stores with many small checkpoints, made without training and without waiting for disks."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

from holdfast.runtime import claims
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.names import Stem, object_path
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.snapshot import Snapshot, TensorSource
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore, open_store
from holdfast.runtime.upload import Uploader

SESSION: Final = "beefbeef"
TENSORS: Final = 20
"""Of each checkpoint: as a small model with its optimizer has."""

TENSOR_BYTES: Final = 2_000
SECONDS_APART: Final = 120.0
"""Between two checkpoints: the default of persist_seconds."""


def small_snapshot(seed: int, taken_at: float) -> Snapshot:
    """A snapshot of which every tensor is its own."""

    def source(number: int) -> TensorSource:
        data = random.Random(seed * TENSORS + number).randbytes(TENSOR_BYTES)
        return TensorSource(TensorSpec(f"model/{number}", "U8", (len(data),)), lambda: [memoryview(data)])

    sources = [source(number) for number in range(TENSORS)]
    return Snapshot("scheduled", ("slot-0000",), sources, taken_at, {"slots": []}, {})


def fill(folder: Path, run: str, spool: Path, count: int) -> None:
    """Gives a run ``count`` checkpoints, each with an object of its own, the newest taken now.

    The first is uploaded; the others are its files under their own names.

    Args:
        folder: The store.
        run: The run in it, which is claimed for `SESSION`.
        spool: A folder to make the first one in.
        count: How many.
    """
    store = open_store(str(folder)).under(run)
    claims.make_claim(store, SESSION, "bench", ProcessId(1, 1.0), time.time())
    first, now = Stem(1, 1, SESSION), time.time()
    place = Spool(spool)
    place.make_folders()
    uploader = Uploader(store, place)
    manifest = place.write(run, first, small_snapshot(0, now))
    written = uploader.upload(manifest, 1, lambda *_: None).manifest
    top = FolderStore(folder).folder / run
    text = (top / first.manifest_path).read_text(encoding="utf-8")
    data = (top / object_path(first.object_name())).read_bytes()
    (top / first.manifest_path).write_text(_taken(text, written.taken_at, now, count - 1), encoding="utf-8")
    for sequence in range(2, count + 1):
        stem = Stem(1, sequence, SESSION)
        path = top / stem.manifest_path
        path.parent.mkdir(parents=True, exist_ok=True)
        own = text.replace(str(first), str(stem))
        path.write_text(_taken(own, written.taken_at, now, count - sequence), encoding="utf-8")
        path = top / object_path(stem.object_name())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _taken(text: str, before: float, now: float, back: int) -> str:
    return text.replace(f'"taken_at":{before!r}', f'"taken_at":{now - back * SECONDS_APART!r}', 1)
