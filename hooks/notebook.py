"""Where code runs: which cell or script, and which of its models is the next one."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from holdfast.hooks.patching import guarded
from holdfast.runtime.journal import Place

Outcome = Literal["running", "done", "interrupted", "failed"]

EVENTS: Final = ("pre_run_cell", "post_run_cell")


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a cell.

    Attributes:
        cell: Its name.
        again: Whether this kernel has executed it before, since the runtime was started.
        outcome: What became of it.
    """

    cell: str
    again: bool = False
    outcome: Outcome = "running"


class Cells:
    """Follows IPython's cells; without IPython, the whole script counts as one.

    Attributes:
        last: The running execution of a cell, or else the last one; None before the first, and in scripts.
        evicted: Called by `evict_others`.
    """

    def __init__(self) -> None:
        self._shell = find_shell()
        self._cell = "" if self._shell is not None else f"script:{script_name()}"
        self._ordinal = self.execution = 0
        self._at_end: list[Callable[[], None]] = []
        self._known: set[str] = set()
        self.last: Execution | None = None
        self.evicted: Callable[[], None] = self.close
        # Kept as they were registered: after a reload of this module, the class gives other ones.
        self._callbacks = dict(zip(EVENTS, (self._before_cell, self._after_cell), strict=True))
        if self._shell is not None:
            self._cell = "cell:at-start"
            for event, callback in self._callbacks.items():
                self._shell.events.register(event, callback)

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
        self._run_actions()
        self._at_end.clear()
        if self._shell is not None:
            for event, callback in self._callbacks.items():
                if callback in self._shell.events.callbacks[event]:
                    self._shell.events.unregister(event, callback)
            self._shell = None

    def _before_cell(self, info: Any = None) -> None:
        self._cell, self._ordinal = cell_name(self._shell, info), 0
        self.execution += 1
        self.last = Execution(self._cell, again=self._cell in self._known)
        self._known.add(self._cell)

    def _after_cell(self, result: Any = None) -> None:
        if self.last is not None:  # else it is the cell in which the runtime was started
            self.last = replace(self.last, outcome=outcome_of(result))
        self._run_actions()

    def _run_actions(self) -> None:
        for action in list(self._at_end):
            guarded(action)()


def evict_others() -> None:
    """Ends what an earlier import of this module has left: it would follow every cell a second time."""
    shell = find_shell()
    for callback in list(shell.events.callbacks["pre_run_cell"]) if shell is not None else ():
        other: Any = getattr(callback, "__self__", None)
        kind = type(other)
        if (kind.__module__, kind.__qualname__) == (__name__, Cells.__qualname__):
            guarded(other.evicted)()


def outcome_of(result: Any) -> Outcome:
    """What became of a cell, by what IPython gives its callbacks; it may give nothing."""
    error = getattr(result, "error_before_exec", None) or getattr(result, "error_in_exec", None)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "failed" if error is not None else "done"


def find_shell() -> Any:
    """The running IPython, or None; it is not imported for that."""
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
