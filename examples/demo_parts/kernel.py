"""A real Jupyter kernel: started, fed with a notebook's cells, killed."""

from __future__ import annotations

import json
import queue
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from demo_parts.errors import CellFailed, DemoFailed
from demo_parts.layout import DEATH_SECONDS, kill_all, local_processes, wait_until_gone

READY_SECONDS: Final = 60
SILENCE_SECONDS: Final = 240.0
"""The longest that a cell may neither print nor end: TensorFlow's import on a slow machine fits in."""
POLL_SECONDS: Final = 0.02
"""Between two looks at the log of steps: less than a step takes."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell."""

    name: str
    code: str


def read_notebook(path: Path) -> list[Cell]:
    """The code cells of a notebook file.

    Raises:
        DemoFailed: It cannot be read.
    """
    try:
        notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise DemoFailed(f"The notebook {path} cannot be read: {error}") from None
    return [Cell(one.id, one.source) for one in notebook.cells if one.cell_type == "code"]


class Kernel:
    """A kernel of this very Python. What it prints goes into a file, and line by line to ``heard``."""

    def __init__(
        self, vm: Path, environment: dict[str, str], output: Path, heard: Callable[[str], None]
    ) -> None:
        self._vm, self._heard = vm, heard
        self._partial = ""
        self._output = open(output, "a", encoding="utf-8")  # noqa: SIM115 - until close()
        self._manager: Any = KernelManager(
            kernel_name="demo", kernel_spec_manager=_own_kernel(vm), connection_file=str(vm / "kernel.json")
        )
        # What libraries print past IPython goes into the file too.
        self._manager.start_kernel(env=environment, cwd=str(vm), stdout=self._output, stderr=self._output)
        self._process = psutil.Process(self._manager.provisioner.pid)
        self._client: Any = self._manager.blocking_client()
        try:
            self._client.start_channels()
            self._client.wait_for_ready(timeout=READY_SECONDS)
        except BaseException as error:
            self.close()
            if isinstance(error, RuntimeError):
                raise DemoFailed(f"The kernel did not start: {error}; see {output}") from None
            raise

    def run(self, cell: Cell, stop: Callable[[], bool] = lambda: False) -> bool:
        """Runs a cell as Jupyter does.

        Args:
            cell: The cell.
            stop: Asked every few milliseconds; once it says yes, the cell is waited for no longer.

        Returns:
            Whether the cell came to its end.

        Raises:
            CellFailed: It raised.
            DemoFailed: The kernel died, or is silent for too long.
        """
        request = self._client.session.msg(
            "execute_request",
            {"code": cell.code, "silent": False, "store_history": True, "allow_stdin": False},
            metadata={"cellId": cell.name},
        )
        self._client.shell_channel.send(request)
        last = time.monotonic()
        while not stop():
            try:
                message = self._client.get_iopub_msg(timeout=POLL_SECONDS)
            except queue.Empty:
                self._check_alive(cell, last)
                continue
            last = time.monotonic()
            if message["parent_header"].get("msg_id") == request["header"]["msg_id"] and self._ended(
                cell, message
            ):
                return True
        return False

    def _ended(self, cell: Cell, message: dict[str, Any]) -> bool:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            self._hear(content["text"])
        elif kind == "error":
            raise CellFailed(cell.name, "\n".join(content["traceback"]))
        return bool(kind == "status" and content["execution_state"] == "idle")

    def _check_alive(self, cell: Cell, last: float) -> None:
        if not self._manager.is_alive():
            raise DemoFailed(f"The kernel died in cell {cell.name!r}; its output is in {self._output.name}")
        if time.monotonic() - last > SILENCE_SECONDS:
            raise DemoFailed(f"Cell {cell.name!r} has been silent for {SILENCE_SECONDS:.0f} s")

    def _hear(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._heard(line)

    def kill(self) -> None:
        """SIGKILL: the kernel gets no chance to do anything; its daemon lives on."""
        self._process.kill()
        self.close()

    def kill_with_machine(self) -> None:
        """Kills kernel and daemon in one instant, as a lost machine does."""
        self._process.send_signal(signal.SIGSTOP)  # else it could start another daemon in between
        kill_all(local_processes(self._vm))
        self.kill()

    def shut_down(self) -> None:
        """Ends the kernel in good order, and waits for its daemon to end too."""
        self._client.shutdown()
        wait_until_gone([self._process], DEATH_SECONDS)
        wait_until_gone(local_processes(self._vm), DEATH_SECONDS)
        self.close()

    def close(self) -> None:
        """Leaves no process, socket or file; harmless after the kernel's end."""
        if self._output.closed:
            return
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._output.close()


def _own_kernel(vm: Path) -> Any:
    """A kernel specification for this Python, whatever kernels are installed."""
    folder = vm / "kernels" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": "demo", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    return KernelSpecManager(kernel_dirs=[str(folder.parent)])
