"""A real Jupyter kernel that a test runs cells in, and what a front end would see of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

GIVE_UP_SECONDS = 300

PANEL_ID = "holdfast-"
"""How the panel's display id begins."""


class Kernel:
    """A kernel and its client: runs cells, and gives what they print.

    Attributes:
        manager: Starts, interrupts and ends the kernel.
        client: Sends cells and receives messages.
        panels: The panel's messages so far: their types and contents.
    """

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=GIVE_UP_SECONDS)
        self.panels: list[tuple[str, dict[str, Any]]] = []

    def run(self, cell: str, watch: Callable[[str], None] = lambda line: None) -> str:
        """Runs a cell to its end; its output, tracebacks included."""
        request = self.client.execute(cell)
        printed = ""
        while True:
            message = self._next_message()
            if message["parent_header"].get("msg_id") != request:
                continue
            content: dict[str, Any] = message["content"]
            match message["msg_type"]:
                case "stream":
                    printed += content["text"]
                    watch(printed)
                case "execute_result":
                    printed += content["data"]["text/plain"]
                case "error":
                    printed += content["ename"]
                case "status" if content["execution_state"] == "idle":
                    self.client.get_shell_msg(timeout=GIVE_UP_SECONDS)
                    return printed

    def await_panel(self, words: str) -> None:
        """Waits until the panel has said these words last."""
        while not (self.panels and words in self.panels[-1][1]["data"]["text/plain"]):
            self._next_message()

    def panel(self, *, html: bool = False) -> str:
        """What the panel says at present."""
        return str(self.panels[-1][1]["data"]["text/html" if html else "text/plain"])

    def _next_message(self) -> dict[str, Any]:
        message: dict[str, Any] = self.client.get_iopub_msg(timeout=GIVE_UP_SECONDS)
        content = message["content"]
        if str(content.get("transient", {}).get("display_id", "")).startswith(PANEL_ID):
            self.panels.append((message["msg_type"], content))
        return message


@contextlib.contextmanager
def running_kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel that runs in a folder, with its own spool there."""
    environment = {**os.environ, "HOLDFAST_SPOOL": str(folder / "spool"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    manager = KernelManager()
    manager.start_kernel(cwd=str(folder), env=environment)
    made = Kernel(manager)
    try:
        yield made
    finally:
        made.client.stop_channels()
        manager.shutdown_kernel()
        with contextlib.suppress(RuntimeError):
            manager.cleanup_resources()
