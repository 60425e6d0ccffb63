"""What would be lost at this moment, as far as that is known. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.runtime.run_status import Status

LOCAL: Final = "file:"
"""Stores of this kind may lie on the machine's own disk, or on a mounted one: the URL does not tell."""

UNSAVED: Final = "all that is trained from now on: this session saves nothing more"
ALL: Final = "all that this session has trained"
NO_STEP: Final = "nothing of this session: it has trained no step"


def is_covered(status: Status) -> bool:
    """Whether every step that has ended is in a confirmed checkpoint of this session."""
    return status.confirmed_here and 0 < status.last_step_at <= status.confirmed_taken_at


def if_kernel_died(status: Status, ago: Callable[[float], str]) -> str:
    """What would be lost if the kernel died now.

    Args:
        status: Where the run stands.
        ago: Writes a time for people.
    """
    if status.fenced:
        return UNSAVED
    if not status.last_step_at:
        return NO_STEP
    if not status.snapshot:
        return f"{ALL}: no snapshot yet"
    if status.last_step_at <= status.snapshot_at:
        return "nothing: no step has ended since the last snapshot"
    return f"what was trained since {ago(status.snapshot_at)}"


def if_vm_vanished(status: Status, ago: Callable[[float], str]) -> str:
    """What would be lost if the machine and its disk were taken away now; arguments as above."""
    if status.fenced:
        return UNSAVED
    if not status.confirmed:
        return "everything: nothing is confirmed yet"
    if not status.last_step_at:
        lost = NO_STEP
    elif not status.confirmed_here:
        lost = f"{ALL}: nothing of it is confirmed yet"
    elif is_covered(status):
        lost = "nothing: no step has ended since the confirmed checkpoint"
    elif not status.confirmed_taken_at:
        lost = f"what was trained since checkpoint {status.confirmed}"
    else:
        lost = f"what was trained since {ago(status.confirmed_taken_at)}"
    if status.store.startswith(LOCAL):
        lost += "; the store is a folder: everything, if that is on this machine's own disk"
    return lost
