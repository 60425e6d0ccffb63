"""Reading ahead: the newest checkpoint is in the page cache before anybody reads it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from helpers.snapshots import contents, spooled, stem, uploaded
from holdfast.runtime.read_ahead import ReadAhead
from holdfast.runtime.restore import Checkpoint, open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.upload import Uploader

NBYTES = 5 << 20
PAGE = 4096


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    uploaded(Uploader(FolderStore(tmp_path / "store"), spool), stem(1), contents(1, nbytes=NBYTES))
    return spool


def in_cache(path: Path) -> bool:
    """Whether the whole file is in the page cache."""
    buffer = bytearray(PAGE)
    with path.open("rb", buffering=0) as file:
        for begin in range(0, path.stat().st_size, PAGE):
            try:
                os.preadv(file.fileno(), [buffer], begin, os.RWF_NOWAIT)
            except BlockingIOError:
                return False
    return True


def put_out_of_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("origin", ["spool", "store"])
def test_its_objects_come_into_the_page_cache(spool: Spool, tmp_path: Path, origin: str) -> None:
    shelf = Shelf("spool", spool) if origin == "spool" else Shelf("store", FolderStore(tmp_path / "store"))
    checkpoint = open_checkpoint(shelf, stem(1))[0]
    (path,) = (tmp_path / origin).rglob("*.safetensors")
    put_out_of_cache(path)
    if in_cache(path):
        pytest.skip("this file system keeps its files in memory")
    reading = ReadAhead(checkpoint)
    while not in_cache(path):
        pass
    reading.close()


class Waiting(FolderStore):
    """Waits within the first reading ahead until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[int] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def read_ahead(self, name: str, offset: int, size: int) -> None:
        self.asked.append(offset)
        self.begun.set()
        self.go_on.wait()


def test_it_can_be_stopped_midway(tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.runtime.read_ahead.STRETCH_BYTES", 1 << 20)
    store = Waiting(spool.folder)
    manifest = open_checkpoint(Shelf("spool", spool), stem(1))[0].manifest
    reading = ReadAhead(Checkpoint(manifest, Shelf("spool", store)))
    store.begun.wait()
    reading.close()  # which does not wait: a mount may hang
    store.go_on.set()
    reading._thread.join()
    assert store.asked == [0]


def test_what_is_larger_than_half_of_the_free_memory_is_left_alone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.runtime.read_ahead.SHARE_OF_MEMORY", 1e-9)
    store = Waiting(spool.folder)
    manifest = open_checkpoint(Shelf("spool", spool), stem(1))[0].manifest
    reading = ReadAhead(Checkpoint(manifest, Shelf("spool", store)))
    reading._thread.join()
    assert store.asked == []


def test_objects_that_are_gone_are_nothing_to_speak_of(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = open_checkpoint(Shelf("spool", spool), stem(1))[0]
    next(spool.objects.iterdir()).unlink()
    reading = ReadAhead(checkpoint)
    reading._thread.join()
    assert not caplog.records


def test_without_a_checkpoint_there_is_nothing_to_do_or_to_stop() -> None:
    ReadAhead(None).close()


def test_reading_is_the_same_with_it(spool: Spool) -> None:
    reading = ReadAhead(open_checkpoint(Shelf("spool", spool), stem(1))[0])
    assert spooled(spool, stem(1)) == contents(1, nbytes=NBYTES)
    reading.close()
