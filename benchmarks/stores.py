"""How fast checkpoints go into a store and come back, beside a plain copy of as many bytes.

For each size of state, alternating in one run: a checkpoint is uploaded from the spool, and a file of the
same size is copied into the same place and synced; the checkpoint is read back and verified, and that file is
copied back. Then: what it costs to find the newest of 10,000 checkpoints, and the memory of a daemon that
uploads a large state.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from holdfast.runtime import claims
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.manifest import TensorRecord
from holdfast.runtime.names import Stem
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.restore import open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Snapshot, Spool, TensorSource
from holdfast.runtime.stores import open_store
from holdfast.runtime.stores.base import Store
from holdfast.runtime.upload import Uploader

SESSION: Final = "beefbeef"
TENSOR_MB: Final = 32
"""Size of one tensor: as the kernels of a large dense model."""

GOAL: Final = 0.8


@dataclass
class Timing:
    """Seconds of each round, of Holdfast and of its peer."""

    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Holdfast's throughput as a share of the peer's: the median of the rounds' ratios."""
        return statistics.median(peer / ours for ours, peer in zip(self.ours, self.peer, strict=True))


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Adds the seconds that the block takes."""
    begin = time.perf_counter()
    yield
    into.append(time.perf_counter() - begin)


class Bench:
    """A run in a store, with the state to be saved in its spool."""

    def __init__(self, store: Store, folder: Path, megabytes: int) -> None:
        self.store, self.folder, self.megabytes = store, folder, megabytes
        self.spool = Spool(folder / f"spool-{megabytes}")
        self.spool.make_folders()
        claims.make_claim(store, SESSION, "bench", ProcessId.own(), time.time())
        self.sequence = 0
        self.blob = random.Random(1).randbytes(TENSOR_MB << 20)

    def snapshot(self) -> Stem:
        """Commits a state to the spool of which every tensor is new."""
        self.sequence += 1
        count = max(1, self.megabytes // TENSOR_MB)

        def source(number: int) -> TensorSource:
            data = bytearray(self.blob)
            data[:8] = (self.sequence << 32 | number).to_bytes(8, "little")
            spec = TensorSpec(f"model/{number}", "F32", (len(data) // 4,))
            return TensorSource(spec, lambda: memoryview(data))

        stem = Stem(1, self.sequence, SESSION)
        sources = [source(number) for number in range(count)]
        self.spool.write("run", stem, Snapshot("requested", ("slot",), sources, time.time(), {"slots": []}))
        return stem

    def save(self, stem: Stem) -> None:
        """Uploads it."""
        uploader = Uploader(self.store, self.spool)
        uploader.upload(self.spool.manifest(stem), 1, lambda *_: None)

    def restore(self, stem: Stem) -> None:
        """Reads it back into fresh memory, and verifies it."""

        def allocate(record: TensorRecord) -> tuple[bytearray, memoryview]:
            memory = bytearray(record.spec.nbytes)
            return memory, memoryview(memory)

        checkpoint, _ = open_checkpoint(Shelf("store", self.store), stem)
        checkpoint.fetch(checkpoint.manifest.tensors, allocate)


def settle(*paths: Path) -> None:
    """Lets the disk come to rest, and the page cache forget what was written."""
    os.sync()
    for path in paths:
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def copy_durably(source: Path, target: Path) -> None:
    """A plain copy of a file, synced."""
    shutil.copyfile(source, target)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def folder_rounds(
    folder: Path, megabytes: int, rounds: int, step: Callable[[], object]
) -> tuple[Timing, Timing]:
    """Save and restore beside a plain copy, with cold caches."""
    bench = Bench(open_store(str(folder / "store")).under(f"run-{megabytes}"), folder, megabytes)
    save, restore = Timing(), Timing()
    for number in range(rounds):
        stem = bench.snapshot()
        source = bench.spool.objects / stem.object_name()
        copied, back = folder / "store" / f"copy-{number}", folder / f"back-{number}"

        def ours() -> None:
            with timed(save.ours):
                bench.save(stem)  # noqa: B023 - called in this round

        def peer() -> None:
            with timed(save.peer):
                copy_durably(source, copied)  # noqa: B023

        for act in (ours, peer) if number % 2 else (peer, ours):
            settle(bench.spool.folder)
            act()
        settle(folder / "store")
        with timed(restore.ours):
            bench.restore(stem)
        with timed(restore.peer):
            shutil.copyfile(copied, back)
        bench.spool.discard(stem)
        for path in (copied, back):
            path.unlink()
        shutil.rmtree(folder / "store" / f"run-{megabytes}" / "objects")
        step()
    return save, restore


def main(
    sizes: Annotated[list[int] | None, typer.Option("--mb", help="Sizes of the state in MB.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each size.")] = 5,
    folder: Annotated[Path | None, typer.Option(help="Where to write; by default a temporary folder.")] = None,
) -> None:
    """Measures the folder store beside plain copies."""
    sizes = sizes or [300, 2048]
    table = Table(
        "store", "state MB", "save MB/s", "of a copy", "restore MB/s", "of a copy", title="Throughput"
    )
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        tqdm(total=len(sizes) * rounds, unit="round") as bar,
    ):
        for megabytes in sizes:
            save, restore = folder_rounds(Path(place), megabytes, rounds, bar.update)
            table.add_row(
                "folder",
                str(megabytes),
                f"{megabytes / statistics.median(save.ours):.0f}",
                f"{save.ratio:.2f}",
                f"{megabytes / statistics.median(restore.ours):.0f}",
                f"{restore.ratio:.2f}",
            )
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
