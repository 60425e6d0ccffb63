"""What is said to the user: one line at a time, each once where it would repeat itself."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

RECENT: Final = 20
"""Lines that are kept for whoever asks what was said last."""

log = logging.getLogger("holdfast")
_lock = threading.Lock()
_said: set[str] = set()
_recent: deque[tuple[float, str]] = deque(maxlen=RECENT)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_out: Callable[[str], None] = _print


def speak_through(out: Callable[[str], None] | None) -> None:
    """Sets where lines go; None for standard error, so that a script's output stays its own."""
    global _out
    _out = out or _print


def say(text: str) -> None:
    """Says one line."""
    log.info("%s", text)
    with _lock:
        _recent.append((time.time(), text))
    _out(f"holdfast: {text}")


def say_once(key: str, text: str) -> None:
    """Says a line, unless one of the same ``key`` has been said since `forget`."""
    with _lock:
        if key in _said:
            return
        _said.add(key)
    say(text)


def forget(key: str) -> None:
    """Lets the line of ``key`` be said again, since its cause went away in between."""
    with _lock:
        _said.discard(key)


def forget_all() -> None:
    """Lets everything be said again: a new session begins."""
    with _lock:
        _said.clear()
        _recent.clear()


def recent() -> tuple[tuple[float, str], ...]:
    """The last lines, oldest first, each with the Unix time in seconds at which it was said."""
    with _lock:
        return tuple(_recent)


def is_watched() -> bool:
    """Whether somebody looks at what is shown for a moment: a notebook, or a terminal."""
    return _out is not _print or sys.stderr.isatty()


def ago(seconds: float) -> str:
    """A time span for people: ``3 s``, ``5 min``, ``2 h 10 min``, ``3 days``."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{round(hours / 24)} days"


def size(count: float) -> str:
    """A number of bytes for people, in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def plain(text: str) -> str:
    """A text that does nothing to a terminal."""
    return text if text.isprintable() else repr(text)
