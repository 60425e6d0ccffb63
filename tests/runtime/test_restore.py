"""Restoring: the newest checkpoint that verifies; damaged ones are skipped, said, and left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.faults import DeletesWhileOpened, flip_bit, tree, truncate
from helpers.snapshots import Contents, contents, object_file, read_back, snapshot, stem, uploaded
from holdfast.runtime.errors import CheckpointDamaged, HoldfastError, ObjectNotFound
from holdfast.runtime.names import Stem, object_path
from holdfast.runtime.restore import Checkpoint, newest, open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.upload import Uploader


class Run:
    """A store with three checkpoints of one slot, each with its own tensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "run"
        self.store = FolderStore(self.folder)
        self.spool = Spool(folder / "spool")
        self.spool.make_folders()
        self.uploader = Uploader(self.store, self.spool)
        self.shelf = Shelf("store", self.store)
        for sequence in (1, 2, 3):
            uploaded(self.uploader, stem(sequence), contents(sequence))
        self.said: list[str] = []
        self.damaged: set[tuple[str, Stem]] = set()

    def object(self, sequence: int) -> Path:
        return object_file(self.folder, stem(sequence).object_name())

    def manifest(self, sequence: int) -> Path:
        return self.folder / stem(sequence).manifest_path

    def newest(self) -> Checkpoint | None:
        found = newest([self.shelf], self.damaged, lambda error: self.said.append(str(error)))
        return found[0] if found else None

    def restore(self) -> tuple[Stem, Contents]:
        """What a session does: try the newest, reject what does not verify, try the next."""
        while (found := self.newest()) is not None:
            try:
                return found.stem, read_back(found)
            except CheckpointDamaged as error:
                self.said.append(str(error))
                self.damaged.add((error.origin, found.stem))
        raise LookupError("nothing restored")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_newest_is_restored_and_nothing_is_said(run: Run) -> None:
    assert run.restore() == (stem(3), contents(3))
    assert run.said == []


def test_a_higher_incarnation_is_newer_than_any_sequence(run: Run) -> None:
    uploaded(run.uploader, stem(1, incarnation=2), contents(9))
    assert run.restore() == (stem(1, incarnation=2), contents(9))


FAULTS: dict[str, Callable[[Run], object]] = {
    "object truncated": lambda run: truncate(run.object(3)),
    "object truncated by one byte": lambda run: truncate(run.object(3), 0.9999),
    "object emptied": lambda run: truncate(run.object(3), 0),
    "object missing": lambda run: run.object(3).unlink(),
    "object with a bit flipped in its first tensor": lambda run: flip_bit(run.object(3), -2500),
    "object with a bit flipped in its last byte": lambda run: flip_bit(run.object(3)),
    "manifest truncated": lambda run: truncate(run.manifest(3)),
    "manifest emptied": lambda run: truncate(run.manifest(3), 0),
    "manifest with a bit flipped in its first byte": lambda run: flip_bit(run.manifest(3), 0),
    "manifest of another checkpoint": lambda run: run.manifest(3).write_bytes(run.manifest(2).read_bytes()),
    "manifest that is no JSON": lambda run: run.manifest(3).write_bytes(b"\xff\xfe"),
    "manifest without a journal": lambda run: run.manifest(3).write_bytes(
        run.manifest(3).read_bytes().replace(b'{"slots":[]}', b"{}")
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_damaged_checkpoint_is_skipped_named_and_never_deleted(
    run: Run, fault: Callable[[Run], object]
) -> None:
    fault(run)
    before = tree(run.folder)
    assert run.restore() == (stem(2), contents(2))
    assert len(run.said) == 1
    assert str(stem(3)) in run.said[0]
    assert "next older" in run.said[0]
    assert tree(run.folder) == before


def test_restoring_again_gives_the_same_and_says_no_more(run: Run) -> None:
    truncate(run.object(3))
    assert run.restore() == run.restore() == (stem(2), contents(2))
    assert len(run.said) == 1


def test_where_all_are_damaged_there_is_nothing_to_restore(run: Run) -> None:
    for sequence in (1, 2, 3):
        truncate(run.manifest(sequence))
    assert run.newest() is None
    assert len(run.said) == 3
    assert run.damaged == {("store", stem(number)) for number in (1, 2, 3)}


def test_an_object_longer_than_needed_is_no_damage(run: Run) -> None:
    with run.object(3).open("ab") as file:
        file.write(b"trailing")
    assert run.restore() == (stem(3), contents(3))


def test_files_that_are_not_ours_are_passed_over(run: Run) -> None:
    for name in ("notes.txt", "99999999-000001-aaaaaaaa.json.bak", "desktop.ini", "99999999-1-a.json"):
        (run.manifest(1).parent / name).write_bytes(b"{}")
    run.manifest(9).mkdir()
    assert run.restore() == (stem(3), contents(3))
    assert run.said == []


def test_only_checkpoints_that_hold_a_slot_count_for_it(run: Run) -> None:
    uploaded(run.uploader, stem(4), contents(4), slots=("other",))
    found = newest([run.shelf], set(), lambda error: None, slot="slot-0000")
    assert found is not None
    assert found[0].stem == stem(3)
    assert newest([run.shelf], set(), lambda error: None, slot="none") is None


def test_the_newest_wins_wherever_it_lies_and_the_first_shelf_among_equals(run: Run) -> None:
    spool = Shelf("spool", run.spool)
    for shelves, origin in (([spool, run.shelf], "spool"), ([run.shelf, spool], "store")):
        found = newest(shelves, set(), lambda error: None)
        assert found is not None
        assert (found[0].stem, found[0].shelf.origin) == (stem(3), origin)
    run.spool.write("run", stem(4), snapshot(contents(4)))
    found = newest([run.shelf, spool], set(), lambda error: None)
    assert found is not None
    assert (found[0].stem, found[0].shelf.origin) == (stem(4), "spool")


def test_a_checkpoint_damaged_on_one_shelf_is_taken_from_the_other(run: Run) -> None:
    truncate(run.spool.folder / "objects" / stem(3).object_name())
    shelves = [Shelf("spool", run.spool), run.shelf]
    found = newest(shelves, run.damaged, lambda error: run.said.append(str(error)))
    assert found is not None
    assert (found[0].stem, found[0].shelf.origin) == (stem(3), "store")
    assert len(run.said) == 1
    assert run.damaged == {("spool", stem(3))}


def test_a_manifest_whose_sizes_lie_reads_nothing_beyond_its_object(run: Run) -> None:
    manifest = open_checkpoint(run.shelf, stem(3))[0].manifest
    first = manifest.tensors[0]
    for lie in (
        replace(first, offset=2**70),
        replace(first, offset=run.object(3).stat().st_size - 1),
        replace(first, spec=replace(first.spec, shape=(2**70,))),
        replace(first, spec=replace(first.spec, shape=(2**40, 2**40, 0, 2**40), dtype="F64")),
        replace(first, object=stem(77).object_name()),
    ):
        run.manifest(3).write_bytes(replace(manifest, tensors=(lie, *manifest.tensors[1:])).to_bytes())
        run.damaged.clear()
        try:
            found = run.newest()
        except HoldfastError:
            continue
        assert found is not None
        assert found.stem == stem(2) or found.manifest.tensors[0].spec.nbytes == 0


def test_a_damaged_tensor_spoils_only_those_who_want_it(run: Run) -> None:
    flip_bit(run.object(3))
    checkpoint = open_checkpoint(run.shelf, stem(3))[0]
    sound = replace(checkpoint, manifest=replace(checkpoint.manifest, tensors=checkpoint.manifest.tensors[:2]))
    assert len(read_back(sound)) == 2
    with pytest.raises(CheckpointDamaged, match="tensor-2"):
        read_back(checkpoint)


def test_a_run_that_is_not_there_has_nothing_to_restore(tmp_path: Path) -> None:
    shelf = Shelf("store", FolderStore(tmp_path / "none"))
    assert newest([shelf], set(), lambda error: None) is None
    with pytest.raises(ObjectNotFound):
        open_checkpoint(shelf, stem(1))


def test_a_checkpoint_that_is_deleted_while_it_is_opened_is_not_called_damaged(run: Run) -> None:
    store = DeletesWhileOpened(run.folder, [stem(3).manifest_path, object_path(stem(3).object_name())])
    found = newest([Shelf("store", store)], run.damaged, lambda error: run.said.append(str(error)))
    assert found is not None
    assert found[0].stem == stem(2)
    assert run.said == []
    assert run.damaged == set()
