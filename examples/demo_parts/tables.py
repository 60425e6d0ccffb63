"""The result as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from demo_parts.compare import Comparison
from demo_parts.steps import Step
from demo_parts.story import Interruption


def interruptions_table(interruptions: Sequence[Interruption], plain_seconds: float) -> Table:
    """One row for each interruption.

    Args:
        interruptions: What happened.
        plain_seconds: What the undisturbed training took from ``fit`` to its first step.
    """
    caption = (
        "Restore: start(), then fit() to the end of its first step; "
        f"undisturbed, fit() took {plain_seconds:.1f} s"
    )
    table = Table(
        title="Interruptions", box=box.SIMPLE_HEAD, caption=caption, title_style="bold", pad_edge=False
    )
    for heading in ("What was done, and at", "Detected as", "Restored, and on at"):
        table.add_column(heading)
    for heading in ("Work lost", "Restore"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in interruptions:
        table.add_row(
            f"{one.what}\n[dim]{_place(one.killed)}",
            one.situation,
            f"{one.checkpoint} ({one.origin})\n[dim]{_place(one.resumed)}",
            f"{one.lost_seconds:.1f} s\n[dim]{one.lost_steps} steps",
            f"{one.restore_seconds:.1f} s",
        )
    return table


def _place(step: Step) -> str:
    return f"step {step.step}: epoch {step.epoch + 1}, batch {step.batch + 1}"


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """One row for each thing compared."""
    title = "The end, bit by bit, beside the undisturbed training"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_style="bold")
    table.add_column("What", no_wrap=True)
    table.add_column("Extent", no_wrap=True)
    table.add_column("Bits")
    for one in comparisons:
        verdict = Text("equal", "green") if one.equal else Text(f"NOT EQUAL: {one.difference}", "bold red")
        table.add_row(one.what, one.extent, verdict)
    return table
