"""Which notebook this is, and which run is its own. Best effort: where it cannot be told, that is said."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
import unicodedata
import urllib.parse
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from holdfast.hooks.notebook import script_name
from holdfast.hooks.patching import guarded
from holdfast.runtime import report
from holdfast.runtime.stores.credentials import in_colab

UNNAMED: Final = "notebook"
"""The run of a notebook whose name is not known."""

ANSWER_SECONDS: Final = 0.5
"""How long Colab's own server on this machine may take over each part of its answer."""

AGAIN_SECONDS: Final = 30.0
"""How long after an answer without a name it is asked for again: a start asks several times."""

_MOST_BYTES: Final = 1 << 20
_NAME_BYTES: Final = 120
"""Of a name: with what is added to it, a folder's name may have 255 bytes at most."""

_MARK_LETTERS: Final = 8
"""Of the hash of a notebook's id: two of a thousand notebooks have one mark once in ten thousand times."""

_ODD: Final = re.compile(r"[^\w .()+=@-]")


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook.

    Attributes:
        name: Its file's name without the ending; empty where it is not known.
        id: What it keeps when it is renamed or moved; empty where there is no such thing, or it is not known.
    """

    name: str = ""
    id: str = ""

    @property
    def mark(self) -> str:
        """What all names of its run end with; empty where its id is not known."""
        return f"-{hashlib.sha256(self.id.encode()).hexdigest()[:_MARK_LETTERS]}" if self.id else ""

    @property
    def run(self) -> str:
        """The name of its run, unless it had another name when that began."""
        return run_name(self.name) + self.mark


_known = Notebook()
_asked_at: float | None = None
_runs: dict[str, str] = {}
"""The runs that were chosen in this process, by what the notebook alone suggests."""


def run_name(name: str) -> str:
    """A name that a run can have in every store, and as like ``name`` as may be."""
    cleaned = _ODD.sub("_", unicodedata.normalize("NFC", name)).lstrip(" .()+=@-")
    return cleaned.encode()[:_NAME_BYTES].decode(errors="ignore")[:80].strip(" .") or UNNAMED


def default_run() -> str:
    """The run where no setting names one: the notebook's own, or that of the script's name."""
    if "IPython" not in sys.modules:
        return run_name(PurePosixPath(script_name()).stem)
    run = this_notebook().run
    return _runs.get(run, run)


def chooser(run: str) -> Callable[[Collection[str]], str] | None:
    """What finds the notebook's run among those of a store; None where there is nothing to find.

    Args:
        run: The run that the settings have, or `default_run`.
    """
    notebook = this_notebook() if "ipykernel" in sys.modules else Notebook()
    unknown = not notebook.id and (in_colab() or not notebook.name)
    if "ipykernel" not in sys.modules or run != default_run() or not (notebook.id or unknown):
        return None

    def choose(runs: Collection[str]) -> str:
        chosen, remark = choose_run(notebook, runs)
        if remark:
            report.say(remark)
        _runs[notebook.run] = chosen
        return chosen

    return lambda runs: guarded(choose)(runs) or run


def choose_run(notebook: Notebook, runs: Collection[str]) -> tuple[str, str]:
    """Which of a store's runs is the notebook's, and what is to be said of that; pure.

    A run whose name ends with the notebook's mark is its own, whatever it was called then. No other is
    ever taken for it.

    Returns:
        The run, which may be a new one; and a remark, empty for none.
    """
    bare, run = run_name(notebook.name), notebook.run
    if not notebook.id:
        alike = sorted(
            one for one in runs if re.fullmatch(rf"{re.escape(bare)}-[0-9a-f]{{{_MARK_LETTERS}}}", one)
        )
        others = f"; the store also has {', '.join(map(repr, alike[:3]))}" if alike else ""
        which = "its id" if notebook.name else "the notebook's name"
        return run, (
            f"{which} could not be told, so the run is {run!r}, which other notebooks may share{others}. "
            "To choose: start(run=...)"
        )
    own = sorted(one for one in runs if one.endswith(notebook.mark))
    if run in own:
        return run, ""
    if own:
        others = f" (it also has {', '.join(map(repr, own[1:]))})" if own[1:] else ""
        return own[0], f"this notebook's run began under the name {own[0]!r}, and goes on there{others}"
    if others := " and ".join(repr(one) for one in dict.fromkeys((bare, UNNAMED)) if one in runs):
        return run, (
            f"the store also has {others}, which may be this notebook's or another's. This notebook begins a "
            f"run of its own, {run!r}; to go on with another: start(run=...)"
        )
    return run, ""


def this_notebook() -> Notebook:
    """The notebook that runs; it takes a second at the most, and is asked for once. Never raises."""
    global _known, _asked_at
    now = time.monotonic()
    if not _known.name and (_asked_at is None or now - _asked_at > AGAIN_SECONDS):
        _known, _asked_at = guarded(_look)() or Notebook(), now
    return _known


def _look() -> Notebook:
    if in_colab():
        return _in_colab()
    path = os.environ.get("JPY_SESSION_NAME", "")
    if not path:  # Visual Studio Code names it in the notebook's own variables
        names: Any = getattr(sys.modules["IPython"].get_ipython(), "user_ns", {})
        path = names.get("__vsc_ipynb_file__", "")
    return Notebook(_stem(path))


def _in_colab() -> Notebook:
    from http.client import HTTPException

    number = os.environ.get("COLAB_NOTEBOOK_ID", "")
    host, port = os.environ.get("COLAB_JUPYTER_IP", ""), os.environ.get("KMP_TARGET_PORT", "")
    try:
        sessions = _get(f"http://{host}:{port}/api/sessions") if host and port else []
        entry = _entry(sessions, _kernel_id(), number)
    except (OSError, ValueError, HTTPException):  # it is no promise of Colab's
        entry = {}
    return Notebook(_stem(entry.get("name")), _file_id(entry) or number)


def _get(url: str) -> Any:
    """The JSON at an address on this machine, past any proxy.

    Raises:
        OSError: No answer, or none in time.
        HTTPException: Whoever answers speaks no HTTP.
        ValueError: It is no JSON.
    """
    import urllib.request  # not light, and nobody is asked outside Colab

    until = time.monotonic() + 2 * ANSWER_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text = b""
    with opener.open(url, timeout=ANSWER_SECONDS) as answer:
        while chunk := answer.read1(65_536):
            text += chunk
            if time.monotonic() > until or len(text) > _MOST_BYTES:
                raise TimeoutError
    return json.loads(text)


def _entry(sessions: Any, kernel: str, number: str) -> dict[str, Any]:
    """This kernel's session: by the kernel's id, by the notebook's, or the only one there is."""
    entries = [one for one in sessions if isinstance(one, dict)] if isinstance(sessions, list) else []
    for same in (
        [one for one in entries if kernel and _of_kernel(one) == kernel],
        [one for one in entries if number and _file_id(one) == number],
        entries,
    ):
        if len(same) == 1:
            return same[0]
    return {}


def _kernel_id() -> str:
    """The kernel's id, from its connection file ``kernel-ID.json``; empty where there is none."""
    app = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    path = app.instance().connection_file if app is not None and app.initialized() else ""
    return PurePosixPath(path).stem.removeprefix("kernel-")


def _of_kernel(entry: dict[str, Any]) -> str:
    kernel = entry.get("kernel")
    return str(kernel.get("id")) if isinstance(kernel, dict) else ""


def _file_id(entry: dict[str, Any]) -> str:
    """``ID`` of a session's path ``fileId=ID``; empty for another path."""
    found = urllib.parse.parse_qs(str(entry.get("path", "")).lstrip("/"))
    return found.get("fileId", [""])[0]


def _stem(path: Any) -> str:
    return PurePosixPath(path).name.removesuffix(".ipynb") if isinstance(path, str) else ""
