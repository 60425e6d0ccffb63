"""What can go wrong in a demo, beside an unequal end."""

from __future__ import annotations


class DemoFailed(Exception):
    """The demo cannot go on; the message is for the user."""


class CellFailed(DemoFailed):
    """A cell raised; carries the kernel's traceback, with its terminal colours."""

    def __init__(self, cell: str, traceback: str) -> None:
        super().__init__(f"The notebook's cell {cell!r} failed")
        self.traceback = traceback
