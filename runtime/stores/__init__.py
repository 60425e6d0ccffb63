"""Stores: where checkpoints live for good. `open_store` turns a URL into one."""

from __future__ import annotations

from pathlib import Path

from holdfast.runtime.stores.base import Content, Store
from holdfast.runtime.stores.folder import FolderStore
from holdfast.runtime.stores.retrying import Failed, Retrying
from holdfast.runtime.stores.urls import ALLOWED, Location, locate, normalise


def open_store(url: str, *, deadline: float = 0.0, failed: Failed = lambda _: None) -> Store:
    """Opens the store that ``url`` names. It is not touched until it is used.

    Args:
        url: As `urls.normalise` understands it.
        deadline: Seconds for which an operation is tried again while the store does not answer.
        failed: Told of each failure that is tried again.

    Raises:
        StoreUnusable: The URL is of no kind that is known, or a package for it is missing.
    """
    return Retrying(_bare(locate(url)), deadline, failed)


def _bare(location: Location) -> Store:
    # Imported when needed: each client takes memory, and none is wanted for a folder.
    match location.kind:
        case "file":
            return FolderStore(Path(location.path))
        case "gs":
            from holdfast.runtime.stores.gcs import GcsStore

            return GcsStore(location.bucket, location.path)
        case "drive":
            from holdfast.runtime.stores.drive import DriveFolder

            return DriveFolder(location.path)
        case "drive-api":
            from holdfast.runtime.stores.drive_api import DriveApiStore

            return DriveApiStore(location.path)


__all__ = ["ALLOWED", "Content", "FolderStore", "Location", "Store", "locate", "normalise", "open_store"]
