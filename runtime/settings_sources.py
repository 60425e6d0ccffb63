"""Where settings are given: ``holdfast.yaml`` and ``HOLDFAST_*``. Read here, checked elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.settings_check import Given, nearest
from holdfast.runtime.settings_table import TABLE

PREFIX: Final = "HOLDFAST_"

OTHER_VARIABLES: Final = {
    "HOLDFAST_DRIVE_MOUNT": "the folder where Google Drive is mounted; by default `/content/drive`",
    "HOLDFAST_GCS_USER_PROJECT": "the project that pays at buckets where who asks must pay",
    "HOLDFAST_DRIVE_ENDPOINT": "for tests: another server than Google's for `drive-api:`",
    "HOLDFAST_CRASH_AT": "for tests: the step of a save or restore at which the process is killed",
    "HOLDFAST_CRASH_SIGNAL": "for tests: the signal it is killed by",
}
"""Variables that the program reads elsewhere and that are no settings, and what they are for."""

_LIKE_A_SETTING: Final = 0.75
"""How much a variable must be spelt like a known one to be taken for it: what others name so is let be."""


def in_file(path: Path) -> list[Given]:
    """What a YAML file gives; a missing file gives nothing.

    Raises:
        SettingsInvalid: It cannot be read, or is not a file of 'key: value' lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"The settings cannot be read: {error}", where=str(path)) from None
    from holdfast.runtime.settings_yaml import in_yaml  # PyYAML only where there is such a file

    return in_yaml(text, path)


def in_environment(environment: Mapping[str, str]) -> list[Given]:
    """What the ``HOLDFAST_*`` variables give; other variables are let be."""
    return [
        Given(key, setting.kind.of_text(environment[variable]), f"environment variable {variable}")
        for key, setting in TABLE.items()
        if (variable := variable_of(key)) in environment
    ]


def variable_of(key: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + key.upper()


def misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are read by nobody, and the ones that may have been meant."""
    known = {variable.lower(): variable for variable in (*map(variable_of, TABLE), *OTHER_VARIABLES)}
    found = {}
    for name in environment:
        if not name.upper().startswith(PREFIX) or name in known.values():
            continue
        # Without the prefix, which would make any two of them alike.
        rest = {key.removeprefix(PREFIX.lower()): variable for key, variable in known.items()}
        if (meant := nearest(name[len(PREFIX) :], rest, cutoff=_LIKE_A_SETTING)) is not None:
            found[name] = rest[meant]
    return found
