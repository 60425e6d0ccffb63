"""Reading tensors out of objects: only the ranges that are wanted, several at a time, each verified."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import xxhash

from holdfast.runtime.errors import FormatInvalid, ObjectNotFound
from holdfast.runtime.manifest import INDEX_BYTES, Patch, TensorRecord
from holdfast.runtime.shelf import Shelf

RANGE_BYTES: Final = 8 << 20
"""The longest range read at a time: hashed while it is still in the processor's cache."""

REMOTE_RANGE_BYTES: Final = 32 << 20
"""The same where each request crosses a network: few enough requests that their latency does not count."""

SMALL_BYTES: Final = 1 << 20
"""Tensors shorter than this are read together with their neighbours."""

GAP_BYTES: Final = 64 << 10
"""Bytes nobody wants that are read rather than asked for around: less than a request costs."""


@dataclass(slots=True)
class _Target:
    """A tensor's memory while it fills, and the hash of what is there so far, from its start on."""

    record: TensorRecord
    memory: memoryview
    digest: xxhash.xxh3_128 = field(default_factory=xxhash.xxh3_128)
    hashed: int = 0
    read: dict[int, int] = field(default_factory=dict)
    missing: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arrived(self, begin: int, end: int) -> bool:
        """Notes that a range is there, and hashes as far as there is no gap; True if all is there."""
        with self.lock:
            self.read[begin] = end
            self.missing -= end - begin
            if not self.record.patches:
                while self.hashed in self.read and self.hashed < len(self.memory):
                    upto = self.read[self.hashed]
                    self.digest.update(self.memory[self.hashed : upto])
                    self.hashed = upto
            return self.missing == 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of a target that is read in one go with its neighbours."""

    target: _Target
    begin: int
    end: int

    @property
    def offset(self) -> int:
        return self.target.record.offset + self.begin


def fill(
    shelf: Shelf,
    wanted: Sequence[tuple[TensorRecord, memoryview]],
    damaged: Callable[[str, TensorRecord], Exception],
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Fills the memory of tensors and checks their hashes.

    Args:
        shelf: Where the objects lie.
        wanted: Tensors, each with its memory as flat bytes.
        damaged: Makes the error for a tensor, which is then raised.
        progress: Told how many bytes more are there, on the calling thread.
    """
    targets = [_Target(record, memory, missing=len(memory)) for record, memory in wanted]
    longest = REMOTE_RANGE_BYTES if shelf.store.capabilities.remote else RANGE_BYTES
    ranges = list(_ranges(targets, longest))

    def read(pieces: list[_Piece]) -> None:
        first = pieces[0].target
        try:
            _read_range(shelf, pieces)
        except (ObjectNotFound, FormatInvalid) as error:
            raise damaged(f"Tensor {first.record.spec.name} cannot be read: {error}", first.record) from None
        for piece in pieces:
            if piece.target.arrived(piece.begin, piece.end):
                _finish(shelf, piece.target, damaged)

    with ThreadPoolExecutor(
        2 * shelf.store.capabilities.parallel, thread_name_prefix="holdfast-restore"
    ) as pool:
        for future, pieces in [(pool.submit(read, pieces), pieces) for pieces in ranges]:
            try:
                future.result()
                progress(sum(piece.end - piece.begin for piece in pieces))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    for target in targets:
        if not len(target.memory):
            _finish(shelf, target, damaged)


def _ranges(targets: Sequence[_Target], longest: int) -> Iterator[list[_Piece]]:
    """The reads that fill the targets: large ones cut up, small neighbours joined."""
    joined: list[_Piece] = []
    for target in sorted(targets, key=lambda one: (one.record.object, one.record.offset)):
        size = len(target.memory)
        if size >= SMALL_BYTES:
            for begin in range(0, size, longest):
                yield [_Piece(target, begin, min(size, begin + longest))]
        elif size:
            piece = _Piece(target, 0, size)
            if joined and not _adjoins(joined, piece):
                yield joined
                joined = []
            joined.append(piece)
    if joined:
        yield joined


def _adjoins(pieces: list[_Piece], piece: _Piece) -> bool:
    first, last, record = pieces[0], pieces[-1], piece.target.record
    end = last.offset + last.end - last.begin
    return (
        record.object == first.target.record.object
        and end <= record.offset <= end + GAP_BYTES
        and record.offset + piece.end - first.offset <= RANGE_BYTES
    )


def _read_range(shelf: Shelf, pieces: list[_Piece]) -> None:
    record = pieces[0].target.record
    path = shelf.object_path(record.object)
    if len(pieces) == 1:
        piece = pieces[0]
        shelf.store.read_into(path, piece.offset, piece.target.memory[piece.begin : piece.end])
        return
    start, last = pieces[0].offset, pieces[-1]
    data = memoryview(shelf.store.read(path, last.offset + last.end - start, start))
    for piece in pieces:
        begin = piece.offset - start
        piece.target.memory[:] = data[begin : begin + piece.end]


def _finish(shelf: Shelf, target: _Target, damaged: Callable[[str, TensorRecord], Exception]) -> None:
    record = target.record
    if record.patches:
        try:
            for patch in record.patches:
                apply_patch(shelf, record, patch, target.memory)
        except (ObjectNotFound, FormatInvalid) as error:
            raise damaged(f"Tensor {record.spec.name} cannot be read: {error}", record) from None
        target.digest.update(target.memory)
    if target.digest.hexdigest() != record.hash:
        raise damaged(f"Tensor {record.spec.name} does not have the bytes it should", record)


def apply_patch(shelf: Shelf, record: TensorRecord, patch: Patch, memory: memoryview) -> None:
    """Writes the rows of a patch over a tensor."""
    path = shelf.object_path(patch.object)
    block = patch.block * (len(memory) // record.spec.shape[0])
    index = shelf.store.read(path, INDEX_BYTES * patch.count, patch.index_offset)
    rows = memoryview(shelf.store.read(path, patch.nbytes, patch.rows_offset))
    position, before = 0, -1
    for (number,) in struct.iter_unpack("<I", index):
        begin = number * block
        size = min(block, len(memory) - begin)
        if number <= before or size <= 0 or position + size > len(rows):
            raise FormatInvalid("A patch that does not fit its tensor", where=path)
        memory[begin : begin + size] = rows[position : position + size]
        position, before = position + size, number
    if position != len(rows):
        raise FormatInvalid("A patch with more rows than it names", where=path)
