"""The line magic ``%holdfast``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from holdfast.runtime.errors import SlotNotFound

if TYPE_CHECKING:
    from holdfast.hooks.handle import Handle

WORDS: Final = {
    "status": "where the run stands",
    "checkpoint": "take a checkpoint now",
    "wait": "wait until the newest snapshot is confirmed in the store",
    "fresh [SLOT]": "let the trainings of a slot, or all, begin anew; SLOT may be a model's variable",
    "continue [SLOT]": "let them go on from the earlier one, although the definition changed, or after fresh",
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
        return run_line(handle, line, shell.user_ns)

    shell.register_magic_function(holdfast, "line", "holdfast")


def run_line(handle: Handle, line: str, names: Mapping[str, Any]) -> Any:
    """Does what a line of the magic says.

    Args:
        handle: The runtime.
        line: What follows ``%holdfast``.
        names: The notebook's variables.
    """
    match line.split():
        case [] | ["status"]:
            print(handle.status())
        case ["checkpoint"]:
            handle.checkpoint()
        case ["wait"]:
            handle.wait()
            print(handle.status())
        case ["fresh", *what] if len(what) < 2:
            _ask(handle.fresh, what, names)
        case ["continue", *what] if len(what) < 2:
            _ask(handle.continue_changed, what, names)
        case ["stop"]:
            handle.stop()
        case _:
            print("%holdfast WORD, where WORD is one of:")
            for word, meaning in WORDS.items():
                print(f"  {word:<{max(map(len, WORDS))}} {meaning}")
    return None


def _ask(wish: Callable[[Any], None], what: list[str], names: Mapping[str, Any]) -> None:
    """Passes a wish on for a slot, a variable's model, or everything."""
    try:
        wish(names.get(what[0], what[0]) if what else None)
    except SlotNotFound as error:
        print(error)
