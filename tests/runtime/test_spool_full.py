"""A full disk under the spool: the snapshot is given up, what was there stays, room is made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.faults import full_disk, no_room_for_manifests
from helpers.snapshots import contents, snapshot, spooled, stem
from holdfast.runtime.errors import SpoolFull
from holdfast.runtime.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.make_folders()
    return made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of 1 MiB cannot be mounted here: that takes root and CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("after_bytes", [0, 500, 1500, 2500])
def test_the_snapshot_before_is_intact_and_nothing_half_written_is_left(spool: Spool, after_bytes: int) -> None:
    spool.write("run", stem(1), snapshot(contents(1)))
    with full_disk(after_bytes=after_bytes), pytest.raises(SpoolFull) as caught:
        spool.write("run", stem(2), snapshot(contents(2)))
    assert str(spool.folder) in str(caught.value)
    assert spool.stems() == [stem(1)]
    assert spooled(spool, stem(1)) == contents(1)
    assert [path.name for path in spool.objects.iterdir()] == [stem(1).object_name()]


def test_superseded_snapshots_are_dropped_to_make_room(spool: Spool) -> None:
    for sequence in (1, 2, 3, 4):
        spool.write("run", stem(sequence), snapshot(contents(sequence)))
    with full_disk(), pytest.raises(SpoolFull):
        spool.write("run", stem(5), snapshot(contents(5)))
    assert spool.stems() == [stem(4)]
    assert len(list(spool.objects.iterdir())) == 1
    spool.write("run", stem(6), snapshot(contents(6)))
    assert spooled(spool, stem(4)) == contents(4)
    assert spooled(spool, stem(6)) == contents(6)


def test_milestones_and_other_slots_are_not_dropped(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot(contents(1), kind="milestone"))
    spool.write("run", stem(2), snapshot(contents(2), slots=("other",)))
    spool.write("run", stem(3), snapshot(contents(3)))
    with full_disk(), pytest.raises(SpoolFull):
        spool.write("run", stem(4), snapshot(contents(4)))
    assert spool.stems() == [stem(1), stem(2), stem(3)]
    for sequence in (1, 2, 3):
        assert spooled(spool, stem(sequence)) == contents(sequence)


def test_an_object_whose_manifest_found_no_room_does_not_fill_the_disk(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot(contents(1)))
    with no_room_for_manifests(), pytest.raises(SpoolFull):
        spool.write("run", stem(2), snapshot(contents(2)))
    assert spool.stems() == [stem(1)]
    assert [path.name for path in spool.objects.iterdir()] == [stem(1).object_name()]


def test_other_failures_of_the_disk_are_not_called_full(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(descriptor: int, data: memoryview, offset: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("holdfast.runtime.spool_object.write_at", fails)
    with pytest.raises(OSError, match="Input/output"):
        spool.write("run", stem(1), snapshot(contents(1)))
    assert list(spool.objects.iterdir()) == []


def test_a_real_disk_that_fills_up_keeps_the_newest_that_fitted(small_disk: Path) -> None:
    spool = Spool(small_disk / "spool")
    spool.make_folders()
    spool.write("run", stem(1), snapshot(contents(1, nbytes=100_000)))
    spool.write("run", stem(2), snapshot(contents(2, nbytes=100_000)))
    with pytest.raises(SpoolFull):
        spool.write("run", stem(3), snapshot(contents(3, nbytes=200_000)))
    assert spool.stems() == [stem(2)]
    assert spooled(spool, stem(2)) == contents(2, nbytes=100_000)
    spool.write("run", stem(4), snapshot(contents(4, nbytes=200_000)))
    assert spooled(spool, stem(4)) == contents(4, nbytes=200_000)


def test_a_milestone_is_written_once_more_when_there_is_room(small_disk: Path) -> None:
    spool = Spool(small_disk / "spool")
    spool.make_folders()
    for sequence in (1, 2):
        spool.write("run", stem(sequence), snapshot(contents(sequence, nbytes=100_000)))
    made = snapshot(contents(3, nbytes=200_000), kind="milestone")
    spool.write("run", stem(3), made)
    assert spool.stems() == [stem(2), stem(3)]
    assert spooled(spool, stem(3)) == contents(3, nbytes=200_000)
    assert all(source.buffer is None for source in made.sources)
