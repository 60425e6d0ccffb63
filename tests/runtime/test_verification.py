"""Reading a run through finds what a restore would stumble over, and reads it once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.faults import flip_bit, tree, truncate
from helpers.filled_store import fill, lost, silent
from helpers.snapshots import contents, ensure_claimed, object_file, stem, uploaded
from holdfast.runtime import ranges
from holdfast.runtime.inventory import read_manifests
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.upload import Uploader
from holdfast.runtime.verification import Findings, verify


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound store, to copy."""
    folder = tmp_path_factory.mktemp("pristine")
    fill(FolderStore(folder / "store"), folder / "spool")
    return folder / "store"


@pytest.fixture
def top(tmp_path: Path, pristine: Path) -> Path:
    """A store of one's own to damage."""
    return shutil.copytree(pristine, tmp_path / "store")


def found(top: Path) -> Findings:
    return verify(FolderStore(top), "run", silent)


def test_a_sound_run_has_no_damage_and_every_checkpoint(top: Path) -> None:
    seen = found(top)
    assert seen.damages == []
    assert seen.remarks == []
    assert seen.sound == [stem(number) for number in (5, 4, 3, 2, 1)]
    manifests = [path for path in tree(top / "run") if path.startswith("manifests/")]
    assert any(b'"patches"' in (top / "run" / path).read_bytes() for path in manifests)


@given(which=st.integers(0, 10**6), where=st.integers(0, 10**9))
def test_one_flipped_bit_anywhere_is_found_and_hits_just_what_it_costs(
    tmp_path_factory: pytest.TempPathFactory, pristine: Path, which: int, where: int
) -> None:
    top = shutil.copytree(pristine, tmp_path_factory.mktemp("flipped") / "store")
    names = sorted(tree(top))
    path = top / names[which % len(names)]
    flipped = where % path.stat().st_size
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    flip_bit(path, flipped)
    seen = found(top)
    assert seen.damaged == lost(top)
    assert set(seen.sound) == set(seen.inventory.manifests) - seen.damaged
    if path.parts[-4] == "objects" and flipped >= header:  # a header has names, which nobody else knows
        assert [damage.name for damage in seen.damages] == [str(path.relative_to(top / "run"))]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_cut_off_object_costs_what_a_restore_says(top: Path, number: int, share: float) -> None:
    truncate(object_file(top / "run", stem(number).object_name()), share)
    seen = found(top)
    assert stem(number) in seen.damaged == lost(top)


def test_a_missing_object_is_named_with_the_checkpoints_that_need_it(top: Path) -> None:
    object_file(top / "run", stem(1).object_name()).unlink()
    (damage,) = found(top).damages
    assert (damage.subject, damage.what) == ("object", "it is missing")
    assert set(damage.checkpoints) == lost(top) == {stem(number) for number in range(1, 6)}


def test_a_damaged_manifest_and_a_damaged_claim_are_named(top: Path) -> None:
    (top / "run" / stem(3).manifest_path).write_bytes(b"{}")
    (claim,) = (top / "run" / "claims").iterdir()
    claim.write_bytes(b"{")
    damages = {damage.subject: damage for damage in found(top).damages}
    assert damages["manifest"].name == stem(3).manifest_path
    assert damages["manifest"].checkpoints == (stem(3),)
    assert damages["claim"].name == f"claims/{claim.name}"
    assert damages["claim"].checkpoints == ()


def test_a_header_that_no_restore_reads_is_checked_too(top: Path) -> None:
    flip_bit(object_file(top / "run", stem(5).object_name()), 12)
    (damage,) = found(top).damages
    assert "header" in damage.what
    assert damage.checkpoints == ()
    assert lost(top) == set()


def test_a_header_with_other_tensors_is_found(top: Path) -> None:
    path = object_file(top / "run", stem(3).object_name())
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    first, second = sorted(header.keys() - {"__metadata__"}, key=lambda name: header[name]["data_offsets"])[:2]
    end = header.pop(second)["data_offsets"][1]
    header[first] = {"dtype": "U8", "shape": [end], "data_offsets": [0, end]}
    path.write_bytes(data[:8] + json.dumps(header).encode().ljust(length)[:length] + data[8 + length :])
    (damage,) = found(top).damages
    assert "other tensors" in damage.what
    assert lost(top) == set()


def test_what_is_not_holdfasts_and_what_nobody_needs_are_remarks(top: Path) -> None:
    run = top / "run"
    (run / "notes.txt").write_bytes(b"mine")
    (run / "pictures").mkdir()
    (run / "objects" / "00000001" / "000" / "x (1).safetensors").write_bytes(b"")
    (run / "manifests" / stem(9).manifest_name).write_bytes(b"in the wrong folder")
    orphan = object_file(run, stem(3).object_name(attempt=1))
    orphan.write_bytes(b"left")
    late = object_file(run, stem(9).object_name())
    late.write_bytes(b"on its way")
    seen = found(top)
    assert seen.damages == []
    remarks = {remark.name: remark.what for remark in seen.remarks}
    assert remarks["notes.txt"] == "a file that is not Holdfast's"
    assert remarks["pictures"] == "a folder that is not Holdfast's"
    assert "manifests/" + stem(9).manifest_name in remarks
    assert "objects/00000001/000/x (1).safetensors" in remarks
    assert "retention" in remarks[str(orphan.relative_to(run))]
    assert "under way" in remarks[str(late.relative_to(run))]
    assert len(remarks) == 6


class CountsReads(FolderStore):
    """Notes every range that is read."""

    reads: list[tuple[str, int, int]]

    def under(self, prefix: str) -> FolderStore:
        below = CountsReads(self.folder / prefix)
        below.reads = self.reads
        return below

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        self.reads.append((name, offset, len(buffer)))
        super().read_into(name, offset, buffer)


def test_each_byte_is_read_once_in_short_ranges(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 4096)
    monkeypatch.setattr(ranges, "GAP_BYTES", 0)
    store = CountsReads(top)
    store.reads = []
    told: list[tuple[int, int]] = []
    seen = verify(store, "run", lambda done, total: told.append((done, total)))
    assert seen.damages == []
    headers = {name: 0 for name, _, _ in store.reads}
    for name, offset, count in store.reads:
        if offset == 0:
            headers[name] = max(headers[name], count)
    spans = sorted(
        (name, offset, offset + count)
        for name, offset, count in store.reads
        if name.startswith("objects/") and offset >= headers[name] and count
    )
    for (name, _, end), (other, begin, _) in zip(spans, spans[1:], strict=False):
        assert name != other or end <= begin, "read twice"
    assert max(end - begin for _, begin, end in spans) <= 4096
    data = sum(size - headers[f"objects/00000001/000/{name}"] for name, size in seen.inventory.objects.items())
    assert sum(end - begin for _, begin, end in spans) == data
    assert told[-1] == (data, data)


class DeletesMeanwhile(FolderStore):
    """Loses its oldest checkpoint, as retention deletes it, right after its manifest was read."""

    def under(self, prefix: str) -> FolderStore:
        return DeletesMeanwhile(self.folder / prefix)

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        super().read_into(name, offset, buffer)
        if name == stem(1).manifest_path:
            self.delete(name)
            object_file(self.folder, stem(1).object_name()).unlink()


def test_what_a_live_session_deletes_meanwhile_is_no_damage(tmp_path: Path) -> None:
    uploader = Uploader(FolderStore(tmp_path / "store" / "run"), Spool(tmp_path / "spool"))
    uploader.spool.make_folders()
    uploader.catalogue.learn()
    for number in (1, 2):
        uploaded(uploader, stem(number), contents(number))
    seen = verify(DeletesMeanwhile(tmp_path / "store"), "run", silent)
    assert seen.damages == []
    assert seen.sound == [stem(2)]


def test_a_manifest_that_is_gone_since_it_was_listed_is_passed_over(top: Path) -> None:
    shelf = Shelf("store", FolderStore(top / "run"))
    found = dict(read_manifests(shelf, {stem(1): 10**4, stem(2): 10, stem(9): 100}))
    assert found.keys() == {stem(1), stem(2)}


def test_a_second_reading_skips_what_was_sound(top: Path) -> None:
    (top / "run" / stem(2).manifest_path).write_bytes(b"{}")
    before = found(top)
    store = CountsReads(top)
    store.reads = []
    again = verify(store, "run", silent, before=before)
    assert (again.sound, again.damaged) == (before.sound, {stem(2)})
    assert {name for name, _, _ in store.reads if not name.startswith("claims/")} == {stem(2).manifest_path}


def test_an_empty_run_is_sound(tmp_path: Path) -> None:
    ensure_claimed(FolderStore(tmp_path / "run"))
    seen = found(tmp_path)
    assert (seen.damages, seen.remarks, seen.sound) == ([], [], [])
