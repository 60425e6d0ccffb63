"""The command ``holdfast``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from holdfast.runtime import report
from holdfast.runtime.cli_config import config
from holdfast.runtime.cli_export import export
from holdfast.runtime.cli_init import init
from holdfast.runtime.cli_prune import prune
from holdfast.runtime.cli_report import report as report_command
from holdfast.runtime.cli_runs import runs
from holdfast.runtime.cli_show import show
from holdfast.runtime.cli_verify import verify
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.exit_codes import code_of, explained

app = typer.Typer(
    name="holdfast",
    help="Keras trainings that survive killed kernels and lost machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they may hold what nobody is to see
)


@app.callback(epilog=explained())
def _commands() -> None:
    """Keras trainings that survive killed kernels and lost machines."""


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
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


@app.command()
def daemon(
    spool: Annotated[Path, typer.Argument(help="The spool to serve.", exists=True, file_okay=False)],
) -> None:
    """Carries snapshots from a spool to its store. Sessions start it by themselves."""
    from holdfast.runtime.daemon import main as serve

    raise typer.Exit(serve(spool))


for command in (init, config, runs, show, verify, prune, export):
    app.command()(command)
app.command("report")(report_command)


def main(words: list[str] | None = None) -> None:
    """The console script's entry.

    Args:
        words: The command line; None for this process's own.

    Raises:
        SystemExit: Always, with a status of `exit_codes`.
    """
    try:
        app(words)
    except HoldfastError as error:
        report.say(str(error))
        sys.exit(code_of(error))


if __name__ == "__main__":
    main()
