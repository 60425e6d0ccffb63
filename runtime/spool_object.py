"""Writing one object of the spool: the tensors of a snapshot, hashed on the way."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import xxhash

from holdfast.runtime.crashpoints import reach
from holdfast.runtime.files import write_at
from holdfast.runtime.manifest import TensorRecord
from holdfast.runtime.objects import encode_header
from holdfast.runtime.snapshot import TensorSource
from holdfast.runtime.unchanged import probe_of

CHUNK_BYTES: Final = 4 << 20
"""Bytes hashed, then written, at a time: small enough to still be in the processor's cache."""


@dataclass(frozen=True, slots=True)
class WrittenTensor:
    """A tensor in an object: where it lies, and the hash of its beginning."""

    record: TensorRecord
    probe: int


def write_object(
    path: Path, name: str, sources: Sequence[TensorSource], locks: ExitStack, *, keep: bool
) -> list[WrittenTensor]:
    """Writes tensors into a file, over what is there.

    Args:
        path: The file.
        name: The object's name, for the records.
        sources: The tensors, in this order.
        locks: Lets go of the shared lock on the file, and closes it.
        keep: Whether the tensors' references are kept; else each is dropped when it is written.
    """
    header, offsets = encode_header([source.spec for source in sources])
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    locks.callback(unlock_and_close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    write_at(descriptor, memoryview(header), 0)
    written = []
    for source, offset in zip(sources, offsets, strict=True):
        digest, probe = _write_tensor(descriptor, source, offset)
        written.append(WrittenTensor(TensorRecord(source.spec, name, offset, digest), probe))
        if not keep:
            source.let_go()
    os.ftruncate(descriptor, len(header) + sum(source.spec.nbytes for source in sources))
    return written


def unlock_and_close(descriptor: int) -> None:
    """Closes a locked file; a child that was forked meanwhile shares the lock, and would keep it otherwise."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _write_tensor(descriptor: int, source: TensorSource, offset: int) -> tuple[str, int]:
    """Writes one tensor; returns its hash, and that of its beginning.

    Hashed here, next to its source, so that all that can happen to the bytes from now on is found out.
    """
    assert source.buffer is not None, "a snapshot is written once"
    digest, probe, position = xxhash.xxh3_128(), 0, offset
    for part in source.buffer():
        if position == offset:
            probe = probe_of(part)
        for begin in range(0, len(part), CHUNK_BYTES):
            chunk = part[begin : begin + CHUNK_BYTES]
            digest.update(chunk)
            write_at(descriptor, chunk, position)
            position += len(chunk)
    reach("spool.object.middle")
    return digest.hexdigest(), probe
