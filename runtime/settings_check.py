"""Checks what is given for settings: every error at once, each with its place and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.settings_kinds import Kind, NoValue, Value

ERRORS_SAID: Final = 20
"""Errors told of at once; a file with more is no settings file."""


@dataclass(frozen=True, slots=True)
class Setting:
    """All that is known of a setting.

    Attributes:
        name: Its key in the file.
        kind: What it takes.
        default: Its value where nothing is given.
        meaning: What it does, in whole sentences.
        example: A value as the file has it.
        empty: What an empty text means; empty where the default says it all.
    """

    name: str
    kind: Kind
    default: Value
    meaning: str
    example: str
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """A value that some source has for a key; neither is checked.

    Attributes:
        where: ``path:line``, ``environment variable X`` or what else names the place.
    """

    key: str
    value: Any
    where: str


def check_all(table: Mapping[str, Setting], sources: Iterable[Iterable[Given]]) -> dict[str, tuple[Any, str]]:
    """Lays sources over each other, the later over the earlier.

    Returns:
        Of each setting that is given its value, in the setting's type, and where it is from.

    Raises:
        SettingsInvalid: Something is unknown, not allowed, or given twice in one source.
    """
    checked: dict[str, tuple[Any, str]] = {}
    errors: list[SettingsInvalid] = []
    for source in sources:
        places: dict[str, str] = {}
        for given in source:
            try:
                if given.key in places:
                    hint = f"The first is at {places[given.key]}; delete one of the two"
                    raise SettingsInvalid(f"{given.key[:80]} is given twice", where=given.where, hint=hint)
                places[given.key] = given.where
                checked[given.key] = (_check(table, given), given.where)
            except SettingsInvalid as error:
                errors.append(error)
    if errors:
        raise _together(errors)
    return checked


def _check(table: Mapping[str, Setting], given: Given) -> Value:
    setting = table.get(given.key)
    if setting is None:
        meant = nearest(given.key, table)
        hint = f"Did you mean {meant}? " if meant else ""
        hint += f"Allowed: {', '.join(table)}"
        raise SettingsInvalid(f"Unknown setting {given.key[:80]!r}", where=given.where, hint=hint)
    try:
        return setting.kind.check(given.value)
    except SettingsInvalid as error:
        raise SettingsInvalid(f"{given.key}: {error.what}", where=given.where, hint=error.hint) from None
    except ValueError:
        shown = given.value.text if isinstance(given.value, NoValue) else repr(str(given.value)[:80])
        hint = f"{given.key} takes {setting.kind.allowed}"
        raise SettingsInvalid(f"{given.key} is {shown}", where=given.where, hint=hint) from None


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is spelt most like this one, if one is.

    Args:
        name: What was written.
        known: Names in small letters.
        cutoff: From 0 (anything) to 1 (the same).
    """
    spelt = name[:80].strip().lower().replace("-", "_").replace(" ", "_")
    found = difflib.get_close_matches(spelt, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def _together(errors: list[SettingsInvalid]) -> SettingsInvalid:
    if len(errors) == 1:
        return errors[0]
    lines = [f"{len(errors)} settings are wrong:", *(f"  {error}" for error in errors[:ERRORS_SAID])]
    if len(errors) > ERRORS_SAID:
        lines.append(f"  and {len(errors) - ERRORS_SAID} more")
    return SettingsInvalid("\n".join(lines))
