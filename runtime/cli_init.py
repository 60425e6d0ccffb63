"""``holdfast init``: an annotated settings file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.runtime.cli_common import line
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.files import create_durably, replace_atomically
from holdfast.runtime.settings import FILE_NAME
from holdfast.runtime.settings_text import example_file


def init(
    force: Annotated[
        bool, typer.Option("--force", help="Replaces a file that is there; what it gave is lost.")
    ] = False,
) -> None:
    """Writes a holdfast.yaml into this folder: every setting explained and commented out, with its default."""
    path = Path.cwd() / FILE_NAME
    data = example_file().encode()
    try:
        if force:
            replace_atomically(path, data)
        else:
            create_durably(path, [data])
    except FileExistsError:
        raise CommandFailed(
            ExitCode.NOT_EXPORTED,
            "There is a settings file already; nothing was changed",
            where=str(path),
            hint="See what is in force: holdfast config. To replace the file: holdfast init --force",
        ) from None
    except OSError as error:
        raise CommandFailed(
            ExitCode.FAILED, f"The settings file cannot be written: {error.strerror or error}", where=str(path)
        ) from None
    line(f"{path} was written. Every setting in it is commented out, so it changes nothing yet.")
    line("Take the # off a line and change its value; a session that runs takes it as the file is saved.")
    line("What is in force, and where it is from: holdfast config")
