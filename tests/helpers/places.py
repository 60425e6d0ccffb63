"""Each kind of store as a place where whole runs live: with its faults, and seen by other processes too."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.drive_mount import drive_mount
from helpers.drive_server import answers, drive_server
from helpers.faults import flip_bit
from helpers.gcs_faults import refuses
from helpers.gcs_server import BUCKET, running
from holdfast.runtime.stores import open_store
from holdfast.runtime.stores.base import Store

OPERATIONS_OF_FUSE = ("getattr", "readdir", "create", "open", "read", "write", "flush", "unlink", "mkdir")


@dataclass(frozen=True, slots=True)
class Place:
    """A store that a test can make fail.

    Attributes:
        url: The store's URL; processes that the test starts from now on find the same store under it.
        fail: From now on nothing works.
        heal: From now on everything works again.
        spoil: Flips a bit of the stored object of that name, somewhere in its midst.
        confirm: Lets what has been written be confirmed.
    """

    url: str
    fail: Callable[[], None]
    heal: Callable[[], None]
    spoil: Callable[[str], None]
    confirm: Callable[[], None] = lambda: None

    @property
    def store(self) -> Store:
        """The run's folder."""
        return open_store(self.url).under("run")


def spoil_file(folder: Path, name: str) -> None:
    """Flips a bit in a file."""
    path = folder / "run" / name
    flip_bit(path, path.stat().st_size // 2)


@contextmanager
def folder_place(tmp_path: Path) -> Iterator[Place]:
    """A local folder; it fails as one does in whose place a file stands."""
    folder, away = tmp_path / "place", tmp_path / "away"

    def fail() -> None:
        folder.rename(away)
        folder.write_bytes(b"no folder")

    def heal() -> None:
        folder.unlink()
        away.rename(folder)

    yield Place(str(folder), fail, heal, lambda name: spoil_file(folder, name))


@contextmanager
def gcs_place(tmp_path: Path) -> Iterator[Place]:
    """A bucket; it fails with 503s."""
    with running() as server:

        def fail() -> None:
            for method in ("GET", "POST", "PUT", "DELETE"):
                server.plan(refuses(503), method, times=10**9)

        def spoil(name: str) -> None:
            stored = next(found for key, found in server.bucket.objects.items() if key.endswith(f"/run/{name}"))
            data = bytearray(stored.data or b"")
            data[len(data) // 2] ^= 0x10
            stored.data = bytes(data)

        yield Place(f"gs://{BUCKET}/team", fail, server.forgive, spoil)


@contextmanager
def drive_place(tmp_path: Path) -> Iterator[Place]:
    """A mounted Drive; it fails with EIO."""
    with drive_mount(tmp_path) as drive:

        def fail() -> None:
            for operation in OPERATIONS_OF_FUSE:
                drive.fail(operation, errno.EIO)

        folder = drive.cache / "MyDrive" / "holdfast"
        yield Place("drive:holdfast", fail, drive.heal, lambda name: spoil_file(folder, name), drive.upload)


@contextmanager
def drive_api_place(tmp_path: Path) -> Iterator[Place]:
    """Drive without a mount; it fails with 503s."""
    with drive_server() as server:

        def spoil(name: str) -> None:
            (file,) = server.named(name.rpartition("/")[2])
            data = bytearray(file.content)
            data[len(data) // 2] ^= 0x10
            file.content = bytes(data)

        yield Place(
            "drive-api:holdfast", lambda: server.fail(".*", *[answers(503)] * 10_000), server.forgive, spoil
        )


PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "folder": folder_place,
    "gcs": gcs_place,
    "drive": drive_place,
    "drive-api": drive_api_place,
}
