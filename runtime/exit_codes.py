"""How the command ends: one table of exit statuses, and which error has which."""

from __future__ import annotations

import enum
from typing import Final

from holdfast.runtime.errors import (
    CheckpointDamaged,
    ClaimLost,
    HoldfastError,
    ObjectNotFound,
    SettingsInvalid,
    StoreError,
    StoreUnusable,
)


class ExitCode(enum.IntEnum):
    """Exit statuses of the commands, ``run`` and ``daemon`` excepted."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    STORE = 3
    NOT_FOUND = 4
    DAMAGE = 5
    REFUSED = 6
    NOT_EXPORTED = 7


MEANINGS: Final = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "an error that is none of the others",
    ExitCode.USAGE: "the command line or a setting is wrong",
    ExitCode.STORE: "the store cannot be used, or does not answer",
    ExitCode.NOT_FOUND: "no such run, checkpoint or slot",
    ExitCode.DAMAGE: "damage was found",
    ExitCode.REFUSED: "refused: a session may still write to the run, or nobody said yes",
    ExitCode.NOT_EXPORTED: "the target is there already, or this checkpoint cannot take that form",
}


class CommandFailed(HoldfastError):
    """A command cannot do what it was asked to, for a reason with an exit status of its own."""

    def __init__(self, code: ExitCode, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.code = code
        super().__init__(what, where=where, hint=hint)


def code_of(error: HoldfastError) -> ExitCode:
    """The exit status of a command that ends with an error."""
    match error:
        case CommandFailed():
            return error.code
        case SettingsInvalid():
            return ExitCode.USAGE
        case ObjectNotFound():
            return ExitCode.NOT_FOUND
        case StoreUnusable() | StoreError():
            return ExitCode.STORE
        case CheckpointDamaged():
            return ExitCode.DAMAGE
        case ClaimLost():
            return ExitCode.REFUSED
        case _:
            return ExitCode.FAILED


def explained() -> str:
    """The table for ``--help``."""
    return "Exit status: " + "; ".join(f"{code.value} {text}" for code, text in MEANINGS.items()) + "."
