"""Stores: where checkpoints live for good. `open_store` turns a URL into one."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote

from holdfast.runtime.errors import StoreUnusable
from holdfast.runtime.stores.base import Store
from holdfast.runtime.stores.folder import FolderStore

ALLOWED: Final = "a path such as ./holdfast, or file:///absolute/path"
"""What a store URL may be, for messages."""

_KINDS_TO_COME: Final = ("gs", "drive", "drive-api")


def normalise(url: str) -> str:
    """The one spelling of a store URL, with the path made absolute.

    Raises:
        StoreUnusable: The URL is of no kind that is known.
    """
    if not url.strip():
        raise StoreUnusable("The store URL is empty", hint=f"Allowed: {ALLOWED}")
    scheme, separator, rest = url.partition(":")
    if scheme == "file" and separator:
        path = _path_of_file_url(url, rest)
    elif "://" in url or (separator and scheme in _KINDS_TO_COME):
        raise StoreUnusable(
            f"Stores of the kind {scheme!r} are not supported", where=url, hint=f"Allowed: {ALLOWED}"
        )
    else:
        try:
            path = Path(url).expanduser()
        except RuntimeError as error:  # ~somebody who does not exist
            raise StoreUnusable(f"The store's path cannot be read: {error}", where=url) from None
    if "\0" in str(path) or any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise StoreUnusable("The store's path holds a NUL character, or half of one", where=repr(url))
    return path.absolute().as_uri()


def _path_of_file_url(url: str, rest: str) -> Path:
    host, slash, path = rest.removeprefix("//").partition("/")
    if rest.startswith("//") and host not in ("", "localhost"):
        hint = "Write three slashes: file:///absolute/path"
        raise StoreUnusable("A file URL that names a host", where=url, hint=hint)
    if not slash or not rest.startswith("/"):
        raise StoreUnusable("A file URL without an absolute path", where=url, hint=f"Allowed: {ALLOWED}")
    return Path("/" + unquote(path if rest.startswith("//") else rest[1:]))


def open_store(url: str) -> Store:
    """Opens the store that ``url`` names. It is not touched until it is used.

    Raises:
        StoreUnusable: The URL is of no kind that is known.
    """
    return FolderStore(Path(unquote(normalise(url).removeprefix("file://"))))


__all__ = ["ALLOWED", "FolderStore", "Store", "normalise", "open_store"]
