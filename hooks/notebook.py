"""Where code runs: which cell or script, and which of its models is the next one."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.hooks.patching import guarded
from holdfast.runtime.journal import Place


class Cells:
    """Follows IPython's cells; without IPython, the whole script counts as one."""

    def __init__(self) -> None:
        self._shell = self._find_shell()
        self._cell = "" if self._shell is not None else f"script:{script_name()}"
        self._ordinal = self.execution = 0
        self._at_end: list[Callable[[], None]] = []
        if self._shell is not None:
            self._cell = "cell:at-start"
            self._shell.events.register("pre_run_cell", self._before_cell)
            self._shell.events.register("post_run_cell", self._after_cell)

    @property
    def in_notebook(self) -> bool:
        """Whether IPython runs the code."""
        return self._shell is not None

    @property
    def cell(self) -> str:
        """The running cell, or the script."""
        return self._cell

    @property
    def ordinal(self) -> int:
        """The ordinal of the next place; set where the code before it is not run again."""
        return self._ordinal

    @ordinal.setter
    def ordinal(self, ordinal: int) -> None:
        self._ordinal = ordinal

    def still_runs(self, execution: int) -> bool:
        """Whether it is that execution of a cell that runs now. Python's own prompt tells no two apart."""
        return execution == self.execution and (self._shell is not None or not hasattr(sys, "ps1"))

    def next_place(self) -> Place:
        """The place of a model that is used for the first time now."""
        place = Place(self._cell, self._ordinal)
        self._ordinal += 1
        return place

    def at_end(self, action: Callable[[], None]) -> None:
        """Has something done after each cell, and when the following stops."""
        self._at_end.append(action)

    def close(self) -> None:
        """Stops following."""
        self._after_cell()
        self._at_end.clear()
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._before_cell)
            self._shell.events.unregister("post_run_cell", self._after_cell)
            self._shell = None

    def _before_cell(self, info: Any = None) -> None:
        self._cell, self._ordinal = cell_name(self._shell, info), 0
        self.execution += 1

    def _after_cell(self, result: Any = None) -> None:
        del result
        for action in self._at_end:
            guarded(action)()

    @staticmethod
    def _find_shell() -> Any:
        ipython = sys.modules.get("IPython")
        return ipython.get_ipython() if ipython is not None else None


def cell_name(shell: Any, info: Any) -> str:
    """Names a cell: Colab's id, Jupyter's id, else a hash of its text."""
    metadata: Any = {}
    try:
        metadata = shell.parent_header.get("metadata", {})
        colab = metadata.get("colab", {}).get("cell_id")
    except AttributeError:
        colab = None
    if colab:
        return f"colab:{colab}"
    if getattr(info, "cell_id", None):
        return f"jupyter:{info.cell_id}"
    text = str(getattr(info, "raw_cell", "") or "").strip()
    return f"text:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def script_name() -> str:
    """The running script's file name, or ``python`` where there is none."""
    path = sys.argv[0] if sys.argv else ""
    return Path(path).name if path and path != "-c" else "python"
