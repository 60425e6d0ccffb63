"""The panel as text, for terminals. Pure."""

from __future__ import annotations

import textwrap
from typing import Final

from holdfast.runtime.panel_view import View

WIDTH: Final = 100
"""Letters in a line at the most."""


def as_text(view: View, width: int = WIDTH) -> str:
    """Writes a panel as lines of text."""
    wide = max(len(label) for label, _ in view.rows) if view.rows else 0
    lines = [*textwrap.wrap(_plain(view.headline), width, break_long_words=False)]
    lines += [line for problem in view.problems for line in _entry("!", problem, 1, width)]
    lines += [line for label, text in view.rows for line in _entry(label, text, wide, width)]
    if view.inexact:
        lines.append("  Not exact:")
        lines += [line for part, text in view.inexact for line in _entry(f"  {part}:", text, 0, width)]
    if view.said:
        lines.append("  What happened:")
        lines += [line for at, text in view.said for line in _entry(f"  {at}", text, 0, width)]
    return "\n".join([*lines, f"  as of {view.as_of}"])


def _entry(label: str, text: str, wide: int, width: int) -> list[str]:
    head = f"  {_plain(label):<{wide}}  "
    body = width - len(head)
    return textwrap.wrap(
        _plain(text),
        max(width, len(head) + 20) if body < 20 else width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]


def _plain(text: str) -> str:
    """Text without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
