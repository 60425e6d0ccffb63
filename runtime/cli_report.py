"""``holdfast report``: a run as one HTML page."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from holdfast.runtime.cli_common import Place, RunArgument, StoreOption, bar, line
from holdfast.runtime.cli_prune import policy_of
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.files import replace_atomically
from holdfast.runtime.history import read_story


def report(
    run: RunArgument,
    store: StoreOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page; by default RUN.html here.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Shows it in the browser.")] = False,
) -> None:
    """Writes a run's story as one HTML page: sessions, losses, checkpoints, storage."""
    from holdfast.runtime.report_page import page_of

    place = Place(store)
    place.run(run)
    with bar("reading manifests", quiet=False) as reached:
        story = read_story(place.top, place.here(run), reached)
    page = page_of(story, policy_of(place.settings), time.time())
    target = (out or Path(f"{run}.html")).absolute()
    try:
        replace_atomically(target, page.encode("utf-8", "replace"))
    except OSError as error:
        raise CommandFailed(
            ExitCode.FAILED, f"The page cannot be written: {error.strerror}", where=str(target)
        ) from None
    line(f"{target}: {len(story.sessions)} sessions, {len(story.checkpoints)} checkpoints")
    if show:
        webbrowser.open(target.as_uri())
