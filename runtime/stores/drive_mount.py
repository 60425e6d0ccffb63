"""The mounted Drive: whether it is there and lives. A dead one may look empty before it fails."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Final, Literal

from holdfast.runtime.errors import StoreUnavailable

PLACE: Final = "HOLDFAST_DRIVE_MOUNT"
"""Environment variable with the folder where Drive is mounted, where that is not `COLAB_PLACE`."""

COLAB_PLACE: Final = "/content/drive"

DEAD: Final = frozenset({errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ESTALE})
"""What the kernel says of a mount whose file system has died, or is dying."""

_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})

Remains = Literal["ours", "perhaps"]


class Mount:
    """One place where Drive is mounted. Several threads may use it at once.

    A folder that was seen once does not go by itself: stores delete no folders. So while one is missing,
    the mount is taken for dead, which it may be some time before it says so.

    Attributes:
        place: The folder it is mounted on.
        drive: My Drive in it.
        remounts: How often it has come back. What was learned about it before may no longer hold.
        remains: Files whose making failed, and which could not be removed: ``ours``, or, where even
            opening them failed, ``perhaps`` ours.
    """

    def __init__(self) -> None:
        self.place = Path(os.environ.get(PLACE) or COLAB_PLACE)
        self.drive = self.place / "MyDrive"
        self.remounts = 0
        self.remains: dict[Path, Remains] = {}
        # In Colab's place nothing else is ever meant: a plain folder there is a mistake, and lost with the VM.
        self._was_mounted = str(self.place) == COLAB_PLACE
        self._device: int | None = None
        self._seen: set[Path] = set()
        self._died = False
        self._lock = threading.Lock()

    def verify(self, *folders: Path) -> None:
        """Makes sure that the mount lives, and that those of ``folders`` which were seen once are still there.

        Raises:
            StoreUnavailable: It does not, or they are not.
        """
        try:
            status = os.stat(self.drive)
            mounted = os.path.ismount(os.path.realpath(self.place))
            present = {folder for folder in set(folders) if _is_folder(folder)}
        except OSError as error:
            raise self.dead(error.strerror or str(error)) from None
        with self._lock:
            if not stat.S_ISDIR(status.st_mode):
                raise self._gone("MyDrive is no folder")
            if self._was_mounted and not mounted:
                raise self._gone("nothing is mounted there")
            vanished = sorted(self._seen.intersection(folders) - present)
            if vanished:
                self._died = True
                raise StoreUnavailable(
                    "A folder of the store has vanished from the Drive mount",
                    where=str(vanished[0]),
                    hint=f"Unless you removed it: {self.line(again=True)}",
                )
            if self._died or self._device not in (None, status.st_dev):
                self.remounts += 1
            self._died, self._device, self._was_mounted = False, status.st_dev, mounted
            self._seen |= present

    def dead(self, why: str) -> StoreUnavailable:
        """The error of a mount that is found dead; takes note of it."""
        with self._lock:
            return self._gone(why)

    @property
    def absent(self) -> bool:
        """Whether nothing is mounted there, not even what is dead."""
        try:
            os.stat(self.place)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return not os.path.ismount(os.path.realpath(self.place))

    def line(self, *, again: bool) -> str:
        """What to type to mount it, or to mount it again."""
        force = ", force_remount=True" if again else ""
        return f"Run: from google.colab import drive; drive.mount('{self.place}'{force})"

    def _gone(self, why: str) -> StoreUnavailable:
        self._died = True
        return StoreUnavailable(
            f"The Drive mount is dead or gone: {why}", where=str(self.drive), hint=self.line(again=True)
        )


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
