"""The settings in force: ``holdfast.yaml``, overridden by ``HOLDFAST_*``, overridden by arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from holdfast.runtime import report
from holdfast.runtime.settings_check import Given, check_all
from holdfast.runtime.settings_sources import in_environment, in_file, misspelt
from holdfast.runtime.settings_table import KEYS, TABLE, Settings

__all__ = ["FILE_NAME", "KEYS", "TABLE", "InForce", "Settings", "in_force", "load", "say_misspelt"]

FILE_NAME: Final = "holdfast.yaml"
DEFAULT: Final = "default"
"""Origin of a setting that nobody has given."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings in force and where each is from.

    Attributes:
        settings: Their values; an empty store or run is filled in by who knows the place.
        origins: Of every setting ``default``, ``path:line`` of the file, ``environment variable X``, or the
            caller's word for its arguments.
    """

    settings: Settings
    origins: Mapping[str, str]


def default_spool() -> str:
    """The local folder for spools: it outlives a kernel, and is lost with the VM."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(cache) / "holdfast")


def load(folder: Path, arguments: Mapping[str, Any]) -> Settings:
    """The settings in force, from all three sources. A variable that may be a misspelt setting is said.

    Args:
        folder: Where ``holdfast.yaml`` may lie.
        arguments: What the caller gave; None values are passed over.

    Raises:
        SettingsInvalid: A source holds what is not allowed; everything that is wrong is named at once.
    """
    say_misspelt(os.environ)
    return in_force(folder, arguments, os.environ).settings


def say_misspelt(environment: Mapping[str, str]) -> None:
    """Says which variables may be misspelt settings; that is no error, since they may be somebody else's."""
    for name, meant in misspelt(environment).items():
        text = f"the environment variable {name} is not known and changes nothing. Did you mean {meant}?"
        report.say_once(f"variable {name}", text)


def in_force(
    folder: Path,
    arguments: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    caller: str = "argument of start()",
) -> InForce:
    """As `load`, with where each setting is from.

    Args:
        folder: Where ``holdfast.yaml`` may lie.
        arguments: What the caller gave; None values are passed over.
        environment: The environment variables.
        caller: What the arguments' origin is called.

    Raises:
        SettingsInvalid: A source holds what is not allowed; everything that is wrong is named at once.
    """
    given = [Given(key, value, caller) for key, value in arguments.items() if value is not None]
    checked = check_all(TABLE, [in_file(folder / FILE_NAME), in_environment(environment), given])
    settings = replace(Settings(), **{key: value for key, (value, _) in checked.items()})
    origins = {key: checked[key][1] if key in checked else DEFAULT for key in KEYS}
    return InForce(replace(settings, spool=settings.spool or default_spool()), origins)
