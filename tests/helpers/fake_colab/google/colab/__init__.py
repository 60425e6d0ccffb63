"""The used part of Colab's own package, for tests: it asks as the real one does, and notes that it did."""

from __future__ import annotations

import os
import threading
from pathlib import Path

asked: list[str] = []
"""What the user was asked for, in order; also in the file that ``FAKE_COLAB_LOG`` names."""


class MessageError(Exception):
    """The front end did not answer as it should."""


def ask(what: str) -> None:
    """Asks the user, by the front end, which only the main thread can reach.

    Raises:
        MessageError: He refuses: ``FAKE_COLAB_REFUSES`` holds the word.
        RuntimeError: This is another thread. The real one may hang or mix up answers then.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{what} was called from a thread")
    asked.append(what)
    if log := os.environ.get("FAKE_COLAB_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{what}\n")
    if what in os.environ.get("FAKE_COLAB_REFUSES", "").split():
        raise MessageError("Error: credential propagation was unsuccessful")
