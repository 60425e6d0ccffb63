"""Durable local files: the only place that calls ``fsync`` and ``os.replace``."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".part"
"""Ends the name of every file that is being written; readers pass such files over."""


def temporary_beside(path: Path) -> Path:
    """A name for writing what will become ``path``, unique and in the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def sync(descriptor: int) -> None:
    """Makes what was written to an open file durable."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` durable. File systems that cannot do it are let off."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some FUSE and network file systems do not sync folders
        pass
    finally:
        os.close(descriptor)


def replace_atomically(
    path: Path, data: bytes, *, durable: bool = True, before_rename: Callable[[], None] = lambda: None
) -> None:
    """Writes a whole file: temporary file, fsync, rename, fsync of the folder.

    Args:
        path: The file, replaced if it is there.
        data: Its whole new content.
        durable: Whether it must outlive the machine's death; without it, only the process's.
        before_rename: Called when all is written and nothing is to be seen yet.
    """
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        before_rename()
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Renames within one file system, replacing ``target``."""
    os.replace(source, target)


def create_durably(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Creates a file that is either whole under its name, or not there.

    Written beside its place, synced, then linked, so that an existing file is never replaced.
    Where hard links are not to be had the file is created directly under its name.

    Raises:
        FileExistsError: The name is taken.
    """
    temporary = temporary_beside(path)
    try:
        with open(temporary, "xb", buffering=0) as file:
            for chunk in chunks:
                _write_all(file.fileno(), chunk)
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError:  # no hard links (FAT, most FUSE mounts): the next best, still exclusive
            _copy_exclusively(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _copy_exclusively(source: Path, target: Path) -> None:
    with open(source, "rb") as reader, open(target, "xb", buffering=0) as writer:
        while chunk := reader.read(1 << 20):
            _write_all(writer.fileno(), chunk)
        os.fsync(writer.fileno())


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Writes all of ``data`` at ``offset`` bytes from the file's start."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in ``path``, or None where there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
