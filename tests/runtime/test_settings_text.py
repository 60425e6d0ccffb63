"""The table of settings and what is made from it: the example file, the page, the other variables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.runtime.settings import FILE_NAME, KEYS, TABLE, in_force, load
from holdfast.runtime.settings_sources import OTHER_VARIABLES, misspelt, variable_of
from holdfast.runtime.settings_text import example_file, page

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", KEYS)
def test_a_setting_is_described_and_its_default_and_example_are_allowed(tmp_path: Path, key: str) -> None:
    setting = TABLE[key]
    assert setting.meaning.endswith(".")
    assert setting.kind.check(setting.default) == setting.default
    assert setting.default != "" or setting.empty
    (tmp_path / FILE_NAME).write_text(f"{key}: {setting.example}\n", encoding="utf-8")
    assert getattr(in_force(tmp_path, {}, {}).settings, key) != setting.default
    environment = {variable_of(key): setting.example}
    assert in_force(tmp_path, {}, environment) != in_force(tmp_path, {}, {})


def test_the_example_file_changes_nothing(tmp_path: Path) -> None:
    unset = in_force(tmp_path, {}, {})
    (tmp_path / FILE_NAME).write_text(example_file(), encoding="utf-8")
    assert in_force(tmp_path, {}, {}) == unset


def test_the_example_file_uncommented_gives_every_default(tmp_path: Path) -> None:
    unset = in_force(tmp_path, {}, {})
    text = re.sub(r"^#(?=[a-z])", "", example_file(), flags=re.MULTILINE)
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    found = in_force(tmp_path, {}, {})
    assert found.settings == unset.settings
    assert all(origin.startswith(f"{tmp_path / FILE_NAME}:") for origin in found.origins.values())


def test_the_example_file_tells_of_each_setting_what_is_allowed() -> None:
    flat = re.sub(r"\n# ", " ", example_file())
    for setting in TABLE.values():
        assert setting.meaning in flat
        assert setting.kind.allowed in flat


def test_the_page_of_settings_is_the_codes() -> None:
    text = (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert text == page(), "write it anew: holdfast config --markdown > docs/settings.md"


def test_every_variable_that_the_program_reads_is_known() -> None:
    files = [*PROJECT.glob("runtime/**/*.py"), *PROJECT.glob("hooks/**/*.py"), PROJECT / "colab_bootstrap.py"]
    assert len(files) > 50
    table = PROJECT / "runtime" / "settings_sources.py"
    read = {
        name
        for file in files
        if file != table
        for name in re.findall(r"\bHOLDFAST_[A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8"))
    }
    assert set(OTHER_VARIABLES) <= read
    assert read <= set(OTHER_VARIABLES) | set(map(variable_of, KEYS)), "add it to OTHER_VARIABLES"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HOLDFAST_KEEP_LST", "HOLDFAST_KEEP_LAST"),
        ("HOLDFAST_SNAPSHOTS_SECOND", "HOLDFAST_SNAPSHOT_SECONDS"),
        ("holdfast_store", "HOLDFAST_STORE"),
        ("HOLDFAST_DRIVE_MONT", "HOLDFAST_DRIVE_MOUNT"),
    ],
)
def test_a_misspelt_variable_is_said_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "nonsense")
    load(tmp_path, {})
    load(tmp_path, {})
    (line,) = said
    assert name in line
    assert f"Did you mean {meant}?" in line


def test_variables_of_the_program_and_of_others_are_let_be() -> None:
    names = [
        *map(variable_of, KEYS),
        *OTHER_VARIABLES,
        "HOLDFAST_TEST_MARK",
        "HOLDFAST_",
        "KEEP_LST",
        "HOLDFAST_HOME",
    ]
    assert misspelt(dict.fromkeys(names, "x")) == {}
