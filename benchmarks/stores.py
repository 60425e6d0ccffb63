"""How fast checkpoints go into a store and come back, beside a plain copy of as many bytes.

For each size of state, alternating in one run. In a folder: a checkpoint is uploaded from the spool, and a file
of the same size is copied into the same place and synced; the checkpoint is read back and verified, and that
file is copied back. In GCS over HTTP, on a server of the tests in another process: beside the client's own
``upload_from_filename`` and ``transfer_manager``, and what downloads with them. Then: what it costs to find the
newest of 10,000 checkpoints, and the memory of a daemon that uploads a large state.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from holdfast.runtime import claims
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.manifest import TensorRecord
from holdfast.runtime.names import Stem
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.restore import newest, open_checkpoint
from holdfast.runtime.retention import Policy
from holdfast.runtime.service import Service
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.snapshot import Snapshot, TensorSource
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore, open_store
from holdfast.runtime.stores.base import Listing, Store
from holdfast.runtime.upload import Uploader

SESSION: Final = "beefbeef"
TENSOR_MB: Final = 32
"""Size of one tensor: as the kernels of a large dense model."""

MANY: Final = 10_000
TESTS: Final = Path(__file__).resolve().parents[1] / "tests"


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
            return TensorSource(spec, lambda: [memoryview(data)])

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


@contextmanager
def gcs_server() -> Iterator[str]:
    """The tests' server for GCS in a process of its own; yields its address."""
    code = "\n".join(
        [
            "import sys; from helpers.gcs_server import GcsServer",
            "with GcsServer('bench') as server: print(server.url, flush=True); sys.stdin.read()",
        ]
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def gcs_rounds(folder: Path, megabytes: int, rounds: int, step: Callable[[], object]) -> dict[str, Timing]:
    """Save and restore beside the client's own ways."""
    from google.cloud import storage
    from google.cloud.storage import transfer_manager

    with gcs_server() as address:
        os.environ["STORAGE_EMULATOR_HOST"] = address
        bench = Bench(open_store("gs://bench/team").under("run"), folder, megabytes)
        bucket = storage.Client().bucket("bench")
        found = {name: Timing() for name in ("save", "save many", "restore", "restore many")}
        for number in range(rounds):
            stem = bench.snapshot()
            source = bench.spool.objects / stem.object_name()
            parts = _parts(source, folder, 3)

            def one() -> None:
                with timed(found["save"].peer):
                    bucket.blob(f"one-{number}").upload_from_filename(source)  # noqa: B023

            def many() -> None:
                with timed(found["save many"].peer):
                    pairs = [(str(part), bucket.blob(f"{part.name}-{number}")) for part in parts]  # noqa: B023
                    failed = transfer_manager.upload_many(pairs, worker_type=transfer_manager.THREAD)
                    assert not any(isinstance(one, Exception) for one in failed), failed

            def ours() -> None:
                with timed(found["save"].ours):
                    bench.save(stem)  # noqa: B023
                found["save many"].ours.append(found["save"].ours[-1])

            acts = [one, many, ours]
            for act in acts[number % 3 :] + acts[: number % 3]:
                act()
            with timed(found["restore"].ours):
                bench.restore(stem)
            found["restore many"].ours.append(found["restore"].ours[-1])
            with timed(found["restore"].peer):
                bucket.blob(f"one-{number}").download_to_filename(folder / "back")
            with timed(found["restore many"].peer):
                transfer_manager.download_chunks_concurrently(
                    bucket.get_blob(f"one-{number}"), folder / "back", worker_type=transfer_manager.THREAD
                )
            bench.spool.discard(stem)
            bucket.delete_blobs(list(bucket.list_blobs()), on_error=lambda _: None)  # it keeps all in memory
            claims.make_claim(bench.store, SESSION, "bench", ProcessId.own(), time.time())
            step()
        return found


def _parts(source: Path, folder: Path, count: int) -> list[Path]:
    """A file, divided into several."""
    size, parts = source.stat().st_size, []
    with source.open("rb") as file:
        for number in range(count):
            path = folder / f"part-{number}"
            with path.open("wb") as part:
                left = size // count + 1
                while left and (chunk := file.read(min(left, 8 << 20))):
                    part.write(chunk)
                    left -= len(chunk)
            parts.append(path)
    return parts


def start_up(folder: Path) -> tuple[float, int]:
    """Seconds and listings that the newest of 10,000 checkpoints costs."""
    store = open_store(str(folder / "many"))
    bench = Bench(store, folder, TENSOR_MB)
    bench.sequence = MANY - 1
    last = bench.snapshot()
    bench.save(last)
    value = json.loads((folder / "many" / last.manifest_path).read_bytes())
    for sequence in tqdm(range(1, MANY), unit="checkpoint", leave=False):
        stem = Stem(1, sequence, SESSION)
        path = folder / "many" / stem.manifest_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value | {"checkpoint": str(stem)}), encoding="utf-8")
    listings = 0

    class Counting(FolderStore):
        def list(self, prefix: str) -> Listing:
            nonlocal listings
            listings += 1
            return super().list(prefix)

    seconds: list[float] = []
    with timed(seconds):
        found = newest([Shelf("store", Counting(folder / "many"))], set(), print)
    assert found is not None
    assert found[0].stem == last
    return seconds[0], listings


def daemon_memory(folder: Path, url: str, megabytes: int) -> float:
    """The most memory in MB that a daemon has resident while it uploads a state."""
    store = open_store(url).under("memory")
    bench = Bench(store, folder, megabytes)
    bench.snapshot()
    Service(
        session=SESSION,
        incarnation=1,
        kernel=ProcessId(1, 1.0),
        ended=True,
        run="memory",
        store=url,
        persist_seconds=1.0,
        policy=Policy(),
        rejected=frozenset(),
    ).save(bench.spool.folder)
    command = [sys.executable, "-m", "holdfast.runtime.daemon", str(bench.spool.folder)]
    with (folder / "daemon.log").open("wb") as log:
        daemon = psutil.Popen(command, stderr=log)
    most = 0
    while daemon.poll() is None:
        with contextlib.suppress(psutil.Error):
            most = max(most, daemon.memory_info().rss)
        time.sleep(0.05)
    assert open_checkpoint(Shelf("store", store), Stem(1, 1, SESSION))
    return most / 1e6


def main(
    sizes: Annotated[
        list[int] | None, typer.Option("--mb", help="Sizes of the state in MB; GCS with the first.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each size.")] = 5,
    folder: Annotated[Path | None, typer.Option(help="Where to write; by default a temporary folder.")] = None,
) -> None:
    """Measures stores beside plain copies and beside the client's own ways."""
    sizes = sizes or [300, 2048]
    console = Console(width=110)
    table = Table(
        "store and peer", "state MB", "save MB/s", "of peer", "restore MB/s", "of peer", title="Throughput"
    )

    def row(name: str, megabytes: int, save: Timing, restore: Timing) -> None:
        def rate(timing: Timing) -> str:
            return f"{megabytes / statistics.median(timing.ours):.0f}"

        table.add_row(
            name, str(megabytes), rate(save), f"{save.ratio:.2f}", rate(restore), f"{restore.ratio:.2f}"
        )

    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        tqdm(total=(len(sizes) + 1) * rounds, unit="round") as bar,
    ):
        place = Path(name)
        for megabytes in sizes:
            save, restore = folder_rounds(place, megabytes, rounds, bar.update)
            row("folder / plain copy", megabytes, save, restore)
        for megabytes in sizes[:1]:
            found = gcs_rounds(place, megabytes, rounds, bar.update)
            row("GCS / upload_from_filename, download_to_filename", megabytes, found["save"], found["restore"])
            row("GCS / transfer_manager", megabytes, found["save many"], found["restore many"])
        bar.close()
        console.print(table)
        seconds, listings = start_up(place)
        console.print(f"newest of {MANY} checkpoints in a folder: {seconds * 1000:.0f} ms, {listings} listings")
        for url in (str(place / "resident"), "gs://bench/resident"):
            with gcs_server() as address:
                os.environ["STORAGE_EMULATOR_HOST"] = address
                most = daemon_memory(place, url, max(sizes))
                console.print(
                    f"daemon, upload of {max(sizes)} MB to {url.partition(':')[0][:2]}: {most:.0f} MB"
                )


if __name__ == "__main__":
    typer.run(main)
