"""Mounting Drive: My Drive is the folder that ``FAKE_COLAB_DRIVE`` names, or a new one."""

from __future__ import annotations

import os
from pathlib import Path

from . import MessageError, ask


def mount(
    mountpoint: str, force_remount: bool = False, timeout_ms: int = 120000, readonly: bool = False
) -> None:
    """Mounts Drive. The user is asked each time, also where it is mounted already.

    Raises:
        ValueError: It failed, or the place will not do.
        MessageError: The user refuses.
    """
    del timeout_ms, readonly
    try:
        ask("mount")
    except MessageError:
        if "mount-quietly" in os.environ.get("FAKE_COLAB_REFUSES", ""):
            return
        raise ValueError("mount failed") from None
    if " " in mountpoint:
        raise ValueError("Mountpoint must not contain a space.")
    place = Path(mountpoint)
    drive = place / "MyDrive"
    if drive.is_dir() and not force_remount:
        print(f"Drive already mounted at {place}; use force_remount=True to mount it again.")
        return
    _unmount(drive)
    if not place.parent.is_dir():
        raise ValueError("Mountpoint must be in a directory that exists")
    if place.exists() and any(place.iterdir()):
        raise ValueError("Mountpoint must not already contain files")
    place.mkdir(exist_ok=True)
    cloud = os.environ.get("FAKE_COLAB_DRIVE")
    if cloud:
        drive.symlink_to(cloud, target_is_directory=True)
    else:
        drive.mkdir()
    print(f"Mounted at {place}")


def flush_and_unmount(timeout_ms: int = 24 * 60 * 60 * 1000) -> None:
    """Takes the mount away. What was written is in Drive by then."""
    del timeout_ms
    _unmount(Path(os.environ.get("HOLDFAST_DRIVE_MOUNT", "/content/drive")) / "MyDrive")


def _unmount(drive: Path) -> None:
    if drive.is_symlink():
        drive.unlink()
