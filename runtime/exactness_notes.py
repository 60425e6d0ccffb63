"""What of a run's state cannot be exact, as far as that has been met: one line for each part."""

from __future__ import annotations

import threading
from typing import Final

from holdfast.runtime import report

MAX_PARTS: Final = 12
"""More parts than a panel has room for; the log has them all."""

_lock = threading.Lock()
_notes: dict[str, tuple[str, str]] = {}


def say_inexact(key: str, part: str, text: str) -> None:
    """Says once that a part of the state cannot be exact, and keeps it for the panel.

    Args:
        key: As of `report.say_once`.
        part: The part, in a word or two.
        text: What cannot be exact, and what is done instead.
    """
    note(key, part, text)
    report.say_once(key, text)


def note(key: str, part: str, text: str) -> None:
    """Keeps for the panel what is said elsewhere; arguments as above."""
    with _lock:
        if key in _notes or len(_notes) < MAX_PARTS:
            _notes[key] = (part, text)


def notes() -> tuple[tuple[str, str], ...]:
    """The parts that were met so far, each with what cannot be exact."""
    with _lock:
        return tuple(_notes.values())


def forget_all() -> None:
    """Forgets them: a new session begins."""
    with _lock:
        _notes.clear()
