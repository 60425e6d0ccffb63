"""The spool: snapshots are committed whole, their files recycled, the newest kept."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from helpers.faults import flip_bit, tree
from helpers.snapshots import contents, snapshot, spooled, stem
from holdfast.runtime import spool as spool_module
from holdfast.runtime.errors import CheckpointDamaged, FormatInvalid, ObjectNotFound
from holdfast.runtime.files import move
from holdfast.runtime.objects import decode_header
from holdfast.runtime.spool import Spool, spool_folder


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.make_folders()
    return made


def object_of(spool: Spool, sequence: int) -> Path:
    return spool.objects / stem(sequence).object_name()


def test_a_snapshot_is_read_back_with_everything_in_it(spool: Spool) -> None:
    tensors = contents(1)
    made = spool.write("run", stem(1), snapshot(tensors, kind="requested", state={"epoch": 3}))
    assert spool.stems() == [stem(1)]
    assert spool.manifest(stem(1)) == made
    assert (made.run, made.kind, made.state) == ("run", "requested", {"epoch": 3})
    assert spooled(spool, stem(1)) == tensors


def test_a_snapshot_without_tensors_is_a_snapshot(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot({}))
    assert spooled(spool, stem(1)) == {}


def test_tensors_larger_than_a_chunk_are_written_whole(spool: Spool) -> None:
    tensors = contents(1, count=2, nbytes=(4 << 20) + 17)
    spool.write("run", stem(1), snapshot(tensors))
    assert spooled(spool, stem(1)) == tensors


def test_the_object_of_a_snapshot_is_a_proper_safetensors_file(spool: Spool) -> None:
    for sequence, nbytes in ((1, 9000), (2, 8000), (3, 700), (4, 60), (5, 5)):
        spool.write("run", stem(sequence), snapshot(contents(sequence, nbytes=nbytes)))
        data = object_of(spool, sequence).read_bytes()
        assert len(decode_header(data, len(data))) == 3


def test_references_are_dropped_as_they_are_written(spool: Spool) -> None:
    taken = snapshot(contents(1))
    spool.write("run", stem(1), taken)
    assert [source.buffer for source in taken.sources] == [None] * 3


def test_the_newest_two_are_kept_and_their_elders_recycled(spool: Spool) -> None:
    inodes = []
    for sequence in range(1, 8):
        spool.write("run", stem(sequence), snapshot(contents(sequence)))
        inodes.append(object_of(spool, sequence).stat().st_ino)
        newest = [stem(one) for one in range(max(1, sequence - 1), sequence + 1)]
        assert spool.stems()[-2:] == newest
        for kept in newest:
            assert spooled(spool, kept) == contents(kept.sequence)
    assert len(set(inodes)) == 3
    assert len(list(spool.objects.iterdir())) <= 3


def test_a_milestone_is_never_recycled(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot(contents(1), kind="milestone"))
    for sequence in range(2, 8):
        spool.write("run", stem(sequence), snapshot(contents(sequence)))
    assert spooled(spool, stem(1)) == contents(1)


def test_the_newest_of_another_slot_is_never_recycled(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot(contents(1), slots=("generator",)))
    for sequence in range(2, 8):
        spool.write("run", stem(sequence), snapshot(contents(sequence), slots=("discriminator",)))
    assert spooled(spool, stem(1)) == contents(1)


def test_a_shared_lock_prevents_recycling(spool: Spool) -> None:
    for sequence in (1, 2, 3):
        spool.write("run", stem(sequence), snapshot(contents(sequence)))
    with spool.shared(object_of(spool, 1)):
        spool.write("run", stem(4), snapshot(contents(4)))
        spool.discard(stem(1))
        assert spooled(spool, stem(1)) == contents(1)
    inode = object_of(spool, 1).stat().st_ino
    spool.write("run", stem(5), snapshot(contents(5)))
    assert stem(1) not in spool.stems()
    assert object_of(spool, 5).stat().st_ino == inode


def test_a_file_that_is_just_being_taken_reads_as_not_there(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot(contents(1)))
    with object_of(spool, 1).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ObjectNotFound), spool.shared(object_of(spool, 1)):
            pass
    assert spooled(spool, stem(1)) == contents(1)


def test_a_file_that_was_taken_between_opening_and_locking_reads_as_not_there(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.write("run", stem(1), snapshot(contents(1)))
    path, flock = object_of(spool, 1), fcntl.flock

    def taken_first(descriptor: int, operation: int) -> None:
        if path.exists():
            path.rename(path.with_name("recycled"))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", taken_first)
    with pytest.raises(ObjectNotFound), spool.shared(path):
        pass


@pytest.fixture
def fork() -> Iterator[Callable[[], None]]:
    """Forks children that do nothing until the test is over, as a user's worker processes."""
    over, end = os.pipe()
    children = []

    def act() -> None:
        child = os.fork()
        if not child:
            os.close(end)
            os.read(over, 1)
            os._exit(0)
        children.append(child)

    yield act
    os.close(end)
    for child in children:
        os.waitpid(child, 0)
    os.close(over)


def test_a_child_forked_while_a_file_is_taken_does_not_keep_its_lock(
    spool: Spool, fork: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.write("run", stem(1), snapshot(contents(1)))

    def moved(source: Path, target: Path) -> None:
        fork()
        move(source, target)
        taken.append(os.open(target, os.O_RDWR))

    taken: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(spool_module, "move", moved)
        assert spool._take(stem(1), spool.folder / "taken")
    fcntl.flock(taken[0], fcntl.LOCK_SH | fcntl.LOCK_NB)  # the writer would wait here
    os.close(taken[0])


def test_a_child_forked_while_an_object_is_written_or_read_does_not_keep_its_lock(
    spool: Spool, fork: Callable[[], None]
) -> None:
    taken = snapshot({"tensor": b"bytes"})

    def forking() -> Iterable[memoryview]:
        fork()
        return [memoryview(b"bytes")]

    taken.sources[0].buffer = forking
    spool.write("run", stem(1), taken)
    with spool.shared(object_of(spool, 1)):
        fork()
    spool.discard(stem(1))
    assert not list(spool.objects.iterdir())


def test_a_reader_sees_whole_snapshots_or_none_while_a_writer_recycles(spool: Spool) -> None:
    done, seen, torn = threading.Event(), set[int](), list[str]()

    def read() -> None:
        while not done.is_set():
            for one in spool.stems():
                try:
                    if spooled(spool, one) != contents(one.sequence, nbytes=50_000):
                        torn.append(f"{one}: other bytes")
                    seen.add(one.sequence)
                except ObjectNotFound:  # recycled since it was listed
                    continue
                except CheckpointDamaged as error:
                    if "bytes it should" in str(error):
                        torn.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for sequence in range(1, 5000):
        spool.write("run", stem(sequence), snapshot(contents(sequence, nbytes=50_000)))
        if sequence >= 80 and len(seen) >= 3:
            break
    done.set()
    reader.join()
    assert not torn
    assert seen


def test_the_committed_snapshots_are_waiting_oldest_first(spool: Spool) -> None:
    spool.write("run", stem(2), snapshot(contents(2), kind="milestone", slots=("other",)))
    spool.write("run", stem(10), snapshot(contents(10)))
    assert [(one.stem, one.kind, one.slots) for one in spool.waiting()] == [
        (stem(2), "milestone", ("other",)),
        (stem(10), "scheduled", ("slot-0000",)),
    ]
    spool.discard(stem(2))
    assert [one.stem for one in spool.waiting()] == [stem(10)]


def test_a_damaged_manifest_is_passed_over_and_left_alone(spool: Spool) -> None:
    for sequence in (1, 2):
        spool.write("run", stem(sequence), snapshot(contents(sequence)))
    path = spool.manifests / stem(2).manifest_name
    flip_bit(path, 0)
    spool = Spool(spool.folder)  # as another process sees it
    with pytest.raises(FormatInvalid):
        spool.manifest(stem(2))
    assert [one.stem for one in spool.waiting()] == [stem(1)]
    spool.drop_superseded(keep_newest=1)
    assert path.exists()
    assert spooled(spool, stem(1)) == contents(1)


def test_discarding_what_is_not_there_is_no_error(spool: Spool) -> None:
    spool.discard(stem(1))
    with pytest.raises(ObjectNotFound):
        spool.manifest(stem(1))


def test_a_start_clears_what_a_dead_writer_left_half_written(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot(contents(1)))
    before = tree(spool.folder)
    (spool.objects / f".{stem(2).object_name()}.part").write_bytes(b"half")
    (spool.manifests / f".{stem(2).manifest_name}.0123abcd.part").write_bytes(b"half")
    assert spool.stems() == [stem(1)]
    spool.make_folders()
    assert tree(spool.folder) == before


def test_a_start_clears_an_object_whose_manifest_never_came(spool: Spool) -> None:
    spool.write("run", stem(1), snapshot(contents(1)))
    before = tree(spool.folder)
    object_of(spool, 2).write_bytes(b"whole, but its writer died before it committed")
    spool.make_folders()
    assert object_of(spool, 2).exists(), "a live writer may commit it at any moment"
    os.utime(object_of(spool, 2), (0, 0))
    spool.make_folders()
    assert tree(spool.folder) == before


def test_a_spool_is_readable_by_its_user_alone(spool: Spool) -> None:
    assert spool.folder.stat().st_mode & 0o777 == 0o700


def test_every_store_and_run_has_a_spool_of_its_own(tmp_path: Path) -> None:
    folders = {spool_folder(tmp_path, store, run) for store in ("file:///a", "file:///b") for run in ("x", "y")}
    assert len(folders) == 4
    assert all(tmp_path in folder.parents for folder in folders)
