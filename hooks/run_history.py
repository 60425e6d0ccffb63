"""What ``%holdfast history`` and ``%holdfast plot`` show of the running run."""

from __future__ import annotations

import base64
import html
import sys
from pathlib import Path
from typing import Final

from holdfast.hooks.notebook import find_shell
from holdfast.runtime import report
from holdfast.runtime.bar import Bar
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.history import Story, read_story
from holdfast.runtime.history_text import left_out, story_lines
from holdfast.runtime.holder import Here
from holdfast.runtime.patience import open_patiently
from holdfast.runtime.picture_forms import png
from holdfast.runtime.pictures import Theme, draw_slot, drawable, slot_text
from holdfast.runtime.session import Session

BAR_SECONDS: Final = 2.0
"""A reading that takes longer gets a bar."""


def read(session: Session) -> Story:
    """The story of a session's run, its newest snapshots included.

    Raises:
        StoreError: The store does not answer.
    """
    session.flush()
    settings = session.settings
    here = Here(Path(settings.spool).expanduser().absolute(), settings.store, settings.run)
    with Bar(desc="reading manifests", unit="B", unit_scale=True, delay=BAR_SECONDS, leave=False) as bar:
        return read_story(open_patiently(settings.store), here, bar.reached)


def history(session: Session) -> None:
    """Prints the story of the run. ``%holdfast history``."""
    try:
        print("\n".join(story_lines(read(session))))
    except HoldfastError as error:
        report.say(str(error))


def plot(session: Session, theme: Theme = "light") -> None:
    """Shows the losses and metrics of the newest slots. ``%holdfast plot``, ``%holdfast plot dark``."""
    try:
        story = read(session)
        pictures = [(slot_text(slot), draw_slot(slot, theme)) for slot in drawable(story.slots)]
        shown = [(text, png(figure)) for text, figure in pictures if figure is not None]
    except HoldfastError as error:
        report.say(str(error))
        return
    if not shown:
        print(
            f"no loss is recorded of run {story.run!r} so far: there is one once an epoch of a fit is in a "
            "snapshot; loops of your own and TF1 sessions have none"
        )
        return
    for text, data in shown:
        _show(text, data)
    if others := left_out(story.slots):
        print(report.plain(f"not drawn: {others}"))


def _show(text: str, data: bytes) -> None:
    """Displays a picture with its text for who cannot see it."""
    display = sys.modules.get("IPython.display")
    if display is None or not hasattr(find_shell(), "kernel"):
        print(report.plain(text))
        return
    source = base64.b64encode(data).decode()
    display.display(
        display.HTML(
            f'<img style="max-width:100%;height:auto" alt="{html.escape(text)}" '
            f'src="data:image/png;base64,{source}">'
        )
    )
