"""The command ``holdfast``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from holdfast.runtime import report
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.exit_codes import code_of, explained

COMMANDS: Final = ("init", "config", "runs", "show", "verify", "prune", "export", "report")
"""Each a function of that name in a module ``cli_…`` of its own."""


def _commands() -> None:
    """Keras trainings that survive killed kernels and lost machines."""


def run(
    script: Annotated[Path, typer.Argument(help="The Python script, unchanged.", exists=True, dir_okay=False)],
    arguments: Annotated[list[str] | None, typer.Argument(help="The script's own arguments.")] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where checkpoints are kept for good; by default the setting, else ./holdfast, "
            "in Colab drive:holdfast.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="NAME", help="Name of the run; by default the setting, else the script's name."
        ),
    ] = None,
) -> None:
    """Runs a script under the runtime: killed at any moment and run again, it goes on where it was."""
    options = [word for flag, value in (("--store", store), ("--run", name)) if value for word in (flag, value)]
    # In its own process, by name only: this layer knows nothing of the hooks.
    command = [sys.executable, "-m", "colab_bootstrap", *options, "--", str(script), *(arguments or [])]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - the same interpreter


def daemon(
    spool: Annotated[Path, typer.Argument(help="The spool to serve.", exists=True, file_okay=False)],
) -> None:
    """Carries snapshots from a spool to its store. Sessions start it by themselves."""
    from holdfast.runtime.daemon import main as serve

    raise typer.Exit(serve(spool))


def app_of(names: Iterable[str]) -> typer.Typer:
    """The command with those of `COMMANDS`, and with what is defined here."""
    app = typer.Typer(
        name="holdfast",
        help="Keras trainings that survive killed kernels and lost machines.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,  # they may hold what nobody is to see
    )
    app.callback(epilog=explained())(_commands)
    app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})(run)
    app.command()(daemon)
    for name in names:
        module = import_module(f"holdfast.runtime.cli_{name}")
        app.command(name)(getattr(module, name))
    return app


def _wanted(words: list[str]) -> tuple[str, ...]:
    """Of `COMMANDS` the one that is called for, since the others' modules take time to import; or all."""
    if not words or words[0] not in (*COMMANDS, run.__name__, daemon.__name__):
        return COMMANDS
    return tuple(name for name in COMMANDS if name == words[0])


def main(words: list[str] | None = None) -> None:
    """The console script's entry.

    Args:
        words: The command line; None for this process's own.

    Raises:
        SystemExit: Always, with a status of `exit_codes`.
    """
    try:
        app_of(_wanted(sys.argv[1:] if words is None else words))(words)
    except HoldfastError as error:
        report.say(str(error))
        sys.exit(code_of(error))


if __name__ == "__main__":
    main()
