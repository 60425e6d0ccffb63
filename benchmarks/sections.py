"""What one part of the benchmarks found: a table, goals, and the single figures behind them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A median and the median absolute deviation from it."""

    median: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of several measurements."""
        middle = statistics.median(values)
        return cls(middle, statistics.median(abs(value - middle) for value in values))

    def text(self, factor: float = 1.0, digits: int = 0) -> str:
        """For people."""
        return f"{self.median * factor:.{digits}f} ± {self.spread * factor:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to reach, and whether it was.

    Attributes:
        text: The true figure and what it is to be.
        reached: Whether it is.
        reason: Where it is missed and the reason is known: the reason.
    """

    text: str
    reached: bool
    reason: str = ""

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason and not self.reached else ""
        return f"{'reached' if self.reached else 'MISSED'}: {self.text}{reason}"


@dataclass(frozen=True, slots=True)
class Section:
    """One table with what belongs to it.

    Attributes:
        title: Its heading.
        heads: The columns' headings; the first column is text, the others are numbers.
        rows: The cells, ready to be read.
        goals: What is to be reached here.
        notes: Sentences below the table.
        raw: The single measurements, plain JSON.
    """

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    raw: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """The section as Markdown."""
        lines = [
            f"## {self.title}",
            "",
            f"| {' | '.join(self.heads)} |",
            "|---" + "|---:" * (len(self.heads) - 1) + "|",
        ]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        if self.goals:
            lines += ["", *(f"- {goal}" for goal in self.goals)]
        return "\n".join(lines) + "\n"
