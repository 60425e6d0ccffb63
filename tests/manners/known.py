"""Manners that are known to be bad: by program, which keys differ, and why."""

from __future__ import annotations

from typing import Final

KNOWN: Final[dict[str, tuple[str, str]]] = {}
"""A pattern of the keys that may differ, of which one must, and the defect."""
