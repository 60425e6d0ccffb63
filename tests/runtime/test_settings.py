"""Settings: three sources, and errors that name file, line, key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.settings import FILE_NAME, KEYS, Settings, from_environment, from_file, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.mark.parametrize(
    ("line", "key", "allowed"),
    [
        ("snapshot_secnds: 5", "snapshot_secnds", ", ".join(KEYS)),
        ("snapshot_seconds: soon", "snapshot_seconds", "a number from 0.05 to 86400"),
        ("snapshot_seconds: 0", "snapshot_seconds", "a number from 0.05 to 86400"),
        ("snapshot_seconds: .nan", "snapshot_seconds", "a number from 0.05 to 86400"),
        ("snapshot_seconds: yes", "snapshot_seconds", "a number from 0.05 to 86400"),
        ("persist_seconds: [1]", "persist_seconds", "a number from"),
        ("persist_seconds: .inf", "persist_seconds", "a number from"),
        ("keep_last: 0", "keep_last", "a whole number from 1 to 10000"),
        ("keep_last: 2.5", "keep_last", "a whole number from 1 to 10000"),
        ("iterator_max_bytes: -1", "iterator_max_bytes", "a whole number from 0"),
        ("store: 3", "store", "a text"),
        ("run:", "run", "a text"),
    ],
)
def test_an_error_names_file_line_key_and_what_is_allowed(
    file: Path, line: str, key: str, allowed: str
) -> None:
    file.write_text(f"# comment\nspool: /tmp/x\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid) as caught:
        from_file(Settings(), file)
    text = str(caught.value)
    assert f"{file}:3" in text
    assert key in text
    assert allowed in text


@pytest.mark.parametrize("text", ["store: [", "\t- x", "a: b: c", "- 1", "just words"])
def test_what_is_not_settings_yaml_is_refused_with_its_file(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsInvalid, match=str(file)):
        from_file(Settings(), file)


def test_yaml_runs_nothing(file: Path, tmp_path: Path) -> None:
    file.write_text(f"store: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid):
        from_file(Settings(), file)
    assert not (tmp_path / "ran").exists()


def test_bytes_that_are_not_utf8_are_refused(file: Path) -> None:
    file.write_bytes(b"store: \xff\xfe\n")
    with pytest.raises(SettingsInvalid, match=str(file)):
        from_file(Settings(), file)


values = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        [
            "2001-13-45",
            "0b_",
            "0x_",
            "!!int x",
            "!!float x",
            "!!timestamp x",
            "!!bool maybe",
            "!!binary é",
            "1:99",
            "9" * 400,
            "9" * 5000,
            "&a [*a]",
            "*nobody",
            "{? [1]: 2}",
            "!!set {a}",
            "!!omap [a]",
            "<<: 3",
        ]
    ),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from([*KEYS, "other", "<<", "2001-13-45", "!!int x"]), value=values)
@example(key="persist_seconds", value="2001-13-45")
@example(key="keep_last", value="9" * 400)
@example(key="keep_last", value="!!timestamp x")
def test_any_line_gives_settings_or_a_settings_error(file: Path, key: str, value: str) -> None:
    file.write_bytes(f"{key}: {value}\n".encode())
    try:
        settings = from_file(Settings(), file)
    except SettingsInvalid as error:
        assert FILE_NAME in str(error)
        return
    assert 0.05 <= settings.persist_seconds <= 86_400
    assert isinstance(settings.keep_last, int)


def test_a_missing_or_empty_file_changes_nothing(file: Path) -> None:
    assert from_file(Settings(), file) == Settings()
    file.write_text("# nothing yet\n", encoding="utf-8")
    assert from_file(Settings(), file) == Settings()


def test_numbers_come_in_their_type(file: Path) -> None:
    file.write_text("snapshot_seconds: 5\nkeep_last: 4.0\n", encoding="utf-8")
    settings = from_file(Settings(), file)
    assert repr((settings.snapshot_seconds, settings.keep_last)) == "(5.0, 4)"


def test_arguments_override_the_environment_which_overrides_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("keep_last: 4\nrun: of-file\nsnapshot_seconds: 7\n", encoding="utf-8")
    monkeypatch.setenv("HOLDFAST_KEEP_LAST", "5")
    monkeypatch.setenv("HOLDFAST_RUN", "of-environment")
    settings = load(file.parent, {"run": "of-argument", "store": None})
    assert (settings.run, settings.keep_last, settings.snapshot_seconds) == ("of-argument", 5, 7.0)
    assert settings.spool


@pytest.mark.parametrize(
    ("text", "good"), [("3", True), ("x", False), ("", False), ("nan", False), ("0", False)]
)
def test_an_environment_variable_is_checked_and_named(text: str, good: bool) -> None:
    environment = {"HOLDFAST_KEEP_LAST": text, "HOLDFAST_UNKNOWN": "x", "KEEP_LAST": "x"}
    if good:
        assert from_environment(Settings(), environment).keep_last == 3
        return
    with pytest.raises(SettingsInvalid, match="HOLDFAST_KEEP_LAST"):
        from_environment(Settings(), environment)


@pytest.mark.parametrize("arguments", [{"nonsense": 1}, {"keep_last": "3"}, {"persist_seconds": -1}])
def test_a_wrong_argument_is_named(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid, match=next(iter(arguments))):
        load(tmp_path, arguments)


@pytest.mark.parametrize(
    ("text", "count"),
    [("10 GB", 10**10), ("1.5 kB", 1500), ("512 MiB", 512 << 20), ("2TB", 2 * 10**12), ("7 B", 7), ("7", 7)],
)
def test_a_size_may_be_a_text(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "holdfast.yaml").write_text(f"max_bytes: {text}\n", encoding="utf-8")
    assert from_file(Settings(), tmp_path / "holdfast.yaml").max_bytes == count
    assert from_environment(Settings(), {"HOLDFAST_MAX_BYTES": text}).max_bytes == count


@pytest.mark.parametrize("text", ["lots", "10 GiG", "-1 GB", "GB", "1 PB"])
def test_a_size_that_is_none_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="'10 GB'"):
        Settings().with_changes({"max_bytes": text}, where="here")
