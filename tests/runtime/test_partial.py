"""Large tensors of which only some rows change are stored by those rows, and come back whole."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.faults import RefusesManifests, flip_bit
from helpers.snapshots import KEEP_TWO, TAKEN_AT, ensure_claimed, object_file, objects_of, stem, stored, tidy
from holdfast.runtime.errors import CheckpointDamaged, StoreUnavailable
from holdfast.runtime.manifest import Manifest
from holdfast.runtime.objects import TensorSpec, decode_header
from holdfast.runtime.partial import LARGE_BYTES, MAX_PATCHES, ChangedRows
from holdfast.runtime.snapshot import Snapshot, TensorSource
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore
from holdfast.runtime.upload import Uploader
from holdfast.runtime.writing import Rows


class Table:
    """An embedding table with its uploads.

    Args:
        folder: Where store and spool are.
        rows: Rows of the table.
        width: 4-byte elements in a row.
        store: The run's folder in its store; by default a folder.
    """

    def __init__(self, folder: Path, rows: int, width: int, store: FolderStore | None = None) -> None:
        self.store = store or FolderStore(folder / "run")
        self.spool = Spool(folder / "spool")
        self.spool.make_folders()
        ensure_claimed(self.store)
        self.uploader = Uploader(self.store, self.spool)
        self.rows, self.row_bytes = rows, 4 * width
        self.spec = TensorSpec("model/embedding", "F32", (rows, width))
        self.data = bytearray(random.Random(1).randbytes(rows * self.row_bytes))
        self.sequence = 0

    @property
    def nbytes(self) -> int:
        return len(self.data)

    def touch(self, rows: list[int]) -> None:
        """Changes one byte of each of these rows."""
        for row in rows:
            self.data[row * self.row_bytes + self.sequence % self.row_bytes] ^= 0xFF

    def upload(self) -> int:
        """Makes a checkpoint, and returns the bytes of objects it wrote."""
        self.sequence += 1
        before, data = self.uploader.bytes_written, bytes(self.data)
        committed = self.spool.write("run", stem(self.sequence), self.snapshot(data))
        self.uploader.upload(committed, 1, lambda done, total: None)
        return self.uploader.bytes_written - before

    def snapshot(self, data: bytes) -> Snapshot:
        """The table with these bytes."""
        source = TensorSource(self.spec, lambda: [memoryview(data)])
        return Snapshot("scheduled", ("slot",), [source], TAKEN_AT, {"slots": []})

    @property
    def newest(self) -> Manifest:
        return self.uploader.catalogue.newest["slot"]

    def is_restored(self) -> bool:
        """Whether the newest checkpoint holds the table as it is."""
        return stored(self.store, stem(self.sequence)) == {self.spec.name: bytes(self.data)}


def test_from_the_third_checkpoint_on_only_the_rows_that_changed_are_written(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    written = []
    for _ in range(6):
        written.append(table.upload())
        assert table.is_restored()
        table.touch(random.Random(table.sequence).sample(range(table.rows), 50))
    assert min(written[:2]) > table.nbytes
    assert max(written[2:]) < 0.06 * table.nbytes


def test_the_rows_are_tensors_that_the_library_opens(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    for _ in range(3):
        table.upload()
        table.touch([0, 17, 9_999])
    patch = table.newest.tensors[0].patches[0]
    data = object_file(table.store.folder, patch.object).read_bytes()
    names = decode_header(data, len(data))
    assert names.keys() == {"model/embedding#blocks", "model/embedding#rows"}
    rows = names["model/embedding#rows"][0]
    assert rows.shape == (3 * patch.block, 64)
    assert rows.dtype == "F32"


def test_a_dense_model_is_written_whole_each_time(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    for _ in range(4):
        assert table.upload() > table.nbytes
        table.touch(list(range(table.rows)))
    assert table.newest.tensors[0].patches == ()


def test_patches_do_not_pile_up(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=3000, width=128)
    most = 0
    for number in range(2 * MAX_PATCHES + 6):
        table.upload()
        most = max(most, len(table.newest.tensors[0].patches))
        assert table.is_restored()
        table.touch([number])
    assert 2 < most <= MAX_PATCHES
    assert len(objects_of(table.store)) > MAX_PATCHES
    tidy(table.uploader, replace(KEEP_TWO, last=1))
    assert len(objects_of(table.store)) <= MAX_PATCHES + 1
    table.upload()
    assert table.is_restored()


def test_a_table_that_changed_by_more_than_half_is_written_whole(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=4096, width=512)
    for _ in range(3):
        table.upload()
        table.touch([5])
    table.touch(list(range(100, 2300)))
    assert table.upload() > table.nbytes
    assert table.is_restored()


def test_a_new_daemon_does_not_patch_what_it_has_not_seen(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    for _ in range(3):
        table.upload()
        table.touch([1, 2, 3])
    table.uploader = Uploader(table.store, table.spool)
    table.uploader.catalogue.learn()
    assert table.upload() > table.nbytes
    assert table.is_restored()


def test_an_upload_that_failed_is_not_built_upon(tmp_path: Path) -> None:
    store = RefusesManifests(tmp_path / "run")
    store.refusing = False
    table = Table(tmp_path, rows=10_000, width=64, store=store)
    for _ in range(3):
        table.upload()
        table.touch([1, 2, 3])
    store.refusing = True
    table.touch([500])
    with pytest.raises(StoreUnavailable):
        table.upload()
    store.refusing = False
    for _ in range(3):
        table.touch([700])
        table.upload()
        assert table.is_restored()


def test_rows_that_changed_in_the_spool_since_they_were_compared_never_become_a_checkpoint(
    tmp_path: Path,
) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    for _ in range(3):
        table.upload()
        table.touch([1, 5000])
    committed = table.spool.manifest(stem(3))
    record, base = committed.tensors[0], replace(table.newest.tensors[0], patches=())
    path = table.spool.objects / record.object
    with path.open("rb") as file:
        block = os.pread(file.fileno(), 2048, record.offset)
        changed = ChangedRows(base, [0], 8, 256, [xxhash.xxh3_64_intdigest(block)])
        rows = Rows(record, file.fileno(), "checkpoint", changed)
        assert list(rows.chunks())[1] == block
        flip_bit(path, record.offset + 100)
        with pytest.raises(CheckpointDamaged):
            list(rows.chunks())


def test_a_patch_that_was_damaged_is_found(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    for _ in range(3):
        table.upload()
        table.touch([1, 5000])
    patch = table.newest.tensors[0].patches[0]
    for offset in (patch.index_offset, patch.index_offset + 7, patch.rows_offset, patch.rows_offset + 100):
        flip_bit(object_file(table.store.folder, patch.object), offset)
        with pytest.raises(CheckpointDamaged):
            stored(table.store, stem(3))
        flip_bit(object_file(table.store.folder, patch.object), offset)
    assert stored(table.store, stem(3))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_rows_change_the_table_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    width = data.draw(st.sampled_from([1, 3, 64, 511, 700, 3000]))
    rows = LARGE_BYTES // (4 * width) + data.draw(st.integers(1, 3000 // width + 70))
    table = Table(tmp_path_factory.mktemp("table"), rows, width)
    for _ in range(5):
        table.upload()
        assert table.is_restored()
        table.touch(sorted(data.draw(st.sets(st.integers(0, rows - 1), max_size=20))))


def test_the_same_bytes_in_another_shape_come_back_too(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    for _ in range(3):
        table.upload()
        table.touch([1, 5000])
    table.upload()
    assert table.newest.tensors[0].patches
    table.spec = TensorSpec("model/embedding", "F32", (2500, 256))
    table.upload()
    assert table.is_restored()
    assert table.newest.tensors[0].spec == table.spec


def test_a_bit_that_flipped_in_the_spool_is_no_changed_row(tmp_path: Path) -> None:
    table = Table(tmp_path, rows=10_000, width=64)
    for _ in range(3):
        table.upload()
        table.touch([1, 5000])
    committed = table.spool.write("run", stem(4), table.snapshot(bytes(table.data)))
    flip_bit(table.spool.objects / stem(4).object_name(), -100_000)
    with pytest.raises(CheckpointDamaged, match="changed in the spool"):
        table.uploader.upload(committed, 1, lambda done, total: None)
