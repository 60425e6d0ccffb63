"""Large tensors of which only some rows changed, such as an embedding table: found by hashes of blocks.

Nothing is known of a tensor at first. Of every large one that is written a few blocks are sampled; where most
of the sample is unchanged the next time, all blocks are hashed, and from then on the rows that changed can be
told. So a dense model costs a few short hashes a tensor, and no more.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import xxhash

from holdfast.runtime.errors import CheckpointDamaged
from holdfast.runtime.manifest import INDEX_BYTES, TensorRecord
from holdfast.runtime.names import OBJECT_SUFFIX

LARGE_BYTES: Final = 1 << 20
"""Smaller tensors are always written whole."""

BLOCK_BYTES: Final = 2048
"""A block has whole rows, as many as have this size, so that the hashes take under half a percent of it."""

SAMPLES: Final = 64
PROMISING: Final = 0.4
"""Share of the sample that must be unchanged for all blocks to be hashed."""

MAX_PATCHES: Final = 16
"""Patches of one tensor before it is written whole again: each is one more object to read."""

READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """The blocks of a tensor that differ from what the store has of it.

    Attributes:
        base: What the store has.
        numbers: The changed blocks' numbers, ascending.
        block: Rows in a block.
        row_bytes: Bytes of a row.
        hashes: The hash of each changed block.
    """

    base: TensorRecord
    numbers: list[int]
    block: int
    row_bytes: int
    hashes: list[int]

    @property
    def spans(self) -> Iterator[tuple[int, int]]:
        """First byte and size of each changed block within the tensor."""
        size, whole = self.block * self.row_bytes, self.base.spec.nbytes
        return ((number * size, min(size, whole - number * size)) for number in self.numbers)

    @property
    def nbytes(self) -> int:
        """Bytes of the changed rows."""
        size = self.block * self.row_bytes
        last = self.numbers[-1]
        return size * (len(self.numbers) - 1) + min(size, self.base.spec.nbytes - last * size)


@dataclass(slots=True)
class _Known:
    """What is known of a tensor as the store has it."""

    stored: TensorRecord | None
    sample: list[int]
    blocks: array[int] | None


class PartialChanges:
    """Tells which rows of large tensors changed since they were last written."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], _Known] = {}

    def find(
        self, slots: tuple[str, ...], record: TensorRecord, previous: TensorRecord | None, descriptor: int
    ) -> ChangedRows | None:
        """The rows that changed, where writing only them saves over half.

        Args:
            slots: The slots of the snapshot that the tensor belongs to.
            record: The tensor in the spool.
            previous: The tensor of that name as the store has it.
            descriptor: The spool's object, open for reading.

        Returns:
            None where the tensor is to be written whole.

        Raises:
            CheckpointDamaged: The tensor does not have the bytes that were taken.
        """
        spec, key = record.spec, (*slots, record.spec.name)
        if spec.nbytes < LARGE_BYTES or not spec.shape or spec.shape[0] < SAMPLES:
            return None
        row_bytes = spec.nbytes // spec.shape[0]
        block = max(1, -(-BLOCK_BYTES // row_bytes))
        size = block * row_bytes
        count = -(-spec.nbytes // size)
        known = self._known.get(key)
        sample = _sample(descriptor, record, size, count)
        promising = (
            known is not None
            and previous is not None
            and known.stored == previous
            and _alike(known.sample, sample) >= PROMISING
        )
        self._known[key] = _Known(None, sample, None)
        if not promising or known is None or previous is None:
            return None
        digest = xxhash.xxh3_128()
        blocks = array("Q", _hashes(descriptor, record, size, digest))
        if digest.hexdigest() != record.hash:
            what = f"Tensor {spec.name} changed in the spool"
            raise CheckpointDamaged(what, stem=record.object.removesuffix(OBJECT_SUFFIX), origin="spool")
        self._known[key].blocks = blocks
        if known.blocks is None or len(known.blocks) != len(blocks):
            return None
        numbers = [number for number in range(count) if blocks[number] != known.blocks[number]]
        if not numbers or len(previous.patches) >= MAX_PATCHES:
            return None
        found = ChangedRows(previous, numbers, block, row_bytes, [blocks[number] for number in numbers])
        cost = found.nbytes + INDEX_BYTES * len(numbers)
        if 2 * cost > spec.nbytes or cost + sum(patch.nbytes for patch in previous.patches) > spec.nbytes:
            return None
        return found

    def written(self, slots: tuple[str, ...], record: TensorRecord) -> None:
        """Takes note of how the store has a tensor now."""
        known = self._known.get((*slots, record.spec.name))
        if known is not None:
            known.stored = record


def _alike(one: list[int], other: list[int]) -> float:
    same = sum(a == b for a, b in zip(one, other, strict=False))
    return same / max(1, len(one), len(other))


def _sample(descriptor: int, record: TensorRecord, size: int, count: int) -> list[int]:
    """Hashes of blocks spread over the tensor, the same ones each time."""
    numbers = range(0, count, max(1, count // SAMPLES))
    end = record.offset + record.spec.nbytes
    found = []
    for number in numbers:
        begin = record.offset + number * size
        found.append(xxhash.xxh3_64_intdigest(os.pread(descriptor, min(size, end - begin), begin)))
    return found


def _hashes(descriptor: int, record: TensorRecord, size: int, whole: xxhash.xxh3_128) -> Iterator[int]:
    """The hash of each block, and ``whole`` fed with all of them."""
    step = max(1, READ_BYTES // size) * size
    end = record.offset + record.spec.nbytes
    for position in range(record.offset, end, step):
        data = memoryview(os.pread(descriptor, min(step, end - position), position))
        whole.update(data)
        for begin in range(0, len(data), size):
            yield xxhash.xxh3_64_intdigest(data[begin : begin + size])
