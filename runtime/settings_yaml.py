"""What the text of ``holdfast.yaml`` gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.settings_check import Given
from holdfast.runtime.settings_kinds import NoValue

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


def in_yaml(text: str, path: Path) -> list[Given]:
    """What the text of a settings file gives.

    Args:
        text: The text.
        path: The file, for messages.

    Raises:
        SettingsInvalid: It is not YAML, or not 'key: value' lines.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except _YAML_ERRORS as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SettingsInvalid(f"Not YAML: {getattr(error, 'problem', None) or error}", where=where) from None
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise SettingsInvalid("The settings are not 'key: value' lines", where=f"{path}:1")
    return [Given(_key(key), _value(value), f"{path}:{key.start_mark.line + 1}") for key, value in root.value]


def _key(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else _form(node)


def _value(node: yaml.Node) -> Any:
    # Only scalars are built: no setting takes more, and nested aliases can mean any amount of memory.
    if not isinstance(node, yaml.ScalarNode):
        return NoValue(_form(node))
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except _YAML_ERRORS:
        return NoValue(repr(node.value[:80]))
    return NoValue("empty") if value is None else value


def _form(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
