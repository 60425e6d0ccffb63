"""What the daemon tells the session: one small JSON file, replaced whole."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from holdfast.runtime.files import read_json, replace_atomically
from holdfast.runtime.jsontext import to_json

log = logging.getLogger("holdfast.daemon")

FILE_NAME: Final = "daemon.json"


@dataclass(slots=True)
class DaemonStatus:
    """The daemon's state.

    Attributes:
        pid: Its process.
        started: Unix time of that process's start in seconds.
        session: Name of the session it serves.
        written: Newest checkpoint whose manifest is in the store; empty for none.
        written_at: Unix time in seconds at which it was written.
        confirmed: Newest checkpoint known to be safe in the store; empty for none.
        confirmed_at: Unix time in seconds at which that was known.
        confirmed_taken_at: Unix time in seconds of its snapshot; 0 where that is not known.
        uploading: The checkpoint being uploaded; empty for none.
        uploading_bytes: Bytes it has so far.
        uploading_since: Unix time in seconds at which the upload began.
        uploading_total: Bytes to be written for it, where that is known; what is unchanged is not.
        uploaded_from: Unix time in seconds at which the last upload that came through began; 0 for none.
        uploaded_to: Unix time in seconds at which it was over.
        bytes_written: Bytes of objects written since the daemon began.
        unconfirmed: Why what is written is not confirmed; empty where it is, or soon will be.
        warning: What the user should know of the room that is left in the store; empty for nothing.
        space_used: Bytes of the run's objects in the store.
        space_free: Bytes that the store still takes; -1 where it does not tell.
        error: What fails at present; empty for nothing.
        error_since: Unix time in seconds at which that began.
        unusable: Newest snapshot that the local disk damaged before it was uploaded; empty for none.
        fenced: Why nothing more is written, once a newer session has claimed the run.
    """

    pid: int = 0
    started: float = 0.0
    session: str = ""
    written: str = ""
    written_at: float = 0.0
    confirmed: str = ""
    confirmed_at: float = 0.0
    confirmed_taken_at: float = 0.0
    uploading: str = ""
    uploading_bytes: int = 0
    uploading_since: float = 0.0
    uploading_total: int = 0
    uploaded_from: float = 0.0
    uploaded_to: float = 0.0
    bytes_written: int = 0
    unconfirmed: str = ""
    warning: str = ""
    space_used: int = 0
    space_free: int = -1
    error: str = ""
    error_since: float = 0.0
    unusable: str = ""
    fenced: str = ""

    def save(self, folder: Path) -> None:
        """Writes it into the spool; a reader sees the old or the new one, never half of it."""
        try:
            replace_atomically(folder / FILE_NAME, to_json(asdict(self)), durable=False)
        except OSError as error:  # a full disk, say: the upload itself may make room
            log.warning("the status cannot be written: %s", error)

    @classmethod
    def load(cls, folder: Path) -> DaemonStatus:
        """Reads it; where there is none, one that says nothing."""
        value: dict[str, Any] = read_json(folder / FILE_NAME) or {}
        known = {one.name: type(getattr(cls(), one.name)) for one in fields(cls)}
        good: dict[str, Any] = {}
        for key, kind in known.items():
            found = value.get(key)
            if isinstance(found, (str, int, float)) and isinstance(found, str) == (kind is str):
                with suppress(ValueError, OverflowError):  # infinities, which JSON has in Python
                    good[key] = kind(found)
        return cls(**good)
