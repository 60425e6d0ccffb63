"""What a store is: seven operations, and what it promises, as data."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from holdfast.runtime.errors import FormatInvalid, ObjectNotFound

Chunk = bytes | memoryview
COMPARE_BYTES: Final = 1 << 20
"""Bytes compared at a time where a store has no checksums."""

Confirmation = Literal["confirmed", "pending", "unknown"]
"""Whether what was written is known to be safe: ``pending`` may become ``confirmed``, ``unknown``
means that this store cannot tell."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store promises, so that no caller asks for its type.

    Attributes:
        atomic_create: Of two that create one name, exactly one succeeds.
        confirmed_on_return: What `Store.create` has written outlives this machine's processes and
            its power; where False, *written* is not yet *confirmed*, and `Store.confirm` tells.
        parallel: Objects worth writing, or ranges worth reading, at a time.
        remote: Every request crosses a network: neighbouring ranges are read together.
    """

    atomic_create: bool
    confirmed_on_return: bool
    parallel: int = 1
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies directly in a folder of a store.

    Attributes:
        sizes: Size in bytes of each object, by its last name.
        folders: Last names of the folders.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Quota:
    """Room in a store, in bytes.

    Attributes:
        total: All there is for this user, where that is known.
        free: What may still be written.
    """

    total: int | None
    free: int


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be stored, which a retry can read from the beginning again.

    Attributes:
        size: How many there are.
        chunks: Gives them in order, anew at each call.
    """

    size: int
    chunks: Callable[[], Iterator[Chunk]]

    @classmethod
    def of(cls, *pieces: Chunk) -> Content:
        """Content that is in memory."""
        return cls(sum(len(piece) for piece in pieces), lambda: iter(pieces))


def parts_of(name: str, most_bytes: int | None = None) -> list[str]:
    """The parts of a name in a store.

    Args:
        name: The name.
        most_bytes: How long a part may be at most; None for any length.

    Raises:
        FormatInvalid: It is none: it is empty, absolute, leads elsewhere, or no store could have it.
    """
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:  # half a character
        sizes = [0]
    if (
        0 in sizes
        or any(part in (".", "..") or "\0" in part for part in parts)
        or (most_bytes is not None and max(sizes) > most_bytes)
    ):
        raise FormatInvalid("Not a name in a store", where=repr(name[:80]))
    return parts


class Store(abc.ABC):
    """Immutable named byte strings in folders. Names are relative, with ``/`` between parts.

    Every operation raises `StoreUnavailable` where the store does not answer, `StoreRefused` where
    it answers that it will not, and `FormatInvalid` at a name that leads elsewhere. Operations may be
    called from several threads at once.

    Attributes:
        capabilities: What it promises.
        url: Where it is, for messages; never with credentials.
    """

    capabilities: Capabilities
    url: str

    @abc.abstractmethod
    def under(self, prefix: str) -> Store:
        """The store of the names that begin with ``prefix/``."""

    @abc.abstractmethod
    def check(self) -> None:
        """Makes sure that one can read and write here.

        Raises:
            StoreUnusable: One cannot; the message says why, and what to do.
        """

    @abc.abstractmethod
    def create(self, name: str, content: Content) -> None:
        """Stores ``content`` under ``name``.

        Where that fails the name is not there, or what is there is not of the size it should be: whoever
        reads checks sizes and hashes. What ``content`` raises passes through.

        Raises:
            ObjectExists: The name is taken. A store with checksums may let it pass where it
                holds these very bytes, since its own earlier try may have put them there.
        """

    @abc.abstractmethod
    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        """Fills ``buffer`` with the bytes from ``offset`` on.

        Raises:
            ObjectNotFound: There is no such name.
            FormatInvalid: It is too short for that.
        """

    @abc.abstractmethod
    def size(self, name: str) -> int:
        """The size of ``name`` in bytes.

        Raises:
            ObjectNotFound: There is no such name.
        """

    @abc.abstractmethod
    def list(self, prefix: str) -> Listing:
        """What lies directly in the folder ``prefix``, or here where it is empty; nothing where there is no
        such folder.
        """

    @abc.abstractmethod
    def delete(self, name: str) -> None:
        """Removes ``name`` for good; no error if it is not there."""

    def leftovers(self, prefix: str) -> dict[str, str]:  # noqa: ARG002 - most stores have none
        """What uploads that broke off left in the folder ``prefix``: names, and what they were to become."""
        return {}

    def confirm(self, name: str, content: Content | None = None) -> Confirmation:
        """Whether ``name``, which was written, is known to be safe.

        Args:
            name: What was written.
            content: Its bytes, for stores that compare a checksum; without them the size must do.
        """
        del name, content
        return "confirmed" if self.capabilities.confirmed_on_return else "unknown"

    def read_ahead(self, name: str, offset: int, size: int) -> None:
        """Told that these bytes will probably be read soon; where that can be prepared at no cost, it is."""
        del name, offset, size

    def quota(self) -> Quota | None:
        """The room there is; None where the store does not tell."""
        return None

    def holds(self, name: str, content: Content) -> bool:
        """Whether ``name`` has just these bytes: asked after a try whose outcome is not known."""
        try:
            if self.size(name) != content.size:
                return False
            offset = 0
            for chunk in content.chunks():
                view = memoryview(chunk).cast("B")
                for begin in range(0, len(view), COMPARE_BYTES):
                    piece = view[begin : begin + COMPARE_BYTES]
                    if self.read(name, len(piece), offset) != piece:
                        return False
                    offset += len(piece)
        except ObjectNotFound:
            return False
        return True

    def read(self, name: str, size: int, offset: int = 0) -> bytes:
        """``size`` bytes of ``name`` from ``offset`` on, as `read_into`."""
        buffer = bytearray(size)
        self.read_into(name, offset, memoryview(buffer))
        return bytes(buffer)

    def sizes(self, prefix: str) -> dict[str, int]:
        """The objects directly in the folder ``prefix``, each with its size in bytes."""
        return self.list(prefix).sizes
