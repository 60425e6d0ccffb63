"""What Colab asks of its user before a store can be used: once, and on the main thread."""

from __future__ import annotations

import importlib
import os
import threading
from pathlib import Path
from typing import Any, Final

from holdfast.runtime.errors import StoreUnusable
from holdfast.runtime.stores import locate
from holdfast.runtime.stores.credentials import at_hand, in_colab, login_hint
from holdfast.runtime.stores.drive_mount import COLAB_PLACE, PLACE

_WITHOUT_MOUNT: Final = "Mount it there, or name a store drive-api:folder, which needs no mount"

_granted: set[str] = set()
"""What the user was asked for and has granted; he is not asked for it again in this process."""


def prepare(store_url: str) -> None:
    """Mounts Drive, or gets credentials, where the store needs it and this is Colab.

    Colab asks its user each time, by a dialogue that only the main thread can open. So the daemon, and
    threads, find it done or go without.

    Raises:
        StoreUnusable: Drive is not mounted and cannot be; the message has the line to type.
    """
    kind = locate(store_url).kind
    if kind == "drive":
        _mount(Path(os.environ.get(PLACE) or COLAB_PLACE))
    elif kind in ("gs", "drive-api") and in_colab() and not at_hand(kind):
        _authenticate(store_url)


def _mount(place: Path) -> None:
    drive = place / "MyDrive"
    present, dead = _look(drive)
    if present:
        return
    if not in_colab():
        raise StoreUnusable("Google Drive is not mounted", where=str(drive), hint=_WITHOUT_MOUNT)
    again = ", force_remount=True" if dead else ""
    hint = f"Run: from google.colab import drive; drive.mount('{place}'{again})"
    if "mount" in _granted or not _on_main_thread():
        raise StoreUnusable("Google Drive is not mounted", where=str(drive), hint=hint)
    try:
        _colab("drive").mount(str(place), force_remount=dead)
    except Exception as error:  # of many kinds, and not ours
        raise StoreUnusable(
            f"Google Drive could not be mounted: {error}", where=str(drive), hint=hint
        ) from None
    if not _look(drive)[0]:
        raise StoreUnusable("Google Drive was mounted, and is not there", where=str(drive), hint=hint)
    _granted.add("mount")


def _authenticate(store_url: str) -> None:
    if "credentials" in _granted or not _on_main_thread():
        return  # the store's own check says what is missing
    try:
        _colab("auth").authenticate_user()
    except Exception as error:  # of many kinds, and not ours
        raise StoreUnusable(
            f"Google did not give credentials: {error}", where=store_url, hint=login_hint()
        ) from None
    _granted.add("credentials")


def _look(drive: Path) -> tuple[bool, bool]:
    """Whether My Drive is there, and whether it is a dead mount."""
    try:
        return drive.is_dir(), False
    except OSError:
        return False, True


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _colab(name: str) -> Any:
    # By name, since only Colab has it.
    return importlib.import_module(f"google.colab.{name}")
