"""Stores: where checkpoints live for good. `open_store` turns a URL into one."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from holdfast.runtime.errors import StoreUnusable
from holdfast.runtime.stores.base import Store
from holdfast.runtime.stores.folder import FolderStore

ALLOWED: Final = "a path such as ./holdfast, or file:///absolute/path"
"""What a store URL may be, for messages."""


def normalise(url: str) -> str:
    """The one spelling of a store URL, with the path made absolute.

    Raises:
        StoreUnusable: The URL is of no kind that is known.
    """
    if not url.strip():
        raise StoreUnusable("The store URL is empty", hint=f"Allowed: {ALLOWED}")
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            hint = "Write three slashes: file:///absolute/path"
            raise StoreUnusable("A file URL that names a host", where=url, hint=hint)
        path = Path(unquote(parts.path))
    elif "://" in url or (parts.scheme and parts.scheme in ("gs", "drive", "drive-api", "s3", "http", "https")):
        raise StoreUnusable(
            f"Stores of the kind {parts.scheme!r} are not supported", where=url, hint=f"Allowed: {ALLOWED}"
        )
    else:
        path = Path(url).expanduser()
    if "\0" in str(path):
        raise StoreUnusable("The store's path holds a NUL character", where=repr(url))
    return path.absolute().as_uri()


def open_store(url: str) -> Store:
    """Opens the store that ``url`` names. It is not touched until it is used.

    Raises:
        StoreUnusable: The URL is of no kind that is known.
    """
    return FolderStore(Path(unquote(urlsplit(normalise(url)).path)))


__all__ = ["ALLOWED", "FolderStore", "Store", "normalise", "open_store"]
