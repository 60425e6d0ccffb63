"""How much memory is left, of the machine and of the control groups that this process is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

MARGIN_BYTES: Final = 128 << 20
"""What must be left beside a second state: the training's own needs change from step to step."""

_ROOT: Final = Path("/")


def available(root: Path = _ROOT) -> int:
    """Bytes that this process can still take before something is swapped out or killed.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    return min([psutil.virtual_memory().available, *groups_left(root)])


def groups_left(root: Path = _ROOT) -> Iterator[int]:
    """Bytes left in each control group, version 1 or 2, that has a limit and that this process is in."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            top, names = (
                root / "sys/fs/cgroup",
                ("memory.max", "memory.current", ("inactive_file", "active_file")),
            )
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            cache = ("total_inactive_file", "total_active_file")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", cache)
        else:
            continue
        folder = top / path.strip("/")
        for group in (folder, *folder.parents):  # in a container the folder named is the host's: not there
            if group.is_relative_to(top):
                with suppress(OSError, ValueError):
                    yield _left(group, *names)


def _left(group: Path, limit_name: str, usage_name: str, cache_keys: tuple[str, ...]) -> int:
    """Bytes left in one group: what it caches of files can be had again.

    Also what was used lately, as the machine's own figure has it: a data set that is read once an epoch is.

    Raises:
        OSError: There is no such group, or not with this controller.
        ValueError: It has no limit.
    """
    limit = int((group / limit_name).read_text(encoding="ascii"))  # "max" is no number
    usage = int((group / usage_name).read_text(encoding="ascii"))
    stat = (group / "memory.stat").read_text(encoding="ascii").split()
    figures = dict(zip(stat[::2], stat[1::2], strict=False))
    return max(0, limit - usage + sum(int(figures.get(key, "0")) for key in cache_keys))


def shortage(state: int, left: int, where: str = "memory") -> str:
    """Why a snapshot's references cannot be held while the training goes on; empty where they can.

    What is held is copied before it is changed, so that there are two states for a while.

    Args:
        state: Bytes of the state.
        left: Bytes of memory that are left.
        where: Whose memory it is.
    """
    if left >= state + MARGIN_BYTES:
        return ""
    return f"{where} is short: {left / 1e6:,.0f} MB are left beside a state of {state / 1e6:,.0f} MB"
