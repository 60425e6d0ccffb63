"""Settings: ``holdfast.yaml``, overridden by ``HOLDFAST_*``, overridden by arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import yaml

from holdfast.runtime.errors import SettingsInvalid

FILE_NAME: Final = "holdfast.yaml"
PREFIX: Final = "HOLDFAST_"


_YAML_ERRORS: Final = (
    yaml.YAMLError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What PyYAML raises at what it cannot read: its own errors, and those of the types it builds."""


def default_spool() -> str:
    """The local folder for spools: it outlives a kernel, and is lost with the VM."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(cache) / "holdfast")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its default.

    Attributes:
        store: URL of the store; empty for the default place.
        run: Name of the run; empty for the notebook's or the script's name.
        spool: Local folder for spools.
        snapshot_seconds: Seconds between two snapshots to the spool. 15 s is the work that a
            killed kernel may lose; a snapshot's cost is spread over it.
        persist_seconds: Seconds between two checkpoints to the store. 2 min is the work that a
            lost VM may lose; shorter would keep a slow network busy.
        keep_last: Checkpoints kept of each model beside the milestones.
        keep_hourly: Of each model's last so many hours, the newest checkpoint is kept beside those.
        keep_daily: Of its last so many days likewise.
        max_bytes: Bytes that a run may take in the store, 0 for no bound; also as a text such as
            ``"10 GB"``. A 15 GB Drive wants one; what must go first is in docs/stores.md.
        iterator_max_bytes: Largest state of a `tf.data` iterator that is saved. 64 MiB takes
            about 0.1 s on the training thread; above it the position is found by fast-forward.
    """

    store: str = ""
    run: str = ""
    spool: str = ""
    snapshot_seconds: float = 15.0
    persist_seconds: float = 120.0
    keep_last: int = 3
    keep_hourly: int = 6
    keep_daily: int = 7
    max_bytes: int = 0
    iterator_max_bytes: int = 64 * 1024 * 1024

    def with_changes(self, changes: Mapping[str, Any], *, where: str) -> Settings:
        """These settings with some changed.

        Raises:
            SettingsInvalid: A key is unknown, or a value not allowed.
        """
        checked: dict[str, Any] = {key: check_value(key, value, where) for key, value in changes.items()}
        return replace(self, **checked)


KEYS: Final = tuple(one.name for one in fields(Settings))
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "snapshot_seconds": (0.05, 86_400),
    "persist_seconds": (0.05, 86_400),
    "keep_last": (1, 10_000),
    "keep_hourly": (0, 10_000),
    "keep_daily": (0, 10_000),
    "max_bytes": (0, 1 << 60),
    "iterator_max_bytes": (0, 1 << 40),
}


_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMGT]?i?B)", re.ASCII)
_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS: Final = {"": 1, "k": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _in_bytes(value: Any) -> Any:
    """The bytes that a text such as ``10 GB`` or ``512 MiB`` means; anything else as it is."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    unit = match[2].removesuffix("B")
    scale = _BINARY_UNITS[unit.removesuffix("i")] if unit.endswith("i") else _UNITS[unit]
    return round(float(match[1]) * scale)


def check_value(key: str, value: Any, where: str) -> str | float | int:
    """Makes sure of one setting.

    Returns:
        The value in the setting's type.

    Raises:
        SettingsInvalid: The key is unknown, or the value not allowed.
    """
    if key not in KEYS:
        raise SettingsInvalid(f"Unknown setting {key!r}", where=where, hint=f"Allowed: {', '.join(KEYS)}")
    if key not in _RANGES:
        if not isinstance(value, str):
            raise SettingsInvalid(f"{key} is {value!r}", where=where, hint=f"{key} takes a text")
        return value
    low, high = _RANGES[key]
    if key.endswith("_bytes"):
        value = _in_bytes(value)
    whole = isinstance(getattr(Settings(), key), int)
    kind = "a whole number" if whole else "a number"
    also = ", or a text such as '10 GB'" if key.endswith("_bytes") else ""
    hint = f"{key} takes {kind} from {low:g} to {high:g}{also}"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high or (whole and value != int(value)):
        raise SettingsInvalid(f"{key} is {str(value)[:80]!r}", where=where, hint=hint)
    return int(value) if whole else float(value)


def from_file(settings: Settings, path: Path) -> Settings:
    """Settings with those of a YAML file laid over them; a missing file changes nothing.

    Raises:
        SettingsInvalid: The file is not readable YAML, or holds what is not allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return settings
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"The settings cannot be read: {error}", where=str(path)) from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except _YAML_ERRORS as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SettingsInvalid(f"Not YAML: {getattr(error, 'problem', None) or error}", where=where) from None
    if root is None:
        return settings
    if not isinstance(root, yaml.MappingNode):
        raise SettingsInvalid("The settings are not 'key: value' lines", where=f"{path}:1")
    for key_node, value_node in root.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        loader = yaml.SafeLoader("")
        try:
            key, value = (
                loader.construct_object(key_node, deep=True),
                loader.construct_object(value_node, deep=True),
            )
        except _YAML_ERRORS as error:
            raise SettingsInvalid(f"Not YAML: {error}", where=where) from None
        settings = settings.with_changes({str(key): value}, where=where)
    return settings


def from_environment(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Settings with the ``HOLDFAST_*`` variables laid over them; other variables are let be.

    Raises:
        SettingsInvalid: A variable holds what is not allowed.
    """
    for key in KEYS:
        variable = PREFIX + key.upper()
        text = environment.get(variable)
        if text is None:
            continue
        value: Any = text
        if key in _RANGES:
            try:
                value = float(text)
            except ValueError:
                value = text
        settings = settings.with_changes({key: value}, where=f"environment variable {variable}")
    return settings


def load(folder: Path, arguments: Mapping[str, Any]) -> Settings:
    """The settings in force, from all three sources.

    Args:
        folder: Where ``holdfast.yaml`` may lie.
        arguments: What the caller gave; None values are passed over.

    Raises:
        SettingsInvalid: One of the sources holds what is not allowed.
    """
    settings = from_environment(from_file(Settings(), folder / FILE_NAME), os.environ)
    given = {key: value for key, value in arguments.items() if value is not None}
    settings = settings.with_changes(given, where="argument of start()")
    return replace(settings, spool=settings.spool or default_spool())
