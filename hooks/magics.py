"""The line magic ``%holdfast``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from holdfast.hooks.handle import Handle

WORDS: Final = {
    "status": "where the run stands",
    "checkpoint": "take a checkpoint now",
    "wait": "wait until the newest snapshot is confirmed in the store",
    "fresh": "let every training begin anew",
    "continue": "let the next training go on from the finished one, although its definition changed",
    "stop": "end the runtime",
}


def register_magic(handle: Handle) -> None:
    """Brings ``%holdfast`` to the running IPython, if there is one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return

    def holdfast(line: str) -> Any:
        """Speaks to the Holdfast runtime: see ``%holdfast help``."""
        return run_line(handle, line)

    shell.register_magic_function(holdfast, "line", "holdfast")


def run_line(handle: Handle, line: str) -> Any:
    """Does what a line of the magic says."""
    match line.split():
        case [] | ["status"]:
            print(handle.status())
        case ["checkpoint"]:
            handle.checkpoint()
        case ["wait"]:
            handle.wait()
            print(handle.status())
        case ["fresh"]:
            handle.fresh()
        case ["continue"]:
            handle.continue_changed()
        case ["stop"]:
            handle.stop()
        case _:
            print("%holdfast WORD, where WORD is one of:")
            for word, meaning in WORDS.items():
                print(f"  {word:<11} {meaning}")
    return None
