"""What did not change is not written again, and lies safe as long as a snapshot names it."""

from __future__ import annotations

import gc
import os
import random
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from helpers.faults import full_disk, truncate
from helpers.snapshots import Contents, contents, snapshot, spooled, stem
from holdfast.runtime import unchanged
from holdfast.runtime.errors import SpoolFull
from holdfast.runtime.manifest import Kind
from holdfast.runtime.names import Stem
from holdfast.runtime.spool import MOST_OBJECTS, Spool

LARGE = 20_000


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.make_folders()
    return made


def frozen(count: int = 19) -> Contents:
    return contents(0, count=count, nbytes=LARGE, prefix="frozen-")


def moving(seed: int, count: int = 1) -> Contents:
    return contents(seed, count=count, nbytes=LARGE, prefix="moving-")


def write(spool: Spool, sequence: int, tensors: Contents, kind: Kind = "scheduled") -> None:
    spool.write("run", stem(sequence), snapshot(tensors, kind=kind))


def written(spool: Spool, sequence: int) -> int:
    """Bytes of the objects that a snapshot itself wrote."""
    return sum(path.stat().st_size for path in spool.objects.glob(f"{stem(sequence)}*"))


def named(spool: Spool, sequence: int) -> set[str]:
    return {record.object for record in spool.manifest(stem(sequence)).tensors}


def test_only_what_changed_is_written(spool: Spool) -> None:
    write(spool, 1, frozen() | moving(1))
    for sequence in range(2, 8):
        write(spool, sequence, frozen() | moving(sequence))
        assert written(spool, sequence) < 1.1 * LARGE
        assert spooled(spool, stem(sequence)) == frozen() | moving(sequence)
        assert spooled(spool, stem(sequence - 1)) == frozen() | moving(sequence - 1)


def test_the_small_files_of_what_changes_are_written_over_again(spool: Spool) -> None:
    inodes = []
    for sequence in range(1, 10):
        write(spool, sequence, frozen() | moving(sequence))
        inodes.append((spool.objects / stem(sequence).object_name()).stat().st_ino)
    assert len(set(inodes)) == 4, "one with what does not change, three that take turns"
    assert len(list(spool.objects.iterdir())) == 4


def test_what_changed_only_at_its_end_is_written(spool: Spool) -> None:
    before = contents(0, count=2, nbytes=3 * unchanged.PROBE_BYTES)
    write(spool, 1, before)
    for name in before:
        after = bytearray(before[name])
        after[-1] ^= 1  # beyond the beginning that is looked at first
        write(spool, 2, before | {name: bytes(after)})
        assert spooled(spool, stem(2)) == before | {name: bytes(after)}


def test_a_snapshot_of_which_nothing_changed_writes_no_object(spool: Spool) -> None:
    for sequence in range(1, 6):
        write(spool, sequence, frozen(2))
        assert spooled(spool, stem(sequence)) == frozen(2)
    assert [path.name for path in spool.objects.iterdir()] == [stem(1).object_name()]


def test_what_lies_in_a_mostly_dead_object_moves_into_one_of_its_own(spool: Spool) -> None:
    write(spool, 1, frozen(2) | moving(1, 3))
    write(spool, 2, frozen(2) | moving(2, 3))
    assert written(spool, 2) > 5 * LARGE
    for sequence in range(3, 8):
        write(spool, sequence, frozen(2) | moving(sequence, 3))
        assert 3 * LARGE < written(spool, sequence) < 4 * LARGE
        assert named(spool, sequence) == {stem(sequence).object_name(), stem(2).object_name(1)}
        assert spooled(spool, stem(sequence)) == frozen(2) | moving(sequence, 3)


def test_a_snapshot_names_few_objects_whatever_changes_when(spool: Spool) -> None:
    state, source = frozen(40), random.Random(3)
    most = 0
    for sequence in range(1, 100):
        name = f"frozen-tensor-{source.randrange(40)}"
        state |= {name: source.randbytes(LARGE)}
        write(spool, sequence, state)
        assert spooled(spool, stem(sequence)) == state
        most = max(most, len(named(spool, sequence)))
        size = sum(path.stat().st_size for path in spool.objects.iterdir())
        assert size < 3.5 * 40 * LARGE
    assert most <= MOST_OBJECTS + 2


def test_a_milestone_keeps_what_it_shares_with_others(spool: Spool) -> None:
    write(spool, 1, frozen() | moving(1))
    write(spool, 2, frozen() | moving(2), kind="milestone")
    for sequence in range(3, 8):
        write(spool, sequence, contents(sequence, count=20, nbytes=LARGE))
    assert spooled(spool, stem(2)) == frozen() | moving(2)
    spool.discard(stem(2))
    assert stem(1).object_name() not in {path.name for path in spool.objects.iterdir()}


def test_another_process_discards_nothing_that_is_about_to_be_named(spool: Spool) -> None:
    write(spool, 1, frozen())
    daemon = Spool(spool.folder)

    taken = snapshot(frozen() | moving(2))
    source = taken.sources[-1]
    original = source.buffer
    assert original is not None

    def discarding() -> Iterable[memoryview]:
        daemon.discard(stem(1))
        return original()

    source.buffer = discarding
    spool.write("run", stem(2), taken)
    assert spooled(spool, stem(2)) == frozen() | moving(2)


def test_an_object_whose_last_two_snapshots_two_processes_take_at_once_is_deleted(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(spool, 1, frozen() | moving(1), kind="milestone")
    write(spool, 2, frozen() | moving(2), kind="milestone")
    write(spool, 3, moving(3))
    daemon, looks, only_of = Spool(spool.folder), list[Stem](), Spool._only_of

    def looked(self: Spool, one: Stem) -> frozenset[str]:
        found = only_of(self, one)
        looks.append(one)
        if looks == [stem(2), stem(2)]:  # before it takes the one, the other is taken
            daemon.discard(stem(1))
        return found

    monkeypatch.setattr(Spool, "_only_of", looked)
    spool.discard(stem(2))
    assert spool.stems() == [stem(3)]
    assert {path.name for path in spool.objects.iterdir()} == named(spool, 3)


def test_an_object_that_is_read_or_named_outlives_a_snapshot_that_shares_it(spool: Spool) -> None:
    write(spool, 1, frozen() | moving(1), kind="milestone")
    write(spool, 2, frozen() | moving(2), kind="milestone")
    path = spool.objects / stem(1).object_name()
    spool._remove_unnamed(path)
    assert path.exists(), "two snapshots name it"
    for sequence in (1, 2):
        (spool.manifests / stem(sequence).manifest_name).unlink()
    with spool.shared(path):
        spool._remove_unnamed(path)
        assert path.exists(), "it is read"
    spool._remove_unnamed(path)
    assert not path.exists()


def test_what_another_process_discarded_is_written_anew(spool: Spool) -> None:
    write(spool, 1, frozen())
    Spool(spool.folder).discard(stem(1))
    write(spool, 2, frozen())
    assert spooled(spool, stem(2)) == frozen()


def test_a_truncated_object_is_not_named_again(spool: Spool) -> None:
    write(spool, 1, frozen())
    truncate(spool.objects / stem(1).object_name(), 0.9)
    write(spool, 2, frozen())
    assert spooled(spool, stem(2)) == frozen()


def test_after_damage_the_next_snapshot_is_written_whole(spool: Spool) -> None:
    write(spool, 1, frozen())
    spool.distrust()
    write(spool, 2, frozen())
    assert named(spool, 2) == {stem(2).object_name()}
    write(spool, 3, frozen())
    assert named(spool, 3) == {stem(2).object_name()}


def test_a_start_keeps_objects_that_a_snapshot_of_another_name_needs(spool: Spool) -> None:
    write(spool, 1, frozen() | moving(1))
    write(spool, 2, frozen() | moving(2))
    (spool.manifests / stem(1).manifest_name).unlink()  # as a process does that is killed then
    for path in spool.objects.iterdir():
        os.utime(path, (0, 0))
    again = Spool(spool.folder)
    again.make_folders()
    assert spooled(again, stem(2)) == frozen() | moving(2)


def test_what_a_failed_snapshot_would_have_named_stays_what_it_is(spool: Spool) -> None:
    write(spool, 1, frozen() | moving(1))
    with full_disk(), pytest.raises(SpoolFull):
        write(spool, 2, frozen() | moving(2))
    write(spool, 3, frozen() | moving(1))
    assert spooled(spool, stem(3)) == frozen() | moving(1)
    assert written(spool, 3) == 0


def test_a_milestone_for_which_there_was_no_room_at_first_is_whole(spool: Spool) -> None:
    for sequence in (1, 2, 3, 4):
        write(spool, sequence, frozen() | moving(sequence))
    tries: list[None] = []
    taken = snapshot(frozen() | moving(5), kind="milestone")
    original = taken.sources[-1].buffer
    assert original is not None

    def once_full() -> Iterable[memoryview]:
        tries.append(None)
        if len(tries) == 1:
            raise OSError(28, "No space left on device")
        return original()

    taken.sources[-1].buffer = once_full
    spool.write("run", stem(5), taken)
    assert len(tries) > 1
    assert spooled(spool, stem(5)) == frozen() | moving(5)


def test_nothing_is_remembered_of_what_no_snapshot_names_any_more(spool: Spool) -> None:
    for sequence in range(1, 20):
        slots = (f"slot-{sequence}",)
        spool.write("run", stem(sequence), snapshot(frozen(5), kind="milestone", slots=slots))
        if sequence > 1:
            spool.discard(stem(sequence - 1))  # as the daemon does once it is in the store
    assert len(spool._unchanged._known) <= 2 * 5


def test_one_slot_alone_and_together_with_another_is_known_by_one_name(spool: Spool) -> None:
    both = {f"b/{name}": data for name, data in frozen(9).items()} | {"a/tensor": b"a" * LARGE}
    spool.write("run", stem(1), snapshot(both, slots=("a", "b")))
    spool.write("run", stem(2), snapshot(frozen(9), slots=("b",)))
    assert written(spool, 2) == 0
    assert spooled(spool, stem(2)) == frozen(9)
    spool.write("run", stem(3), snapshot(both, slots=("a", "b")))
    assert written(spool, 3) == 0
    assert spooled(spool, stem(3)) == both


class Referenced:
    """A large tensor in memory, which tells how often its bytes were asked for."""

    def __init__(self, spool: Spool) -> None:
        self.spool, self.sequence, self.asked = spool, 0, 0
        self.data, self.address = b"1" * unchanged.HELD_BYTES, 1000
        self._last: Callable[[], object] = lambda: None

    def is_held(self) -> bool:
        """Whether the reference of the last snapshot is held."""
        gc.collect()
        return self._last() is not None

    def write(self, kind: Kind = "scheduled", while_read: Callable[[], None] = lambda: None) -> None:
        self.sequence, self.asked = self.sequence + 1, 0
        taken = snapshot({"tensor": self.data}, kind=kind)
        data, address = self.data, self.address

        def buffer() -> Iterable[memoryview]:
            self.asked += 1
            while_read()
            return [memoryview(data)]

        self._last = weakref.ref(buffer)
        taken.sources[0].buffer, taken.sources[0].address = buffer, lambda: address
        self.spool.write("run", stem(self.sequence), taken)
        assert spooled(self.spool, stem(self.sequence)) == {"tensor": data}


def test_a_tensor_at_the_address_that_is_held_is_not_even_read(spool: Spool) -> None:
    tensor = Referenced(spool)
    tensor.write()
    tensor.write()
    assert tensor.asked == 1, "nobody held it before: it is compared"
    tensor.write()
    assert tensor.asked == 0
    tensor.data, tensor.address = b"2" * unchanged.HELD_BYTES, 2000
    tensor.write()
    assert tensor.asked
    tensor.address = 1000  # where it was once: nobody holds it there any more
    tensor.data = b"3" * unchanged.HELD_BYTES
    tensor.write()
    assert tensor.asked


def test_at_a_training_calls_end_no_reference_is_held_any_more(spool: Spool) -> None:
    tensor = Referenced(spool)
    for kind in ("scheduled", "scheduled", "milestone"):
        tensor.write(kind)
    tensor.data = b"4" * unchanged.HELD_BYTES  # other bytes at that address: the old ones had been freed
    tensor.write()
    assert tensor.asked


def test_a_reference_of_what_the_next_snapshot_has_no_more_is_not_held(spool: Spool) -> None:
    tensor = Referenced(spool)
    tensor.write()
    tensor.write()
    assert tensor.is_held()
    spool.write("run", stem(9), snapshot(frozen(2), slots=("another",)))
    assert not tensor.is_held()


def test_a_reference_is_held_no_longer_than_until_the_next_call_or_the_cells_end(spool: Spool) -> None:
    tensor = Referenced(spool)
    tensor.write()
    tensor.write()
    spool.let_go()
    assert not tensor.is_held()
    tensor.write(while_read=spool.let_go)
    assert tensor.asked and not tensor.is_held(), "let go while it was compared"
    tensor.write()
    assert tensor.is_held()


def test_of_a_tensor_each_of_whose_references_is_a_copy_none_is_held(spool: Spool) -> None:
    tensor = Referenced(spool)
    for address in range(1000, 6000, 1000):  # it does not change, and yet never lies where it was held
        tensor.address = address
        tensor.write()
    assert not tensor.is_held()
    tensor.data = b"2" * unchanged.HELD_BYTES
    for _ in range(3):
        tensor.write()
    assert tensor.is_held() and not tensor.asked, "it was assigned, and has a buffer of its own again"
