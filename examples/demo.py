"""Kills a notebook's training twice, and shows that it ends with the same bits as one undisturbed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from demo_parts.compare import Comparison, compare
from demo_parts.errors import CellFailed, DemoFailed
from demo_parts.kernel import read_notebook
from demo_parts.layout import Layout
from demo_parts.picture import draw
from demo_parts.story import interrupted, interruptions, undisturbed
from demo_parts.tables import comparisons_table, interruptions_table

NOTEBOOK: Final = Path(__file__).with_name("digits.ipynb")
STAGES: Final = 4
NARROWEST: Final = 110
"""Columns that the tables want where there is no terminal to fit them to."""


class Screen:
    """Shows the stage, the steps of training done, and what the runtime says."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._count = 0

    def stage(self, title: str, total: int | None) -> None:
        """Ends the stage before, and begins one."""
        self.stage_done()
        self._count += 1
        title = f"{self._count}/{STAGES} {title}"
        if not self._progress.console.is_terminal:
            self._progress.console.print(title)
        self._task = self._progress.add_task(title, total=total, cell="starting a kernel")

    def stage_done(self) -> None:
        """Lets the stage's clock stand still."""
        if self._task is not None:
            self._progress.stop_task(self._task)
            done = self._progress.tasks[self._task].completed
            total = self._progress.tasks[self._task].total
            self._progress.update(self._task, cell="", total=total or done)

    def cell(self, name: str) -> None:
        """Names the running cell."""
        if self._task is not None:
            self._progress.update(self._task, cell=f"cell {name}")

    def steps(self, done: int) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)

    def heard(self, line: str) -> None:
        """Prints a line above the bars."""
        self._progress.console.print(Text(line, "dim"), soft_wrap=True)


def perform(layout: Layout, console: Console) -> list[Comparison]:
    """Runs the whole demo: both trainings, the tables, the picture."""
    layout.prepare()
    cells = read_notebook(NOTEBOOK)
    columns = (
        TextColumn("{task.description}", justify="left"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f} steps"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[cell]}"),
    )
    with Progress(*columns, console=console) as progress:
        screen = Screen(progress)
        plain = undisturbed(layout, cells, screen)
        parts = interrupted(layout, cells, plain, screen)
        screen.stage_done()
    overcome = interruptions(parts)
    trained = [step for part in parts for step in part.steps]
    compared = compare(
        layout.results(interrupted=False), layout.results(interrupted=True), plain.steps, trained
    )
    tables = [interruptions_table(overcome, plain.fit_seconds), comparisons_table(compared)]
    console.print(*tables)
    with open(layout.table, "w", encoding="utf-8") as file:
        Console(file=file, width=NARROWEST).print(*tables)
    draw(layout.picture, plain, parts, overcome)
    return compared


def main(
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo writes.")] = Path("demo-out"),
) -> None:
    """Trains a small network twice: undisturbed, and with its kernel and its machine killed.

    Prints what was lost and restored, and compares both ends bit by bit.
    The exit status is 0 only if all is equal. It takes about two minutes.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=NARROWEST)
    layout = Layout(out.absolute())
    began = time.monotonic()
    try:
        compared = perform(layout, console)
    except CellFailed as error:
        console.print(Text.from_ansi(error.traceback))
        console.print(f"[bold red]{error}[/]; its traceback is above")
        raise typer.Exit(1) from None
    except DemoFailed as error:
        console.print(f"[bold red]The demo failed.[/] {error}")
        raise typer.Exit(1) from None
    console.print(f"Picture: {layout.picture}   ({time.monotonic() - began:.0f} s)", soft_wrap=True)
    if not all(one.equal for one in compared):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
