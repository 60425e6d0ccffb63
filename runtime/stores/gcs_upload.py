"""One upload to Cloud Storage: content as the file that the client wants, and its checksum."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any, Final

import google_crc32c
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.storage.retry import DEFAULT_RETRY

from holdfast.runtime.errors import StoreUnavailable
from holdfast.runtime.stores.base import Chunk, Content

CHUNK_BYTES: Final = 8 << 20
"""Bytes of one request. Content up to this size is one request, more is a session of several: smaller chunks
are slower by far, larger ones take memory."""

TIMEOUT_SECONDS: Final = (60.0, 30.0)
"""The longest that a request may take to connect and to send a chunk, and then to be answered. A chunk in
60 seconds is about 1 Mbit/s."""

SESSION_SECONDS: Final = 90.0
"""For so long one chunk of a session is tried again: a new try from outside begins at the first chunk."""

IN_SESSION: Final = DEFAULT_RETRY.with_deadline(SESSION_SECONDS)
"""Safe, since each upload has a precondition."""


class SessionLost(StoreUnavailable):
    """The server no longer knows the session of an upload; another may be begun."""


class Body:
    """Content as a file that is read in order.

    Attributes:
        content: What is read.
        position: Bytes read so far.
        failure: What the content raised, to be told from what the client raises.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self.failure: Exception | None = None
        self.begin()

    def begin(self) -> None:
        """Goes back to the first byte."""
        self.position, self._crc = 0, 0
        self._chunks: Iterator[Chunk] | None = None
        self._rest = memoryview(b"")

    def tell(self) -> int:
        return self.position

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer at the end. What the content raises passes through.

        The last of them are given only once the content has ended well: it may raise at its very end, and
        nothing must have been stored then.
        """
        try:
            data = self._take(min(count, self.content.size - self.position))
        except Exception as error:
            self.failure = error
            raise
        self._crc = google_crc32c.extend(self._crc, data)
        return data

    def crc32c(self) -> str:
        """The checksum of the whole content as Cloud Storage writes it. Reads what is left to read."""
        while self.position < self.content.size or self._chunks is None:
            self.read(CHUNK_BYTES)
        return base64.b64encode(self._crc.to_bytes(4, "big")).decode()

    def _take(self, count: int) -> bytes:
        if self._chunks is None:
            self._chunks = self.content.chunks()
        taken = io.BytesIO()  # gives its bytes away without a copy
        while missing := count - taken.tell():
            if not self._rest and not self._advance():
                raise ValueError(f"A content ended before its {self.content.size} bytes")
            taken.write(self._rest[:missing])
            self._rest = self._rest[missing:]
        self.position += count
        if self.position == self.content.size and (self._rest or self._advance()):
            raise ValueError(f"A content went on after its {self.content.size} bytes")
        return taken.getvalue()

    def _advance(self) -> bool:
        """Goes to the next chunk that is not empty."""
        for chunk in self._chunks or ():
            self._rest = memoryview(chunk).cast("B")
            if self._rest:
                return True
        return False


def upload(blob: Any, body: Body) -> None:
    """Creates the object ``blob`` with the content of ``body``, if there is no such object.

    Args:
        blob: The client's `Blob`; the bucket need not be there.
        body: Read from its beginning.

    Raises:
        SessionLost: The server lost it in the midst.
        StoreUnavailable: What the server says it has stored is something else.
        Exception: What the client raises; the object may have been created nevertheless.
    """
    body.begin()
    size = body.content.size
    in_one = size <= CHUNK_BYTES
    blob.chunk_size = CHUNK_BYTES
    try:
        blob.upload_from_file(
            body,
            size=size,
            content_type="application/octet-stream",
            if_generation_match=0,
            checksum="crc32c",
            timeout=TIMEOUT_SECONDS,
            retry=None if in_one else IN_SESSION,
        )
    except GoogleAPICallError as error:
        if error.code in (404, 410) and body.position and not in_one:
            raise SessionLost("Cloud Storage lost the session of an upload") from None
        raise
    if (blob.size, blob.crc32c) != (size, body.crc32c()):
        raise StoreUnavailable("Cloud Storage answers with another size or checksum than was sent")
