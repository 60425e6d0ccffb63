"""A mounted Drive for tests: a real mount, told how to misbehave, killed, lost and mounted again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from helpers.faults import flip_bit
from helpers.processes import GIVE_UP_SECONDS, environment
from holdfast.runtime.stores.drive import DriveFolder
from holdfast.runtime.stores.drive_mount import PLACE
from holdfast.runtime.stores.drive_rest import DriveRest

if TYPE_CHECKING:
    from helpers.store_makers import Made

FUSE_DEVICE = Path("/dev/fuse")


def why_not() -> str:
    """Why there can be no such mount here; empty where there can."""
    if shutil.which("fusermount3") is None:
        return "fusermount3 is missing: apt-get install fuse3"
    if not os.access(FUSE_DEVICE, os.R_OK | os.W_OK):
        return f"{FUSE_DEVICE} is missing, or closed to this user"
    if find_spec("mfusepy") is None:
        return "mfusepy is missing: pip install mfusepy"
    return ""


class MountedDrive:
    """A mount that behaves until it is told not to.

    Attributes:
        place: Where it is mounted.
        cache: What the mount shows, as files on the disk.
        cloud: What has been uploaded.
        trash: What was deleted, as it was then.
    """

    def __init__(self, base: Path) -> None:
        self.base, self.place = base, base / "drive"
        self.cache, self.cloud, self.trash = base / "cache", base / "cloud", base / "trash"
        for folder in (self.place, self.trash, self.cache / "MyDrive", self.cloud / "MyDrive"):
            folder.mkdir(parents=True)
        self._process: subprocess.Popen[str] | None = None

    def mount(self) -> None:
        """Mounts it; everything misbehaving is off."""
        assert self._process is None
        with (self.base / "fuse.log").open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "helpers.drive_fuse", str(self.place), str(self.base)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(),
            )
        assert self._answer() == "mounted"

    def unmount(self) -> None:
        """Ends it as ``drive.flush_and_unmount()`` does: nothing is mounted afterwards."""
        self._end(kill=False)

    def crash(self) -> None:
        """Kills the file system and leaves its mount, which is dead from now on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def remount(self) -> None:
        """What ``drive.mount(…, force_remount=True)`` does."""
        self._end(kill=True)
        self.mount()

    def lose_machine(self) -> None:
        """Another machine mounts it: only what was uploaded is left."""
        self._end(kill=True)
        shutil.rmtree(self.cache)
        shutil.copytree(self.cloud, self.cache)
        self.mount()

    def fail(self, op: str, number: int, **how: Any) -> None:
        """Switches on an error; ``how`` as in `helpers.drive_fuse.Fault`."""
        self._tell("fail", op=op, number=number, **how)

    def hang(self, op: str) -> None:
        """Lets an operation hang from now on."""
        self._tell("hang", op=op)

    def wait_until_it_hangs(self) -> None:
        """Waits until an operation hangs."""
        assert self._tell("hung", seconds=GIVE_UP_SECONDS), "nothing came to hang"

    def heal(self) -> None:
        """Ends all errors, and lets go what hangs."""
        self._tell("heal")

    def switch(self, **switches: Any) -> None:
        """Sets switches of `helpers.drive_fuse.DriveLike`."""
        self._tell("switch", **switches)

    def log(self) -> list[tuple[str, str, str]]:
        """The operations since the last call: what, on which path, and for ``truncate`` to which length."""
        return [(str(op), str(path), str(detail)) for op, path, detail in self._tell("log")]

    def upload(self, path: str = "", *, corrupted: bool = False) -> None:
        """Uploads a file of My Drive, or all there are."""
        for file in [self.cache / "MyDrive" / path] if path else sorted(self.cache.rglob("*")):
            target = self.cloud / file.relative_to(self.cache)
            if file.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            if corrupted:
                flip_bit(target)

    def _tell(self, do: str, **order: Any) -> Any:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the file system died: {(self.base / 'fuse.log').read_text(encoding='utf-8')}"
        return json.loads(line)["answer"]

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if kill:
                process.kill()
            assert process.stdin is not None and process.stdout is not None
            with suppress(BrokenPipeError):
                process.stdin.close()  # it unmounts, and ends
            with suppress(subprocess.TimeoutExpired):
                process.wait(GIVE_UP_SECONDS)
            process.stdout.close()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self._detach()

    def _detach(self) -> None:
        while self.mounted():
            subprocess.run(["fusermount3", "-u", "-z", self.place], check=True, capture_output=True)

    def mounted(self) -> bool:
        """Whether the kernel knows a mount there, dead or alive."""
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        return any(line.split(" ")[4] == str(self.place) for line in lines)


@contextmanager
def drive_mount(tmp_path: Path) -> Iterator[MountedDrive]:
    """A mount to which `DriveFolder` goes, without credentials for Drive's REST interface."""
    if reason := why_not():
        pytest.skip(reason)
    drive = MountedDrive(tmp_path / "machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLACE, str(drive.place))
        patch.setattr(DriveRest, "available", lambda: False)
        try:
            drive.mount()
            yield drive
        finally:
            drive.unmount()


@contextmanager
def drive_store(tmp_path: Path) -> Iterator[Made]:
    """The store on such a mount."""
    from helpers.store_makers import Made  # which knows this module

    with drive_mount(tmp_path) as drive:
        yield Made(
            DriveFolder("top/store"), DriveFolder("top/store"), drive.place / "MyDrive" / "top" / "store"
        )
