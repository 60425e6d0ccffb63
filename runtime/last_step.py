"""When a session's training last made a step: a small file in the spool, for whoever restores after a kill."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.runtime import report
from holdfast.runtime.files import read_json, replace_atomically
from holdfast.runtime.jsontext import to_json

# No .json at its end: the daemon wakes for those.
FILE_NAME: Final = "last-step"

NOTE_SECONDS: Final = 1.0
"""How often a session notes it."""


@dataclass(frozen=True, slots=True)
class LastStep:
    """The last step that is known of.

    Attributes:
        session: Name of the session; empty where nothing is known.
        at: Unix time in seconds at which the step ended.
        exact: Whether there was none after it; else others may have ended up to about a second later.
    """

    session: str = ""
    at: float = 0.0
    exact: bool = False

    def lost_since(self, taken_at: float) -> str:
        """What was trained since a moment and is lost, in words.

        Args:
            taken_at: Unix time in seconds of the newest snapshot.
        """
        if not self.at:
            return "what was trained after it, if anything, is lost"
        seconds = max(0.0, self.at - taken_at)
        if self.exact:
            return f"{report.ago(seconds)} of training after it is lost" if seconds else "nothing is lost"
        about = (
            f"about {report.ago(round(seconds))}" if seconds >= 2 * NOTE_SECONDS else "about a second or less"
        )
        return f"{about} of training after it is lost"

    def save(self, folder: Path) -> None:
        """Writes it into the spool."""
        replace_atomically(folder / FILE_NAME, to_json(asdict(self)), durable=False)

    @classmethod
    def load(cls, folder: Path) -> LastStep:
        """Reads it; one that says nothing where there is none."""
        value: dict[str, Any] = read_json(folder / FILE_NAME) or {}
        session, at = value.get("session"), value.get("at")
        good = isinstance(session, str) and isinstance(at, (int, float)) and 0 < at < 1e11
        return cls(str(session), float(at or 0.0), value.get("exact") is True) if good else cls()
