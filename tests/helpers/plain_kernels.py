"""Real kernels that run some cells each."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

GIVE_UP_SECONDS = 120


class Kernels:
    """Kernels of one machine, one after another, for cells that train nothing."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "HOLDFAST_SPOOL": str(folder / "spool"),
            "HOLDFAST_STORE": str(folder / "store"),
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            **environment,
        }

    def run(self, *cells: str) -> list[str]:
        """Runs cells in a new kernel; what each printed, or its error as it is shown."""
        manager, client = start_new_kernel(cwd=str(self.folder), env=self.environment)
        try:
            printed = []
            for cell in cells:
                texts: list[str] = []

                def hear(message: dict[str, Any], texts: list[str] = texts) -> None:
                    content = message["content"]
                    texts.append(content.get("text", "") or "\n".join(content.get("traceback", [])))

                client.execute_interactive(cell, output_hook=hear, timeout=GIVE_UP_SECONDS)
                printed.append("".join(texts))
            return printed
        finally:
            client.stop_channels()
            manager.shutdown_kernel()
            manager.cleanup_resources()
