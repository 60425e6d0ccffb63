"""The line magic ``%holdfast``: its words, its help, and the completion of both."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from holdfast.hooks.notebook import find_shell
from holdfast.hooks.patching import guarded
from holdfast.runtime.errors import SlotNotFound

if TYPE_CHECKING:
    from holdfast.hooks.handle import Handle

MAGIC: Final = "%holdfast"
SLOT: Final = "SLOT"

Names = Mapping[str, Any]
"""The notebook's variables."""


@dataclass(frozen=True, slots=True)
class Word:
    """One of the magic's words.

    Attributes:
        meaning: What it does, in a line.
        act: Does it: with the runtime, the word's argument or an empty text, and the notebook's variables.
        argument: What it takes beside, if anything: a slot, or one of a few words.
    """

    meaning: str
    act: Callable[[Handle, str, Names], None]
    argument: str = ""

    def choices(self, slots: list[str]) -> list[str]:
        """What the argument may be."""
        return slots if self.argument == SLOT else self.argument.split("|") if self.argument else []


def _checkpoint(handle: Handle) -> None:
    handle.checkpoint()
    newest = handle.status().snapshot or "none yet"
    print(f"the next training step takes a checkpoint; newest snapshot so far: {newest}")


def _wait(handle: Handle) -> None:
    confirmed = handle.wait()
    status = handle.status()
    if not status.snapshot:
        print("nothing to wait for: no snapshot in this session")
    elif confirmed:
        print(f"confirmed: checkpoint {status.confirmed} is safe in {status.store}")
    else:
        print(f"not confirmed: {status.unconfirmed or 'the wait was over before'}")


def _ask(wish: Callable[[Any], None], slot: str, names: Names) -> None:
    """Passes a wish on for a slot, a variable's model, or everything."""
    try:
        wish(names.get(slot, slot) if slot else None)
    except SlotNotFound as error:
        print(error)


WORDS: Final[dict[str, Word]] = {
    "status": Word("where the run stands", lambda handle, *_: handle.show()),
    "checkpoint": Word("take a checkpoint at the next step", lambda handle, *_: _checkpoint(handle)),
    "wait": Word("wait until the newest snapshot is confirmed in the store", lambda handle, *_: _wait(handle)),
    "history": Word("what happened to the run, a line each", lambda handle, *_: handle.history()),
    "plot": Word(
        "losses and metrics across interruptions and resumes",
        lambda handle, theme, _: handle.plot("dark" if theme == "dark" else "light"),
        argument="light|dark",
    ),
    "fresh": Word(
        "let the trainings of a slot, or all, begin anew; SLOT may be a model's variable",
        lambda handle, slot, names: _ask(handle.fresh, slot, names),
        argument=SLOT,
    ),
    "continue": Word(
        "let them go on from the earlier one, although the definition changed, or after fresh",
        lambda handle, slot, names: _ask(handle.continue_changed, slot, names),
        argument=SLOT,
    ),
    "stop": Word("end the runtime; the daemon uploads what is left", lambda handle, *_: handle.stop()),
    "help": Word("these lines", lambda *_: print(help_text())),
}


def help_text() -> str:
    """What the magic can be told, a word a line."""
    heads = {name: f"{name} [{word.argument}]" if word.argument else name for name, word in WORDS.items()}
    wide = max(map(len, heads.values()))
    lines = [f"  {heads[name]:<{wide}}  {word.meaning}" for name, word in WORDS.items()]
    return "\n".join([f"{MAGIC} WORD, where WORD is one of:", *lines])


def register_magic(handle: Handle) -> None:
    """Brings ``%holdfast`` to the running IPython, if there is one."""
    shell = find_shell()
    if shell is None:
        return

    def holdfast(line: str) -> None:
        run_line(handle, line, shell.user_ns)

    def complete(_: Any, event: Any) -> list[str]:
        return guarded(completions)(event.line, handle.slots()) or []

    holdfast.__doc__ = f"Speaks to the Holdfast runtime.\n\n{help_text()}"
    shell.register_magic_function(holdfast, "line", MAGIC[1:])
    # Hooks of one word are called one after another: an earlier start's must go.
    shell.strdispatchers["complete_command"].strs.pop(MAGIC, None)
    shell.set_hook("complete_command", complete, str_key=MAGIC)


def completions(line: str, slots: list[str]) -> list[str]:
    """What may stand at the end of a line that begins with the magic.

    Args:
        line: The line up to the cursor.
        slots: The names of the run's slots.
    """
    words = line.split()[1:]
    begun = words.pop() if words and not line[-1:].isspace() else ""
    if not words:
        found = list(WORDS)
    else:
        word = WORDS.get(words[0])
        found = word.choices(slots) if word is not None and len(words) == 1 else []
    return [one for one in found if one.startswith(begun)]


def run_line(handle: Handle, line: str, names: Names) -> None:
    """Does what a line of the magic says.

    Args:
        handle: The runtime.
        line: What follows ``%holdfast``.
        names: The notebook's variables.
    """
    name, *rest = line.split() or ["status"]
    word = WORDS.get(name)
    if word is None:
        nearest = difflib.get_close_matches(name, WORDS, n=1, cutoff=0.5)
        print(f"{MAGIC} knows no {name!r}" + (f"; did you mean {MAGIC} {nearest[0]}?" if nearest else ""))
    elif len(rest) > bool(word.argument):
        print(
            f"{MAGIC} {name} takes " + (f"one {word.argument} at the most" if word.argument else "nothing more")
        )
    elif rest and word.argument != SLOT and rest[0] not in word.choices([]):
        print(f"{MAGIC} {name} takes {word.argument}, not {rest[0]!r}")
    else:
        word.act(handle, rest[0] if rest else "", names)
        return
    print(help_text())
