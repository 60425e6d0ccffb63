"""What a store is: six operations, and what it promises, as data."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store promises, so that no caller asks for its type.

    Attributes:
        atomic_create: Of two that create one name, exactly one succeeds.
        confirmed_on_return: What `create` has written outlives this machine's processes and its
            power; where False, *written* is not yet *confirmed*.
    """

    atomic_create: bool
    confirmed_on_return: bool


class Store(abc.ABC):
    """A flat set of immutable named byte strings. Names are relative, with ``/`` between parts.

    Every operation raises `StoreUnavailable` where the store does not answer.
    """

    capabilities: Capabilities

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """The store's URL, for messages."""

    @abc.abstractmethod
    def under(self, prefix: str) -> Store:
        """The store of the names that begin with ``prefix/``."""

    @abc.abstractmethod
    def check(self) -> None:
        """Makes sure that one can read and write here.

        Raises:
            StoreUnusable: One cannot; the message says why.
        """

    @abc.abstractmethod
    def create(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Stores the joined ``chunks`` under ``name``, whole or not at all.

        Raises:
            ObjectExists: The name is taken.
        """

    @abc.abstractmethod
    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        """Fills ``buffer`` with the bytes from ``offset`` on.

        Raises:
            ObjectNotFound: There is no such name.
            FormatInvalid: It is too short for that.
        """

    @abc.abstractmethod
    def sizes(self, prefix: str) -> dict[str, int]:
        """The names directly in the folder ``prefix``, each with its size in bytes."""

    @abc.abstractmethod
    def delete(self, name: str) -> None:
        """Removes ``name``; no error if it is not there."""

    def leftovers(self, prefix: str) -> dict[str, str]:  # noqa: ARG002 - most stores have none
        """What uploads that broke off left in the folder ``prefix``: names, and what they were to become."""
        return {}

    def read(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes of ``name``, as `read_into`."""
        buffer = bytearray(size)
        self.read_into(name, 0, memoryview(buffer))
        return bytes(buffer)
