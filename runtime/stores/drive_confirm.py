"""Whether what was written to the mounted Drive has reached Google. Only positive evidence confirms."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.runtime.errors import StoreError, StoreUnavailable
from holdfast.runtime.stores.base import Chunk, Confirmation, Content, Quota
from holdfast.runtime.stores.drive_rest import DriveRest

ID: Final = "user.drive.id"
UNCOMMITTED: Final = "user.drive.uncommitted"
MD5: Final = "user.drive.md5"

PROBE_AGAIN_SECONDS: Final = 600.0
"""After so long without credentials they are looked for again, which takes seconds: there may be some now."""

DIGESTS_KEPT: Final = 256
"""Files whose digests are remembered: more are never waiting to be confirmed."""

_READ_BYTES: Final = 1 << 20
_HEX: Final = re.compile(r"[0-9a-f]{32}")
_NO_SUCH_ATTRIBUTE: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class Attributes:
    """What Drive's client says of a file in extended attributes; None for what it does not say.

    These are seen and not documented, and some of them on other systems than Colab's.

    Attributes:
        id: ``local-…`` until Drive has given it one.
        uncommitted: ``1`` until it is uploaded, then ``0``.
        md5: Hex digest of what Drive has of it.
    """

    id: str | None = None
    uncommitted: str | None = None
    md5: str | None = None

    @classmethod
    def read(cls, path: Path) -> Attributes:
        """Those of a file.

        Raises:
            OSError: It cannot be asked for them, or is not there.
        """
        return cls(_attribute(path, ID), _attribute(path, UNCOMMITTED), _attribute(path, MD5))

    def verdict(self, same: Callable[[str], bool]) -> Confirmation:
        """What they say together. Where they contradict each other, or one is garbled, that is nothing.

        Args:
            same: Whether what was written has this MD5 digest.
        """
        if self.id is None or self.uncommitted not in (None, "0", "1"):
            return "unknown"
        if self.md5 is not None and not _HEX.fullmatch(self.md5.lower()):
            return "unknown"
        if self.id.startswith("local"):
            return "pending" if self.uncommitted != "0" and self.md5 is None else "unknown"
        if self.uncommitted == "1":
            return "pending"
        if self.md5 is not None:
            return "confirmed" if same(self.md5.lower()) else "unknown"
        return "confirmed" if self.uncommitted == "0" else "unknown"


class Evidence:
    """What can be known about files on one mount: by their attributes, or else by Drive's REST interface."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rest: DriveRest | None = None
        self._probed: tuple[int, float] | None = None
        self._digests: dict[Path, tuple[int, int, str]] = {}

    def judge(self, path: Path, drive_path: str, content: Content | None, remounts: int) -> Confirmation:
        """Whether a file is known to have reached Drive with the bytes that were written.

        Args:
            path: The file on the mount.
            drive_path: The same from My Drive on.
            content: What was written; without it, what lies on the mount.
            remounts: How often the mount has come back.

        Raises:
            OSError: The mount failed.
        """
        try:
            status = os.stat(path)
            if content is not None and content.size != status.st_size:
                return "unknown"
            verdict = Attributes.read(path).verdict(lambda md5: self._digest(path, content) == md5)
            if verdict != "unknown":
                return verdict
            return self._asked(drive_path, lambda: self._digest(path, content), status.st_size, remounts)
        except FileNotFoundError:  # not visible yet, or lost, or deleted: nothing to be sure of
            return "pending"

    def quota(self, remounts: int) -> Quota | None:
        """The room in Drive; None where it is unlimited, or cannot be asked."""
        rest = self._available(remounts)
        try:
            return None if rest is None else rest.about_quota()
        except StoreError:
            return None

    def _asked(self, drive_path: str, digest: Callable[[], str], size: int, remounts: int) -> Confirmation:
        rest = self._available(remounts)
        if rest is None:
            return "unknown"
        try:
            found = rest.lookup(drive_path)
        except StoreUnavailable:
            return "pending"
        except StoreError:
            return "unknown"
        if found is None or found.size != size or not found.md5:
            return "pending"
        return "confirmed" if found.md5.lower() == digest() else "unknown"

    def _available(self, remounts: int) -> DriveRest | None:
        """Drive's interface, if there are credentials: looked for once a mount, now and then while missing."""
        with self._lock:
            now = time.monotonic()
            old = self._probed is None or self._probed[0] != remounts
            if old or (self._rest is None and self._probed and now - self._probed[1] >= PROBE_AGAIN_SECONDS):
                self._rest = DriveRest() if DriveRest.available() else None
                self._probed = (remounts, now)
            return self._rest

    def _digest(self, path: Path, content: Content | None) -> str:
        if content is not None:
            return _md5(content.chunks())
        status = os.stat(path)
        known = self._digests.get(path)
        if known is None or known[:2] != (status.st_size, status.st_mtime_ns):
            known = (status.st_size, status.st_mtime_ns, _md5_of_file(path))
            with self._lock:
                self._digests[path] = known
                if len(self._digests) > DIGESTS_KEPT:
                    del self._digests[next(iter(self._digests))]
        return known[2]


def _attribute(path: Path, name: str) -> str | None:
    try:
        value = os.getxattr(path, name)
    except OSError as error:
        if error.errno in _NO_SUCH_ATTRIBUTE:
            return None
        raise
    return value.decode("utf-8", "replace").strip("\0 \n") or None


def _md5_of_file(path: Path) -> str:
    with open(path, "rb", buffering=0) as file:
        return _md5(iter(lambda: file.read(_READ_BYTES), b""))


def _md5(chunks: Iterable[Chunk]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
