"""JupyterLab as its users have it: a server, and a notebook in a browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as NotThere

from helpers.processes import environment, eventually

QUIET: Final = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
"""Settings without which it asks the internet for news, and the user whether it may."""


RESTART_SECONDS: Final = 30.0
"""After so long the user restarts a kernel that JupyterLab said it would restart."""


class Server:
    """A JupyterLab server whose files are all under one folder."""

    def __init__(self, folder: Path, extra: dict[str, str]) -> None:
        self.folder, self.work = folder, folder / "work"
        self.work.mkdir()
        for name, value in QUIET.items():
            path = folder / "config" / "lab" / "user-settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value), encoding="utf-8")
        own = {
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "run"),
            "IPYTHONDIR": str(folder / "ipython"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--ServerApp.port=0", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={self.work}"),
            *("--LabApp.news_url=None", "--LabApp.extension_manager=readonly"),
        ]
        with (folder / "server.log").open("wb") as log:
            self._process = psutil.Popen(
                command, cwd=self.work, env=environment({**own, **extra}), stdout=log, stderr=subprocess.STDOUT
            )
        self._children: set[psutil.Process] = set()

    def listens(self) -> bool:
        """Whether it can be asked."""
        assert self._process.poll() is None, (self.folder / "server.log").read_text()
        return "is running at" in (self.folder / "server.log").read_text(encoding="utf-8")

    def url(self, notebook: str) -> str:
        """Where a browser finds a notebook, its token included."""
        (path,) = (self.folder / "run").glob("jpserver-*.json")
        server: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return f"{server['url']}lab/tree/{notebook}?token={server['token']}&reset"

    def kernels(self) -> list[psutil.Process]:
        """The processes of its kernels."""
        self._children |= set(self._process.children(recursive=True))
        return [one for one in self._process.children() if is_kernel(one)]

    def stop(self) -> None:
        """Ends it and its kernels."""
        with suppress(psutil.NoSuchProcess):
            self._children |= set(self._process.children(recursive=True))
            self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        for child in psutil.wait_procs(self._children, timeout=10)[1]:
            child.kill()


def is_kernel(process: psutil.Process) -> bool:
    """Whether a process is a living kernel."""
    try:
        return "ipykernel_launcher" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def server(folder: Path, extra: dict[str, str]) -> Iterator[Server]:
    """A server that listens, with these environment variables for its kernels; ended with the test."""
    made = Server(folder, extra)
    try:
        eventually(made.listens, "JupyterLab's server")
        yield made
    finally:
        made.stop()


class Lab:
    """A notebook in a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.notebook = page.locator(".jp-Notebook")
        self.notebook.wait_for()
        self.status("Idle")

    def menu(self, name: str, *entries: str) -> None:
        """Chooses an entry of a menu, or of a menu in it."""
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        for entry in entries:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()

    def accept(self, dialog: str) -> None:
        """Says yes to a dialog with this text, once it is there."""
        box = self.page.locator(".jp-Dialog").filter(has_text=dialog)
        box.locator("button.jp-mod-accept").click()
        box.wait_for(state="detached")

    def theme(self, name: str) -> None:
        """Changes to the theme ``Light`` or ``Dark``."""
        self.menu("Settings", "Theme", f"JupyterLab {name}")
        self.page.locator(f'body[data-jp-theme-name="JupyterLab {name}"]').wait_for(state="attached")

    def hide_files(self) -> None:
        """Hides the file browser, which leaves a phone no room for the notebook."""
        if self.page.locator("#jp-left-stack").is_visible():
            self.page.keyboard.press("Control+b")
            self.page.locator("#jp-left-stack").wait_for(state="hidden")

    def cell(self, number: int) -> Locator:
        """A cell, counted from 0."""
        return self.notebook.locator(".jp-Cell").nth(number)

    def output(self, number: int) -> Locator:
        """What stands below a cell."""
        return self.cell(number).locator(".jp-OutputArea")

    def shows(self, number: int, text: str) -> str:
        """Waits until a cell's output has a text; the whole output."""
        self.output(number).filter(has_text=text).first.wait_for()
        return self.output(number).inner_text()

    def status(self, text: str, seconds: float | None = None) -> None:
        """Waits until the status bar has a text about the kernel: ``Idle``, ``No Kernel``, or a pattern.

        Args:
            text: It.
            seconds: For how long; by default as long as it takes.

        Raises:
            NotThere: It has not come by then.
        """
        # The round indicator in the notebook's toolbar says that it is idle before there is a kernel.
        pattern = re.compile(rf"(^|\| ){text}( \||$)")
        milliseconds = None if seconds is None else seconds * 1000
        self.page.locator("#jp-main-statusbar").get_by_text(pattern).wait_for(timeout=milliseconds)

    def has_died(self) -> None:
        """Accepts that the kernel has died, and waits until there is another one.

        JupyterLab restarts it by itself. On a busy machine its page may then stay without a connection, with
        the kernel's state ``Unknown`` for good: then its user restarts the kernel, as is done here.
        """
        self.accept("appears to have died")
        try:
            self.status("(Starting|Idle)", RESTART_SECONDS)
        except NotThere:
            self.menu("Kernel", "Restart Kernel…")
            self.accept("Restart Kernel?")
            self.status("Idle")
