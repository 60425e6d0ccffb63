"""``holdfast config``: the settings in force in this folder, and where each is from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.runtime.cli_common import JsonOption, StoreOption, emit, line, table
from holdfast.runtime.settings import FILE_NAME, TABLE, InForce, in_force, say_misspelt
from holdfast.runtime.settings_text import page
from holdfast.runtime.stores.credentials import default_store


def config(
    store: StoreOption = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Name of the run, as for holdfast run.")
    ] = None,
    as_json: JsonOption = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The page docs/settings.md instead.", hidden=True)
    ] = False,
) -> None:
    """Shows each setting in force in this folder, and where it is from.

    That is the default, a line of holdfast.yaml, an environment variable or an option of this command.
    A session that was started in another folder, or with arguments of its own, has its own.
    """
    if markdown:
        sys.stdout.write(page())
        return
    folder = Path.cwd()
    say_misspelt(os.environ)
    found = in_force(folder, {"store": store, "run": run}, os.environ, caller="option of this command")
    file = folder / FILE_NAME
    settings = {key: _described(found, key, folder) for key in TABLE}
    if as_json:
        emit({"folder": str(folder), "file": str(file) if file.exists() else None, "settings": settings})
        return
    there = str(file) if file.exists() else f"{file}: not there; write one with holdfast init"
    line(f"settings file: {there}")
    table(["setting", "value", "unit", "from"], [_row(key, one) for key, one in settings.items()])


def _described(found: InForce, key: str, folder: Path) -> dict[str, Any]:
    """A setting as JSON; a value that only start() can know is None."""
    value = getattr(found.settings, key)
    if value == "":
        value = default_store() if key == "store" else None
    return {
        "value": value,
        "unit": TABLE[key].kind.unit or None,
        "origin": found.origins[key].removeprefix(f"{folder}{os.sep}"),
    }


def _row(key: str, one: dict[str, Any]) -> list[str]:
    setting = TABLE[key]
    if one["value"] is None:
        return [key, setting.empty, "", one["origin"]]
    shown = setting.kind.show(one["value"])
    has_unit = shown.endswith("B") and setting.kind.unit == "bytes"
    return [key, shown, "" if has_unit else one["unit"] or "", one["origin"]]
