"""The bytes of an object on their way into the store, each checked against its hash."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import xxhash

from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import CheckpointDamaged
from holdfast.runtime.manifest import INDEX_BYTES, Patch, TensorRecord
from holdfast.runtime.objects import TensorSpec, encode_header
from holdfast.runtime.partial import ChangedRows
from holdfast.runtime.stores.base import Chunk, Content

CHUNK_BYTES: Final = 1 << 20
"""Bytes copied at a time; all the memory that writing an object takes here."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A tensor that is written whole.

    Attributes:
        record: The tensor in the spool.
        descriptor: The spool's object, open for reading.
        checkpoint: Name of the checkpoint, for messages.
    """

    record: TensorRecord
    descriptor: int
    checkpoint: str

    @property
    def nbytes(self) -> int:
        """Bytes to be written."""
        return self.record.spec.nbytes

    @property
    def specs(self) -> list[TensorSpec]:
        """What it is in the object."""
        return [self.record.spec]

    def stored(self, name: str, offsets: Sequence[int]) -> TensorRecord:
        """The tensor as the store has it, once it is in the object of that name."""
        return replace(self.record, object=name, offset=offsets[0], patches=())

    def chunks(self) -> Iterator[Chunk]:
        """Its bytes.

        Raises:
            CheckpointDamaged: They are not those that were taken.
        """
        record, digest = self.record, xxhash.xxh3_128()
        buffer = memoryview(bytearray(min(CHUNK_BYTES, record.spec.nbytes)))
        position, end = record.offset, record.offset + record.spec.nbytes
        while position < end:
            count = os.preadv(self.descriptor, [buffer[: min(len(buffer), end - position)]], position)
            if count == 0:
                raise CheckpointDamaged("The snapshot is cut off", stem=self.checkpoint, origin="spool")
            digest.update(buffer[:count])
            yield buffer[:count]
            position += count
        if digest.hexdigest() != record.hash:
            what = f"Tensor {record.spec.name} changed in the spool"
            raise CheckpointDamaged(what, stem=self.checkpoint, origin="spool")


@dataclass(frozen=True, slots=True)
class Rows:
    """A tensor of which only the rows that changed are written.

    Attributes:
        record: The tensor in the spool.
        descriptor: The spool's object, open for reading.
        checkpoint: Name of the checkpoint, for messages.
        changed: Which rows.
    """

    record: TensorRecord
    descriptor: int
    checkpoint: str
    changed: ChangedRows

    @property
    def nbytes(self) -> int:
        """Bytes to be written."""
        return INDEX_BYTES * len(self.changed.numbers) + self.changed.nbytes

    @property
    def specs(self) -> list[TensorSpec]:
        """What it is in the object: the blocks' numbers, and their rows."""
        spec, rows = self.record.spec, self.changed.nbytes // self.changed.row_bytes
        return [
            TensorSpec(f"{spec.name}#blocks", "U32", (len(self.changed.numbers),)),
            TensorSpec(f"{spec.name}#rows", spec.dtype, (rows, *spec.shape[1:])),
        ]

    def stored(self, name: str, offsets: Sequence[int]) -> TensorRecord:
        """The tensor as the store has it, once they are in the object of that name."""
        changed = self.changed
        patch = Patch(name, offsets[0], offsets[1], len(changed.numbers), changed.block, changed.nbytes)
        return replace(changed.base, hash=self.record.hash, patches=(*changed.base.patches, patch))

    def chunks(self) -> Iterator[Chunk]:
        """Their bytes.

        Raises:
            CheckpointDamaged: They are not those that were compared.
        """
        yield struct.pack(f"<{len(self.changed.numbers)}I", *self.changed.numbers)
        for (begin, size), expected in zip(self.changed.spans, self.changed.hashes, strict=True):
            data = os.pread(self.descriptor, size, self.record.offset + begin)
            if xxhash.xxh3_64_intdigest(data) != expected:
                what = f"Tensor {self.record.spec.name} changed in the spool"
                raise CheckpointDamaged(what, stem=self.checkpoint, origin="spool")
            yield data


Piece = Whole | Rows


@dataclass(slots=True)
class Meter:
    """Adds up what several threads have written; what a retry writes again counts once.

    Attributes:
        total: Bytes to be written.
        report: Told how many are written, and of how many.
    """

    total: int
    report: Callable[[int, int], None]
    done: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, part: int) -> Callable[[int], None]:
        """For one part: a function to be told how far it has come, in bytes."""

        def reached(position: int) -> None:
            with self.lock:
                self.done[part] = max(position, self.done.get(part, 0))
                self.report(sum(self.done.values()), self.total)

        return reached


def object_content(pieces: Sequence[Piece], reached: Callable[[int], None]) -> tuple[Content, list[list[int]]]:
    """An object's bytes, and where in it the tensors of each piece begin.

    Args:
        pieces: What the object holds, in this order.
        reached: Told how many bytes of tensors have been read, from 0 at each beginning.
    """
    specs = [piece.specs for piece in pieces]
    header, flat = encode_header([spec for group in specs for spec in group])
    offsets, position = [], 0
    for group in specs:
        offsets.append(flat[position : position + len(group)])
        position += len(group)

    def chunks() -> Iterator[Chunk]:
        yield header
        done = 0
        for piece in pieces:
            for chunk in piece.chunks():
                yield chunk
                done += len(chunk)
                reached(done)
            reach("store.object.middle")

    return Content(len(header) + sum(piece.nbytes for piece in pieces), chunks), offsets
