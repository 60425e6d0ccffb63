"""Stores and files with one fault each, named after it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.runtime import spool as spool_module
from holdfast.runtime import spool_object
from holdfast.runtime.errors import ObjectNotFound, StoreRefused, StoreUnavailable
from holdfast.runtime.stores.base import Capabilities, Confirmation, Content, Listing, Quota
from holdfast.runtime.stores.folder import FolderStore


class WithoutExclusivity(FolderStore):
    """Of two that create one name, the later wins, as on a synchronised drive."""

    capabilities = Capabilities(atomic_create=False, confirmed_on_return=True)

    def create(self, name: str, content: Content) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(content.chunks()))


class ActsAfterCreate(FolderStore):
    """Lets somebody else act right after the first object whose name begins with ``prefix``."""

    def __init__(self, folder: Path, prefix: str, act: Callable[[], None]) -> None:
        super().__init__(folder)
        self.prefix, self.act, self.acted = prefix, act, False

    def create(self, name: str, content: Content) -> None:
        super().create(name, content)
        if name.startswith(self.prefix) and not self.acted:
            self.acted = True
            self.act()


class RefusesManifests(FolderStore):
    """Fails at each manifest for as long as ``refusing``: uploads break off after their object."""

    refusing = True

    def create(self, name: str, content: Content) -> None:
        if self.refusing and name.startswith("manifests/"):
            raise StoreUnavailable("The store failed: on purpose", where=name)
        super().create(name, content)


def unexpected(error: Exception) -> None:
    """To be told of damage where there is none."""
    raise AssertionError(f"said to be damaged: {error}")


def flip_bit(path: Path, offset: int = -1) -> None:
    """Changes one bit of a file, in place; by default in its last byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path, share: float = 0.5) -> None:
    """Cuts a file off after that share of its bytes."""
    os.truncate(path, int(path.stat().st_size * share))


@contextmanager
def full_disk(*, after_bytes: int = 0) -> Iterator[None]:
    """A spool's disk on which only so many more bytes of objects fit."""
    left = after_bytes

    def write_at(descriptor: int, data: memoryview, offset: int) -> None:
        nonlocal left
        if len(data) > left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= len(data)
        os.pwrite(descriptor, data, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_object, "write_at", write_at)
        yield


@contextmanager
def no_room_for_manifests() -> Iterator[None]:
    """A spool's disk on which an object fits, and then its manifest does not."""

    def replace_atomically(path: Path, data: bytes, **how: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "replace_atomically", replace_atomically)
        yield


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, to see what was touched."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


class FailsFor(FolderStore):
    """Every operation fails for its first ``tries`` tries."""

    def __init__(self, folder: Path, *, tries: int, error: type[Exception] = StoreUnavailable) -> None:
        super().__init__(folder)
        self.tries, self.error = tries, error
        self.left: dict[str, int] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in STORE_OPERATIONS:
            return found

        def fails_first(*arguments: Any, **named: Any) -> Any:
            left = self.left.setdefault(name, self.tries)
            if left:
                self.left[name] = left - 1
                raise self.error("The store failed: on purpose")
            try:
                return found(*arguments, **named)
            finally:
                self.left.pop(name, None)

        return fails_first

    def under(self, prefix: str) -> FailsFor:
        return FailsFor(self._path(prefix), tries=self.tries, error=self.error)


STORE_OPERATIONS = frozenset(
    ["check", "create", "read_into", "size", "list", "delete", "leftovers", "confirm", "quota", "holds"]
)


class SaysFailedButDidIt(FolderStore):
    """The first create comes through, and its reply is lost; or ``instead`` is found there."""

    def __init__(self, folder: Path, instead: bytes | None = None) -> None:
        super().__init__(folder)
        self.instead, self.lost = instead, False

    def create(self, name: str, content: Content) -> None:
        if self.lost:
            return super().create(name, content)
        self.lost = True
        super().create(name, content if self.instead is None else Content.of(self.instead))
        raise StoreUnavailable("The reply was lost: on purpose", where=name)


class CountsRequests(FolderStore):
    """Counts what is asked of it; no fault, but what shows a wasteful caller."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.requests: list[tuple[str, str]] = []

    def count(self, operation: str) -> int:
        """How often an operation was asked for."""
        return sum(asked == operation for asked, _ in self.requests)

    def create(self, name: str, content: Content) -> None:
        self.requests.append(("create", name))
        super().create(name, content)

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        self.requests.append(("read_into", name))
        super().read_into(name, offset, buffer)

    def size(self, name: str) -> int:
        self.requests.append(("size", name))
        return super().size(name)

    def list(self, prefix: str) -> Listing:
        self.requests.append(("list", prefix))
        return super().list(prefix)


class ConfirmsLater(FolderStore):
    """What is written is safe only once the test says so, as on a drive that uploads by itself.

    Attributes:
        safe: Names that are safe.
        answer: What is said of all others.
        asked: How often it was asked.
        failing: It does not answer.
        missing: It says that there is no such thing.
    """

    capabilities = Capabilities(atomic_create=False, confirmed_on_return=False)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.safe: set[str] = set()
        self.answer: Confirmation = "pending"
        self.asked = 0
        self.failing = self.missing = False

    def confirm(self, name: str, content: Content | None = None) -> Confirmation:
        self.asked += 1
        if self.failing:
            raise StoreUnavailable("The store failed: on purpose", where=name)
        if self.missing:
            raise ObjectNotFound("Not in the store: on purpose", where=name)
        return "confirmed" if name in self.safe else self.answer


class HasRoomFor(FolderStore):
    """A store that says how much room it has; None for not at all."""

    def __init__(self, folder: Path, free: int | None, *, total: int | None) -> None:
        super().__init__(folder)
        self.free, self.total = free, total

    def quota(self) -> Quota | None:
        return None if self.free is None else Quota(self.total, self.free)


class DeletesWhileOpened(FolderStore):
    """Another machine's retention deletes these names once the first manifest has been read."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        super().__init__(folder)
        self.names = names

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        super().read_into(name, offset, buffer)
        while self.names:
            self.delete(self.names.pop(0))


class RefusesNames(FolderStore):
    """Has no room for objects with ``refused`` in their names."""

    def __init__(self, folder: Path, refused: str) -> None:
        super().__init__(folder)
        self.refused = refused

    def create(self, name: str, content: Content) -> None:
        if self.refused in name:
            raise StoreRefused("No room: on purpose", where=name)
        super().create(name, content)


class LosesTheReply(FolderStore):
    """The first create of a name that begins with ``prefix`` comes through, and is said to have failed."""

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__(folder)
        self.prefix, self.lost = prefix, False

    def create(self, name: str, content: Content) -> None:
        super().create(name, content)
        if name.startswith(self.prefix) and not self.lost:
            self.lost = True
            raise StoreUnavailable("The reply was lost: on purpose", where=name)
