"""Store URLs: one spelling for each place. Pure, but for the working folder of a relative path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, unquote

from holdfast.runtime.errors import StoreUnusable

ALLOWED: Final = (
    "a path such as ./holdfast, file:///absolute/path, gs://bucket/prefix, drive:folder (the mounted Google "
    "Drive), or drive-api:folder (Google Drive without the mount)"
)
"""What a store URL may be, for messages."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store is.

    Attributes:
        kind: Which kind of store.
        path: The folder's absolute path, the prefix in the bucket, or the folder in Drive; without a
            slash at its end.
        bucket: Name of the bucket, for ``gs``.
    """

    kind: Literal["file", "gs", "drive", "drive-api"]
    path: str
    bucket: str = ""

    @property
    def url(self) -> str:
        """The one spelling of its URL."""
        match self.kind:
            case "file":
                return Path(self.path).as_uri()
            case "gs":
                return f"gs://{self.bucket}" + (f"/{quote(self.path)}" if self.path else "")
            case _:
                return f"{self.kind}:{quote(self.path)}"


def normalise(url: str) -> str:
    """The one spelling of a store URL, with a path made absolute.

    Raises:
        StoreUnusable: The URL is of no kind that is known.
    """
    return locate(url).url


def locate(url: str) -> Location:
    """Reads a store URL, or a path.

    Raises:
        StoreUnusable: The URL is of no kind that is known.
    """
    if not url.strip():
        raise StoreUnusable("The store URL is empty", hint=f"Allowed: {ALLOWED}")
    scheme, separator, rest = url.partition(":")
    if separator and scheme == "gs":
        return _in_bucket(url, rest)
    if separator and scheme in ("drive", "drive-api"):
        path = _inner_path(url, rest.removeprefix("//"))
        if not path:
            raise StoreUnusable("A Drive URL without a folder", where=url, hint=f"Such as {scheme}:holdfast")
        return Location("drive" if scheme == "drive" else "drive-api", path)
    if separator and scheme == "file":
        folder = _path_of_file_url(url, rest)
    elif "://" in url:
        raise StoreUnusable(
            f"Stores of the kind {scheme[:20]!r} are not known", where=_bare(url), hint=f"Allowed: {ALLOWED}"
        )
    else:
        _check_letters(url)
        try:
            folder = Path(url).expanduser()
        except RuntimeError as error:  # ~somebody who does not exist
            raise StoreUnusable(f"The store's path cannot be read: {error}", where=url) from None
    _check_letters(str(folder))
    return Location("file", str(folder.absolute()))


def _in_bucket(url: str, rest: str) -> Location:
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not _BUCKET.fullmatch(bucket):
        hint = "Write gs://bucket or gs://bucket/prefix; a bucket's name has lower-case letters, digits, - _ ."
        raise StoreUnusable("Not a bucket's URL", where=_bare(url), hint=hint)
    return Location("gs", _inner_path(url, prefix), bucket)


def _inner_path(url: str, text: str) -> str:
    parts = [part for part in unquote(text).split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise StoreUnusable("A store's URL holds . or .. as a part", where=_bare(url))
    path = "/".join(parts)
    _check_letters(path)
    if any(letter in path for letter in "\r\n"):
        raise StoreUnusable("A store's URL holds a line break", where=repr(_bare(url)))
    return path


def _check_letters(path: str) -> None:
    if "\0" in path or any("\ud800" <= letter <= "\udfff" for letter in path):
        raise StoreUnusable("The store's path holds a NUL character, or half of one", where=repr(path[:200]))


def _bare(url: str) -> str:
    """The URL for a message: without what may be a password, and not too long."""
    return re.sub(r"//[^/@]*@", "//…@", url)[:200]


def _path_of_file_url(url: str, rest: str) -> Path:
    host, slash, path = rest.removeprefix("//").partition("/")
    if rest.startswith("//") and host not in ("", "localhost"):
        hint = "Write three slashes: file:///absolute/path"
        raise StoreUnusable("A file URL that names a host", where=_bare(url), hint=hint)
    if not slash or not rest.startswith("/"):
        raise StoreUnusable("A file URL without an absolute path", where=url, hint=f"Allowed: {ALLOWED}")
    return Path("/" + unquote(path if rest.startswith("//") else rest[1:]))
