"""Reading tensors out of objects: only the ranges that are wanted, several at a time, each verified."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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

Wanted = tuple[TensorRecord, memoryview]
"""A tensor, and its memory as flat bytes."""


@dataclass(slots=True)
class _Target:
    """A large tensor's memory while it fills, and the hash of what is there so far, from its start on."""

    record: TensorRecord
    memory: memoryview
    digest: xxhash.xxh3_128 = field(default_factory=xxhash.xxh3_128)
    hashed: int = 0
    hashing: bool = False
    read: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arrived(self, begin: int, end: int) -> bool:
        """Notes that a range is there, and hashes as far as there is no gap; True if that is all.

        One thread at a time hashes; the others leave their ranges to it, and read on.
        """
        with self.lock:
            self.read[begin] = end
            if self.hashing:
                return False
            self.hashing = True
        while True:
            with self.lock:
                end = self.read.pop(self.hashed, -1)
                if end < 0:
                    self.hashing = False
                    return self.hashed == len(self.memory)
            if not self.record.patches:
                self.digest.update(self.memory[self.hashed : end])
            self.hashed = end


def fill(
    shelf: Shelf,
    wanted: Sequence[Wanted],
    damaged: Callable[[str, TensorRecord], Exception],
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Fills the memory of tensors and checks their hashes, on several threads.

    Args:
        shelf: Where the objects lie.
        wanted: Tensors, each with its memory as flat bytes.
        damaged: Makes the error for a tensor, which is then raised.
        progress: Told how many bytes more are there, on the calling thread.
    """
    longest = REMOTE_RANGE_BYTES if shelf.store.capabilities.remote else RANGE_BYTES

    def read_range(target: _Target, begin: int) -> int:
        record, end = target.record, min(len(target.memory), begin + longest)
        with _said(record, damaged):
            path = shelf.object_path(record.object)
            shelf.store.read_into(path, record.offset + begin, target.memory[begin:end])
        if target.arrived(begin, end):
            _finish(shelf, record, target.memory, damaged, target.digest)
        return end - begin

    def read_joined(group: Sequence[Wanted]) -> int:
        (first, _), (last, _) = group[0], group[-1]
        data = memoryview(bytearray(last.offset + last.spec.nbytes - first.offset))
        with _said(first, damaged):
            if data:
                shelf.store.read_into(shelf.object_path(first.object), first.offset, data)
        for record, memory in group:
            begin = record.offset - first.offset
            memory[:] = data[begin : begin + record.spec.nbytes]
            _finish(shelf, record, memory, damaged)
        return sum(len(memory) for _, memory in group)

    large, groups = _divided(wanted)
    threads = 2 * shelf.store.capabilities.parallel
    with ThreadPoolExecutor(threads, thread_name_prefix="holdfast-restore") as pool:
        futures = [
            pool.submit(read_range, target, begin)
            for target in large
            for begin in range(0, len(target.memory), longest)
        ]
        futures += [pool.submit(read_joined, group) for group in groups]
        try:
            for future in futures:
                progress(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _divided(wanted: Sequence[Wanted]) -> tuple[list[_Target], list[list[Wanted]]]:
    """Large tensors, which are read by ranges, and groups of small neighbours, each read in one go."""
    large: list[_Target] = []
    groups: list[list[Wanted]] = []
    for record, memory in sorted(wanted, key=lambda one: (one[0].object, one[0].offset)):
        if len(memory) >= SMALL_BYTES:
            large.append(_Target(record, memory))
        elif groups and _adjoins(groups[-1], record):
            groups[-1].append((record, memory))
        else:
            groups.append([(record, memory)])
    return large, groups


def _adjoins(group: Sequence[Wanted], record: TensorRecord) -> bool:
    (first, _), (last, _) = group[0], group[-1]
    end = last.offset + last.spec.nbytes
    return (
        record.object == first.object
        and end <= record.offset <= end + GAP_BYTES
        and record.offset + record.spec.nbytes - first.offset <= RANGE_BYTES
    )


@contextmanager
def _said(record: TensorRecord, damaged: Callable[[str, TensorRecord], Exception]) -> Iterator[None]:
    """Within it, what is not there or too short is damage of a tensor."""
    try:
        yield
    except (ObjectNotFound, FormatInvalid) as error:
        raise damaged(f"Tensor {record.spec.name} cannot be read: {error}", record) from None


def _finish(
    shelf: Shelf,
    record: TensorRecord,
    memory: memoryview,
    damaged: Callable[[str, TensorRecord], Exception],
    digest: xxhash.xxh3_128 | None = None,
) -> None:
    """Lays a tensor's patches over it, and compares its hash: the one at hand, where there are no patches."""
    with _said(record, damaged):
        for patch in record.patches:
            apply_patch(shelf, record, patch, memory)
    if digest is None or record.patches:
        digest = xxhash.xxh3_128(memory)
    if digest.hexdigest() != record.hash:
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
