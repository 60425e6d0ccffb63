"""The settings for people: the annotated example file, and the page docs/settings.md."""

from __future__ import annotations

import textwrap
from typing import Final

from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.settings_check import Given, Setting, check_all
from holdfast.runtime.settings_sources import OTHER_VARIABLES, variable_of
from holdfast.runtime.settings_table import TABLE

_COLUMNS: Final = 100

_HEAD: Final = """\
# Settings of Holdfast for the notebooks and scripts that are started in this folder.
#
# Every setting is commented out and shows its default. Take the # off a line and change it: a session
# that runs takes the change as the file is saved; store, run and spool hold until the next start().
# Environment variables (HOLDFAST_KEEP_LAST=5) override this file; arguments of start() override both.
# What is in force here, and where it is from: holdfast config
"""

_PAGE: Final = """\
# Settings

<!-- From the code, by: holdfast config --markdown > docs/settings.md -->

Nothing has to be set. What is, is given in one of three places, the later over the earlier:

1. `holdfast.yaml` in the working folder. `holdfast init` writes one in which every setting is explained
   and commented out.
2. Environment variables: `{variable}=5` and so on; sizes as texts too: `{size}="10 GB"`. A variable
   that is spelt much like one of these, and is none, is said.
3. Arguments of `start()`: `colab_bootstrap.start("drive:holdfast", keep_last=5)`.

`holdfast config` shows each value in force in a folder and where it is from; `--json` for programs.

| setting | takes | default | |
|---|---|---|---|
{rows}

Sizes are bytes, or texts: `500 MB` is 500,000,000 bytes, `500 MiB` is 524,288,000. YAML's yes and no, and
Python's True and False, are the words `on` and `off`. An empty store, run or spool is as good as none.

## While a session runs
A session takes a change as the file is saved, in place or by an editor's rename, and says what changed.
Where the file goes away, what it gave goes with it. Store, run and spool stay what they were when the
session started. While something is wrong nothing changes: every error is said, and the last good
settings stay in force. What another machine changes in a mounted folder is not noticed.

## Errors
Each names file, line, key and what is allowed, all of them at once; for an unknown key also the nearest
known one; for a key that is given twice both lines. `start()` raises them as `SettingsInvalid`, commands
end with exit status 2.

```
{error}
```

## Other variables
These are no settings, and stand in no file.

| variable | |
|---|---|
{variables}
"""


def example_file() -> str:
    """A settings file that changes nothing: every setting commented out, with its default and what it does."""
    return "\n".join([_HEAD, *map(_entry, TABLE.values())])


def _entry(setting: Setting) -> str:
    default = _default(setting)
    notes = [
        setting.meaning,
        f"Takes {setting.kind.allowed}.",
        f"Default: {default}. Example: {setting.example}",
    ]
    lines = [line for note in notes for line in textwrap.wrap(note, _COLUMNS, break_on_hyphens=False)]
    shown = setting.kind.show(setting.default)
    return "".join(f"# {line}\n" for line in lines) + f"#{setting.name}: {shown}\n"


def _default(setting: Setting) -> str:
    return setting.empty or setting.kind.show(setting.default)


def page() -> str:
    """docs/settings.md."""
    return _PAGE.format(
        variable=variable_of("keep_last"),
        size=variable_of("max_bytes"),
        rows="\n".join(map(_row, TABLE.values())),
        error=_error(),
        variables="\n".join(f"| `{name}` | {meaning} |" for name, meaning in OTHER_VARIABLES.items()),
    )


def _error() -> str:
    """What is said of a file with two errors."""
    file = "/content/holdfast.yaml"
    wrong = [Given("keep_lst", 5, f"{file}:1"), Given("snapshot_seconds", "soon", f"{file}:3")]
    try:
        check_all(TABLE, [wrong])
    except SettingsInvalid as error:
        return f"holdfast: {error}"
    raise AssertionError("unreachable")


def _row(setting: Setting) -> str:
    default = setting.empty or f"`{_default(setting)}`"
    return (
        f"| `{setting.name}` | {setting.kind.allowed} | {default} | "
        f"{setting.meaning} For example `{setting.example}` |"
    )
