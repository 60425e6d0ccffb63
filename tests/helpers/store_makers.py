"""The stores that the contract is tested on, each made and taken down by a context manager."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.runtime.spool import Spool
from holdfast.runtime.stores.base import Store
from holdfast.runtime.stores.folder import FolderStore


@dataclass(frozen=True, slots=True)
class Made:
    """A store for a test.

    Attributes:
        store: It.
        other: An independent client of the same place, as another machine has one.
        folder: Where its files lie, for stores that are folders.
    """

    store: Store
    other: Store
    folder: Path | None = None


@contextmanager
def folder_store(tmp_path: Path) -> Iterator[Made]:
    """A local folder."""
    folder = tmp_path / "top" / "store"
    yield Made(FolderStore(folder), FolderStore(folder), folder)


@contextmanager
def spool_store(tmp_path: Path) -> Iterator[Made]:
    """A spool, which can be read as a store."""
    folder = tmp_path / "top" / "store"
    yield Made(Spool(folder), Spool(folder), folder)


def made_by(module: str, name: str) -> Callable[[Path], AbstractContextManager[Made]]:
    """A maker in another module, which itself needs this one."""

    def maker(tmp_path: Path) -> AbstractContextManager[Made]:
        made: AbstractContextManager[Made] = getattr(importlib.import_module(module), name)(tmp_path)
        return made

    return maker


MAKERS: dict[str, Callable[[Path], AbstractContextManager[Made]]] = {
    "folder": folder_store,
    "spool": spool_store,
    "gcs": made_by("helpers.gcs_server", "gcs_store"),
    "drive": made_by("helpers.drive_mount", "drive_store"),
    "drive-api": made_by("helpers.drive_server", "drive_api_store"),
}
