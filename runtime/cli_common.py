"""What the commands that look into a store share: options, opening, tables, JSON, questions."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.runtime import report
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.holder import Here, Holder
from holdfast.runtime.inventory import is_run
from holdfast.runtime.names import Stem, check_run_name, parse_stem
from holdfast.runtime.patience import open_patiently
from holdfast.runtime.report import plain
from holdfast.runtime.settings import Settings, load
from holdfast.runtime.stores import Store, normalise
from holdfast.runtime.stores.credentials import default_store

WIDE: Final = 400
"""Columns of a table that goes into a file or a pipe, where nothing may be cut off."""

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="The store: a path, gs://bucket/prefix, drive:folder or drive-api:folder. By default the setting "
        "'store' of holdfast.yaml here, or HOLDFAST_STORE, else ./holdfast, in Colab drive:holdfast.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, no tables.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Answers every question with yes.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.")]


class Place:
    """A store as a command opens it; nothing is written to it by that."""

    def __init__(self, store: str | None) -> None:
        self.settings: Settings = load(Path.cwd(), {"store": store})
        self.url = normalise(self.settings.store or default_store())
        self.top = open_patiently(self.url)

    def run_names(self) -> list[str]:
        """The runs in the store, in alphabetical order."""
        names = []
        for name in sorted(self.top.list("").folders):
            try:
                check_run_name(name)
            except HoldfastError:
                continue
            if is_run(self.top.list(name).folders):
                names.append(name)
        return names

    def run(self, name: str) -> Store:
        """The folder of a run.

        Raises:
            CommandFailed: There is no such run.
            SettingsInvalid: No run can have that name.
        """
        if not is_run(self.top.list(check_run_name(name)).folders):
            raise CommandFailed(
                ExitCode.NOT_FOUND, f"There is no run {name!r}", where=self.url, hint="See: holdfast runs"
            )
        return self.top.under(name)

    def here(self, run: str) -> Here:
        """A run as this machine knows it."""
        return Here(Path(self.settings.spool).expanduser().absolute(), self.url, run)


def checkpoint_name(text: str) -> Stem:
    """A checkpoint as the user names it.

    Raises:
        CommandFailed: It cannot be one's name.
    """
    try:
        return parse_stem(text)
    except HoldfastError:
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"{plain(text)} is not the name of a checkpoint", hint="See: holdfast show RUN"
        ) from None


def emit(document: dict[str, Any]) -> None:
    """Writes the one JSON document of a command."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def line(text: str = "") -> None:
    """Writes a line of the result."""
    sys.stdout.write(plain(text) + "\n")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Writes a table.

    Args:
        head: The columns' names.
        rows: Their cells.
        numbers: Columns that are aligned to the right.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if terminal else WIDE)
    with console.capture() as shown:
        console.print(made)
    for text in shown.get().splitlines():
        line(text.rstrip())


@contextmanager
def bar(what: str, *, quiet: bool, unit: str = "B") -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, where that is a terminal.

    Args:
        what: What is done.
        quiet: Never shows one.
        unit: What is counted.

    Returns:
        A function to be told how much is done, and of how much.
    """
    from holdfast.runtime.bar import Bar

    hidden = quiet or not sys.stderr.isatty()
    with Bar(desc=what, unit=unit, unit_scale=unit == "B", leave=False, disable=hidden) as shown:
        yield shown.reached


def ask(question: str, *, yes: bool) -> None:
    """Goes on only if the user says yes.

    Raises:
        CommandFailed: The user does not, or cannot be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(ExitCode.REFUSED, question, hint="To go on, say so: --yes")
    if not typer.confirm(f"{question}. Go on?", err=True):
        raise CommandFailed(ExitCode.REFUSED, "Nothing was changed")


def ask_holder(holder: Holder, *, yes: bool) -> None:
    """Goes on at once where no session may write to the run, else only if the user wants to stop it.

    Raises:
        CommandFailed: The user does not, or cannot be asked.
    """
    if holder.life in ("alive", "unknown"):
        ask(f"This takes the run from {holder}", yes=yes)


def when(seconds: float, now: float) -> str:
    """A time for a table."""
    return f"{report.ago(now - seconds)} ago"
