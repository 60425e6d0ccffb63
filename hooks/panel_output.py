"""A notebook's front end, as far as the panel needs it: one output, shown once and replaced in place."""

from __future__ import annotations

import uuid
from typing import Any

from holdfast.hooks.notebook import find_shell
from holdfast.runtime.panel_html import as_html
from holdfast.runtime.panel_text import as_text
from holdfast.runtime.panel_view import View


class PanelOutput:
    """The panel's output in a notebook, known to the front end by an id."""

    def __init__(self, shell: Any) -> None:
        self._shell, self._id = shell, f"holdfast-{uuid.uuid4().hex}"
        self._publisher: Any = None

    @classmethod
    def in_notebook(cls) -> PanelOutput | None:
        """The running kernel's; None without a kernel, as in a terminal."""
        shell = find_shell()
        return cls(shell) if getattr(shell, "kernel", None) is not None else None

    def show(self, view: View) -> None:
        """Shows it in the running cell's output. On the main thread only."""
        self._shell.display_pub.publish(
            data=_bundle(view), metadata={}, transient={"display_id": self._id}, update=False
        )

    def replace(self, view: View) -> bool:
        """Replaces it wherever it is shown, from any thread.

        Not by `publish`, which flushes the running cell's `sys.stdout`, whatever the user has put there.

        Returns:
            False where it could not be sent now: all that is shown is captured, as by ``%%capture``.
        """
        publisher = self._shell.display_pub
        if hasattr(publisher, "pub_socket"):
            self._publisher = publisher
        publisher = self._publisher
        if publisher is None:
            return False
        content = {"data": _bundle(view), "metadata": {}, "transient": {"display_id": self._id}}
        publisher.session.send(
            publisher.pub_socket,
            "update_display_data",
            content,
            parent=publisher.parent_header,
            ident=publisher.topic,
        )
        return True


def _bundle(view: View) -> dict[str, str]:
    return {"text/html": as_html(view), "text/plain": as_text(view)}
