"""Which machine this is, which process, and whether another process still lives."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from holdfast.runtime.files import create_durably

JITTER_SECONDS = 1.5
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine_id(local_folder: Path) -> str:
    """Names this machine, until its local disk is gone.

    The kernel's boot id alone will not do, since containers share their host's; so it is joined
    with a random word kept in ``local_folder``, which a lost VM loses with everything else.
    """
    local_folder.mkdir(parents=True, exist_ok=True)
    path = local_folder / "machine"
    if path.exists() and not path.stat().st_size:
        path.unlink(missing_ok=True)  # by whoever else wrote it: never so by us
    if not path.exists():
        # Created whole and exclusively, so that two kernels which start together agree.
        with contextlib.suppress(FileExistsError):
            create_durably(path, [secrets.token_hex(8).encode()])
    boot = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else str(psutil.boot_time())
    return f"{boot}/{path.read_text(encoding='ascii').strip()}"


def up_seconds() -> float:
    """How long this machine has been up: its first process's age, since containers share a boot time."""
    try:
        began = psutil.Process(1).create_time()
    except psutil.Error:  # hidden from other users
        began = psutil.boot_time()
    return time.time() - began


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told apart from a later one with the same number by its start.

    Attributes:
        pid: The number.
        started: Unix time of its start in seconds.
    """

    pid: int
    started: float

    @classmethod
    def own(cls) -> ProcessId:
        """This process."""
        return cls(os.getpid(), psutil.Process().create_time())

    def is_same(self, other: ProcessId) -> bool:
        """Whether both are one process. Start times come from the boot time, read with some jitter."""
        return self.pid == other.pid and abs(self.started - other.started) <= JITTER_SECONDS

    def is_alive(self) -> bool:
        """Whether it runs. A zombie, which nobody reaped, does not."""
        try:
            process = psutil.Process(self.pid)
            if not self.is_same(ProcessId(self.pid, process.create_time())):
                return False
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
