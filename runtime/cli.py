"""The command ``holdfast``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from holdfast.runtime.errors import HoldfastError

app = typer.Typer(
    name="holdfast",
    help="Keras trainings that survive killed kernels and lost machines.",
    no_args_is_help=True,
    add_completion=False,
)

EXIT_FAILED = 1
"""Exit status where Holdfast itself could not do what was asked."""


@app.callback()
def _commands() -> None:
    """Keras trainings that survive killed kernels and lost machines."""


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def run(
    script: Annotated[
        Path, typer.Argument(help="The Python script, unchanged.", exists=True, dir_okay=False)
    ],
    arguments: Annotated[list[str] | None, typer.Argument(help="The script's own arguments.")] = None,
    store: Annotated[
        str | None, typer.Option(help="Where checkpoints are kept for good. [default: ./holdfast]")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--run", help="Name of the run. [default: the script's name]")
    ] = None,
) -> None:
    """Runs a script under the runtime: killed at any moment and run again, it goes on where it was."""
    import colab_bootstrap

    try:
        colab_bootstrap.start(store, run=name or script.stem)
    except HoldfastError as error:
        typer.echo(f"holdfast: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    sys.argv = [str(script), *(arguments or [])]
    sys.path.insert(0, str(script.absolute().parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        colab_bootstrap.stop()


@app.command()
def daemon(
    spool: Annotated[Path, typer.Argument(help="The spool to serve.", exists=True, file_okay=False)],
) -> None:
    """Carries snapshots from a spool to its store. Sessions start it by themselves."""
    from holdfast.runtime.daemon import main as serve

    raise typer.Exit(serve(spool))


def main() -> None:
    """The console script's entry."""
    app()


if __name__ == "__main__":
    main()
