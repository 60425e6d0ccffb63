"""A file system that misbehaves as the mounted Drive does. A process of its own, told what to do on its input.

Everything lies in a folder: ``cache`` is what the mount shows, ``cloud`` what has been uploaded, ``trash``
what was deleted. Without anything switched on it is a well-behaved mount without links and renames.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import mfusepy

P = ParamSpec("P")
R = TypeVar("R")

STAT_FIELDS = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_blocks")
STATVFS_FIELDS = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_namemax")


@dataclass
class Fault:
    """An error at an operation.

    Attributes:
        op: Which operation.
        number: The errno.
        skip: So many calls of it go well before.
        times: So many calls then fail; negative for all.
        after: Whether it is done all the same.
        name: Only where this is part of the path.
    """

    op: str
    number: int
    skip: int = 0
    times: int = -1
    after: bool = False
    name: str = ""

    def strikes(self, path: str) -> bool:
        """Whether this call fails."""
        if self.times == 0 or self.name not in path:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def operation(act: Callable[Concatenate[DriveLike, str, P], R]) -> Callable[..., R]:
    """Logs an operation, and lets it hang or fail where that is switched on."""

    @wraps(act)
    def acted(self: DriveLike, path: str, *args: P.args, **kwargs: P.kwargs) -> R:
        fault = self.enter(act.__name__, path, args)
        if fault is not None and not fault.after:
            raise mfusepy.FuseOSError(fault.number)
        result = act(self, path, *args, **kwargs)
        if fault is not None:
            raise mfusepy.FuseOSError(fault.number)
        return result

    return acted


class DriveLike(mfusepy.Operations):
    """The file system, and its switches."""

    use_ns = True

    def __init__(self, base: Path, ready: Callable[[], None]) -> None:
        self.cache, self.cloud, self.trash = base / "cache", base / "cloud", base / "trash"
        self.ready = ready
        self.changed = threading.Condition()
        self.log: list[tuple[str, str, str]] = []
        self.faults: list[Fault] = []
        self.hanging: set[str] = set()
        self.hung = 0
        self.switches: dict[str, Any] = {
            "write_rate": 0,  # bytes a second; 0 for no limit
            "corrupting": False,  # a bit of every write is flipped
            "delaying": False,  # new files and folders are not to be seen until this is off
            "doubling": False,  # beside every new file there comes a double
            "rename": "refused",  # or "reverted"
            "attributes": "kept",  # or "none"
            "overrides": {},  # what attributes say in spite of the truth; null for none
            "uploading": False,  # files are uploaded as they are closed
            "room": None,  # blocks of 4 KiB that statfs tells of
        }
        self.delayed: set[str] = set()

    def enter(self, op: str, path: str, args: tuple[Any, ...]) -> Fault | None:
        with self.changed:
            detail = str(args[0]) if op == "truncate" else ""
            self.log.append((op, path, detail))
            if op in self.hanging:
                self.hung += 1
                self.changed.notify_all()
                self.changed.wait_for(lambda: op not in self.hanging)
                self.hung -= 1
            return next((one for one in self.faults if one.op == op and one.strikes(path)), None)

    def at(self, path: str) -> Path:
        if path in self.delayed:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return self.cache / path.lstrip("/")

    def init(self, path: str) -> None:
        self.ready()

    @operation
    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = os.lstat(self.at(path)) if fh is None else os.fstat(fh)
        times = {f"st_{one}time": getattr(status, f"st_{one}time_ns") for one in "amc"}
        return {**{field: getattr(status, field) for field in STAT_FIELDS}, **times}

    @operation
    def readdir(self, path: str, fh: int) -> Iterator[str]:
        inside = path.rstrip("/")
        names = sorted(entry.name for entry in self.at(path).iterdir())
        return iter([".", ".."] + [name for name in names if f"{inside}/{name}" not in self.delayed])

    @operation
    def create(self, path: str, mode: int, flags: int) -> int:
        target = self.cache / path.lstrip("/")
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if self.switches["delaying"]:
            self.delayed.add(path)
        if self.switches["doubling"]:
            target.with_name(f"{target.stem} (1){target.suffix}").write_bytes(b"double")
        return descriptor

    @operation
    def open(self, path: str, flags: int) -> int:
        return os.open(self.at(path), flags & ~(os.O_EXCL | os.O_CREAT | os.O_NOFOLLOW))

    @operation
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    @operation
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if self.switches["write_rate"]:
            threading.Event().wait(len(data) / self.switches["write_rate"])
        if self.switches["corrupting"]:
            data = bytes([data[0] ^ 0x10]) + data[1:]
        return os.pwrite(fh, data, offset)

    @operation
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self.at(path) if fh is None else fh, length)
        return 0

    @operation
    def fsync(self, path: str, datasync: int, fh: int) -> int:
        return 0

    @operation
    def flush(self, path: str, fh: int) -> int:
        if self.switches["uploading"]:
            target = self.cloud / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.cache / path.lstrip("/"), target)
        return 0

    @operation
    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    @operation
    def unlink(self, path: str) -> int:
        os.replace(self.at(path), self.trash / path.strip("/").replace("/", "_"))
        (self.cloud / path.lstrip("/")).unlink(missing_ok=True)
        return 0

    @operation
    def mkdir(self, path: str, mode: int) -> int:
        self.at(path).mkdir(mode)
        if self.switches["delaying"]:
            self.delayed.add(path)
        return 0

    @operation
    def rmdir(self, path: str) -> int:
        self.at(path).rmdir()
        return 0

    @operation
    def symlink(self, path: str, source: str) -> int:
        self.at(path).symlink_to(source)
        return 0

    @operation
    def readlink(self, path: str) -> str:
        return str(self.at(path).readlink())

    @operation
    def link(self, path: str, source: str) -> int:
        raise mfusepy.FuseOSError(errno.EPERM)

    @operation
    def rename(self, path: str, new: str) -> int:
        if self.switches["rename"] == "refused":
            raise mfusepy.FuseOSError(errno.EPERM)
        return 0

    @operation
    def chmod(self, path: str, mode: int) -> int:
        return 0

    @operation
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        if times is not None:
            os.utime(self.at(path), ns=times)
        return 0

    @operation
    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self.cache)
        told = {field: getattr(found, field) for field in STATVFS_FIELDS}
        if self.switches["room"] is not None:
            told.update(f_frsize=4096, f_bsize=4096)
            told.update(dict.fromkeys(("f_blocks", "f_bfree", "f_bavail"), int(self.switches["room"])))
        return told

    @operation
    def getxattr(self, path: str, name: str, *rest: int) -> bytes:
        target, cloud = self.at(path), self.cloud / path.lstrip("/")
        os.lstat(target)
        if self.switches["attributes"] == "none":
            raise mfusepy.FuseOSError(errno.ENOTSUP)
        uploaded, number = cloud.exists(), hashlib.sha256(path.encode()).hexdigest()[:28]
        told = {
            "user.drive.id": f"1{number}" if uploaded else f"local-{number}",
            "user.drive.uncommitted": "0" if uploaded else "1",
            "user.drive.md5": hashlib.md5(cloud.read_bytes()).hexdigest() if cloud.is_file() else None,
            **self.switches["overrides"],
        }.get(name)
        if told is None:
            raise mfusepy.FuseOSError(errno.ENODATA)
        return str(told).encode()


def obey(drive: DriveLike, order: dict[str, Any]) -> Any:
    """Does what a line of input says."""
    with drive.changed:
        match order.pop("do"):
            case "switch":
                drive.switches.update(order)
                if not drive.switches["delaying"]:
                    drive.delayed.clear()
            case "fail":
                drive.faults.append(Fault(**order))
            case "hang":
                drive.hanging.add(order["op"])
            case "hung":
                return drive.changed.wait_for(lambda: drive.hung > 0, order["seconds"])
            case "heal":
                drive.faults.clear()
                drive.hanging.clear()
            case "log":
                seen = list(drive.log)
                drive.log.clear()
                return seen
        drive.changed.notify_all()
    return None


def serve(drive: DriveLike, mount: str) -> None:
    """Obeys until the input ends, then unmounts; so nothing is left when the test's process dies."""
    for line in sys.stdin:
        print(json.dumps({"answer": obey(drive, json.loads(line))}), flush=True)
    subprocess.run(["fusermount3", "-u", "-z", mount], check=False)
    os._exit(0)


def main() -> None:
    mount, base = sys.argv[1:]
    drive = DriveLike(Path(base), lambda: print(json.dumps({"answer": "mounted"}), flush=True))
    threading.Thread(target=serve, args=(drive, mount), daemon=True).start()
    # Nothing is kept by the kernel: what the test switches holds from the next call on.
    mfusepy.FUSE(
        drive, mount, foreground=True, attr_timeout=0, entry_timeout=0, negative_timeout=0,
        direct_io=True, hard_remove=True, fsname="drive", subtype="drive",
    )  # fmt: skip


if __name__ == "__main__":
    main()
