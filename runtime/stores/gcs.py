"""The Cloud Storage store: objects in a bucket, each created once and for all."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from google.api_core.exceptions import BadRequest

from holdfast.runtime.errors import (
    FormatInvalid,
    HoldfastError,
    ObjectExists,
    ObjectNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores.base import Capabilities, Content, Listing, Store, parts_of
from holdfast.runtime.stores.gcs_client import BucketClient
from holdfast.runtime.stores.gcs_errors import no_bucket, translated, wants_payer
from holdfast.runtime.stores.gcs_upload import IN_SESSION, TIMEOUT_SECONDS, Body, SessionLost, upload
from holdfast.runtime.stores.urls import Location

PARALLEL: Final = 3
"""Objects written, or ranges read, at a time. Each upload takes two chunks of memory, 17 MiB, beside the
35 MiB of the client."""

SESSIONS: Final = 3
"""Sessions begun for one upload, where the server loses them."""

LONGEST_NAME: Final = 1024
"""Bytes of an object's name, https://cloud.google.com/storage/docs/objects#naming"""

PAGE_NAMES: Final = 1000
"""Names in one page of a listing: as many as the server gives."""

ONCE: Final[dict[str, Any]] = {"timeout": TIMEOUT_SECONDS, "retry": None}
"""How the client is to ask: trying again is for `Retrying`."""

T = TypeVar("T")


class GcsStore(Store):
    """Objects in a bucket, below a prefix.

    Names are never used again, and every write has the precondition that there is no such object. So one
    whose outcome is not known can be looked at, size and checksum, and done again.

    Args:
        bucket: Name of the bucket.
        prefix: What each name begins with, without the slash after it; may be empty.
        client: That of another store of the bucket, to be shared.
    """

    capabilities = Capabilities(atomic_create=True, confirmed_on_return=True, parallel=PARALLEL, remote=True)

    def __init__(self, bucket: str, prefix: str, client: BucketClient | None = None) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.url = Location("gs", prefix, bucket).url
        self._client = client or BucketClient(bucket)

    def under(self, prefix: str) -> GcsStore:
        return GcsStore(self.bucket, self._key(prefix), self._client)

    def check(self) -> None:
        # By doing it: who may use the objects of a bucket often may not ask about the bucket.
        probe = f".probe-{secrets.token_hex(8)}"
        try:
            try:
                self.create(probe, Content.of(b"holdfast"))
                self.read(probe, 8)
                self._ask("", self._list_one)
            except HoldfastError:
                with suppress(HoldfastError):  # it may be there, or not
                    self.delete(probe)
                raise
            self._delete(probe, IN_SESSION)
        except StoreUnavailable:
            raise
        except HoldfastError as error:
            raise StoreUnusable(error.what, where=self.url, hint=error.hint) from None

    def _list_one(self, bucket: Any) -> None:
        list(bucket.list_blobs(prefix=f"{self.prefix}/" if self.prefix else None, max_results=1, **ONCE))

    def create(self, name: str, content: Content) -> None:
        key, body = self._key(name), Body(content)
        for session in range(SESSIONS):
            try:
                self._ask(name, lambda bucket: upload(bucket.blob(key), body))
            except HoldfastError as error:
                if body.failure is not None:
                    raise body.failure from None
                if isinstance(error, ObjectNotFound):
                    raise no_bucket(self.url, self.bucket) from None
                if not isinstance(error, StoreUnavailable):
                    raise
                if self._came_through(name, body):
                    return
                if session == SESSIONS - 1 or not isinstance(error, SessionLost):
                    raise
            else:
                return

    def _came_through(self, name: str, body: Body) -> bool:
        """Whether a create that failed, or one before it, has stored its content after all.

        Raises:
            ObjectExists: Another content is stored.
        """
        found = self._look(name)
        if found is not None and not _matches(found, body):
            raise ObjectExists("Already in the store", where=self._where(name)) from None
        return found is not None

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        key = self._key(name)
        target = _Target(buffer.cast("B"))
        if not target.rest:
            self.size(name)  # which is whether it is there

        def read_on(bucket: Any) -> None:
            bucket.blob(key).download_to_file(
                target,
                start=offset + target.filled,
                end=offset + target.filled + len(target.rest) - 1,
                raw_download=True,
                checksum=None,  # the server's is that of the whole object
                **ONCE,
            )

        while target.rest:
            filled = target.filled
            try:
                self._ask(name, read_on)
            except StoreUnavailable:
                if target.filled == filled:
                    raise
                continue  # it broke off: on from there, for as long as it gets on
            if target.rest:
                what = f"The object ends {len(target.rest)} bytes too early"
                raise FormatInvalid(what, where=self._where(name))

    def size(self, name: str) -> int:
        key = self._key(name)
        return self._ask(name, lambda bucket: int(_looked_at(bucket.blob(key)).size))

    def list(self, prefix: str) -> Listing:
        folder = self._key(prefix) if prefix else self.prefix
        start = f"{folder}/" if folder else ""

        def ask(bucket: Any) -> Listing:
            found = bucket.list_blobs(
                prefix=start,
                delimiter="/",
                page_size=PAGE_NAMES,
                fields="items(name,size),prefixes,nextPageToken",
                **ONCE,
            )
            # Whoever makes a folder in the console makes an object that is named like it.
            sizes = {blob.name[len(start) :]: int(blob.size) for blob in found if blob.name != start}
            folders = {one[len(start) : -1] for one in found.prefixes}
            return Listing(sizes, frozenset(folders - {""}))

        try:
            return self._ask(prefix, ask)
        except ObjectNotFound:
            raise no_bucket(self.url, self.bucket) from None

    def delete(self, name: str) -> None:
        self._delete(name, None)

    def holds(self, name: str, content: Content) -> bool:
        found = self._look(name)
        return found is not None and _matches(found, Body(content))

    def _delete(self, name: str, retry: Any) -> None:
        key = self._key(name)
        with suppress(ObjectNotFound):
            self._ask(name, lambda bucket: bucket.blob(key).delete(**{**ONCE, "retry": retry}))

    def _look(self, name: str) -> Any:
        """The client's `Blob` of ``name`` with the server's word on it, or None."""
        key = self._key(name)
        try:
            return self._ask(name, lambda bucket: _looked_at(bucket.blob(key)))
        except ObjectNotFound:
            return None

    def _ask(self, name: str, act: Callable[[Any], T]) -> T:
        """What ``act`` returns, given the bucket; its failures as the project's errors, at this edge only."""
        try:
            bucket = self._client.bucket()
            try:
                return act(bucket)
            except BadRequest as error:
                if not (wants_payer(error) and self._client.may_pay(bucket)):
                    raise
            return act(self._client.bucket())
        except Exception as error:
            raise translated(error, self._where(name), self.bucket) from None

    def _key(self, name: str) -> str:
        """The object's whole name in the bucket."""
        parts_of(name)
        key = f"{self.prefix}/{name}" if self.prefix else name
        if len(key.encode()) > LONGEST_NAME or any(letter in name for letter in "\r\n"):
            raise FormatInvalid("Not a name in a store", where=repr(name[:80]))
        return key

    def _where(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url


class _Target:
    """A buffer as the file that the client downloads into."""

    def __init__(self, buffer: memoryview) -> None:
        self.rest, self.filled = buffer, 0

    def write(self, data: bytes) -> int:
        if len(data) > len(self.rest):
            raise StoreUnavailable("Cloud Storage sent more than was asked for")
        self.rest[: len(data)] = data
        self.rest = self.rest[len(data) :]
        self.filled += len(data)
        return len(data)


def _looked_at(blob: Any) -> Any:
    blob.reload(**ONCE)
    return blob


def _matches(found: Any, body: Body) -> bool:
    """Whether an object has the content of ``body``, which is read only where the size is right."""
    return bool(found.size == body.content.size and found.crc32c == body.crc32c())
