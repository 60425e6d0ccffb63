"""Content as the client's resumable upload wants it, a piece at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from googleapiclient.http import MediaUpload

from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.stores.base import Content

PIECE_BYTES: Final = 8 << 20
"""Bytes sent in one request, and held in memory; Drive wants a multiple of 256 KiB."""


class PiecewiseUpload(MediaUpload):
    """A `Content` under way to Drive.

    Attributes:
        failures: What reading the content raised.
    """

    def __init__(self, content: Content, piece_bytes: int = PIECE_BYTES) -> None:
        self.content = content
        self.failures: list[BaseException] = []
        self._piece = bytearray(min(piece_bytes, content.size))
        self._piece_bytes = piece_bytes
        self._begin()

    def chunksize(self) -> int:
        return self._piece_bytes

    def mimetype(self) -> str:
        return "application/octet-stream"

    def size(self) -> int:
        return self.content.size

    def resumable(self) -> bool:
        return True

    @property
    def md5(self) -> str:
        """Hex digest of the whole content; empty until all of it has been read."""
        return self._md5.hexdigest() if self._hashed == self.content.size else ""

    def getbytes(self, begin: int, length: int) -> memoryview:
        """The bytes from ``begin`` on; valid until the next call.

        Drive may ask again for what it has not kept: that is in the last piece, or else the
        content is read once more.
        """
        try:
            return self._bytes(begin, min(length, self.content.size - begin))
        except BaseException as error:
            self.failures.append(error)
            raise

    def _begin(self) -> None:
        self._chunks: Iterator[memoryview] = iter(())
        self._rest = memoryview(b"")
        self._at = self._filled = 0  # the piece holds the bytes from _at to _at + _filled
        self._md5, self._hashed = hashlib.md5(usedforsecurity=False), 0
        self._chunks = (memoryview(chunk).cast("B") for chunk in self.content.chunks())

    def _bytes(self, begin: int, length: int) -> memoryview:
        if begin < self._at:
            self._begin()
        while begin > self._at + self._filled:  # what Drive has kept already
            self._at, self._filled = self._at + self._filled, 0
            self._fill(min(len(self._piece), begin - self._at))
        keep = self._at + self._filled - begin
        self._piece[:keep] = self._piece[self._filled - keep : self._filled]
        self._at, self._filled = begin, keep
        self._fill(length)
        if begin + length == self.content.size:
            self._end()
        return memoryview(self._piece)[:length]

    def _fill(self, length: int) -> None:
        while self._filled < length:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise FormatInvalid(f"The content ends before its {self.content.size} bytes")
                self._rest = chunk
            taken = self._rest[: length - self._filled]
            self._piece[self._filled : self._filled + len(taken)] = taken
            self._md5.update(taken)
            self._hashed += len(taken)
            self._filled += len(taken)
            self._rest = self._rest[len(taken) :]

    def _end(self) -> None:
        """Reads on to the end of the chunks, which may have something to say there, or be too many."""
        if self._rest or any(len(chunk) for chunk in self._chunks):
            raise FormatInvalid(f"The content goes on after its {self.content.size} bytes")
