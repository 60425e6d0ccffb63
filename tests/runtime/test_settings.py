"""Settings: three sources, and errors that name file, line, key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.settings import DEFAULT, FILE_NAME, KEYS, TABLE, Settings, in_force, load
from holdfast.runtime.settings_check import ERRORS_SAID


def of_file(file: Path) -> Settings:
    """The settings where nothing but the file gives any."""
    return in_force(file.parent, {}, {}).settings


def of_environment(folder: Path, environment: dict[str, str]) -> Settings:
    """The settings where nothing but the environment gives any."""
    return in_force(folder, {}, environment).settings


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
        ("max_bytes: -1", "max_bytes", "a whole number from 0"),
        ("store: 3", "store", "a text"),
        ("run:", "run", "a text"),
        ("run: a/b", "run", "letters, digits, spaces"),
        ('spool: "a\\0b"', "spool", "can be printed"),
        ("store: {a: b}", "store", "a text"),
        ("max_bytes: [1, 2]", "max_bytes", "a text such as '10 GB'"),
        ("keep_daily: 2001-13-45", "keep_daily", "a whole number from 0 to 10000"),
        ("panel: maybe", "panel", "one of auto, on, off"),
        ("time_limit_hours: -1", "time_limit_hours", "a number from 0 to 10000 (hours)"),
        ("? [keep_last]\n: 3", "a list", ", ".join(KEYS)),
    ],
)
def test_an_error_names_file_line_key_and_what_is_allowed(
    file: Path, line: str, key: str, allowed: str
) -> None:
    file.write_text(f"# comment\niterator_max_bytes: 7\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid) as caught:
        of_file(file)
    text = str(caught.value)
    assert f"{file}:3" in text
    assert key in text
    assert allowed in text


@pytest.mark.parametrize("text", ["store: [", "\t- x", "a: b: c", "- 1", "just words"])
def test_what_is_not_settings_yaml_is_refused_with_its_file(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsInvalid, match=str(file)):
        of_file(file)


def test_yaml_runs_nothing(file: Path, tmp_path: Path) -> None:
    file.write_text(f"store: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid):
        of_file(file)
    assert not (tmp_path / "ran").exists()


def test_bytes_that_are_not_utf8_are_refused(file: Path) -> None:
    file.write_bytes(b"store: \xff\xfe\n")
    with pytest.raises(SettingsInvalid, match=str(file)):
        of_file(file)


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
        settings = of_file(file)
    except SettingsInvalid as error:
        assert FILE_NAME in str(error)
        return
    assert 0.05 <= settings.persist_seconds <= 86_400
    assert isinstance(settings.keep_last, int)


def test_a_missing_or_empty_file_changes_nothing(file: Path) -> None:
    unset = in_force(file.parent, {}, {})
    assert set(unset.origins.values()) == {DEFAULT}
    file.write_text("# nothing yet\n", encoding="utf-8")
    assert in_force(file.parent, {}, {}) == unset


def test_numbers_come_in_their_type(file: Path) -> None:
    file.write_text("snapshot_seconds: 5\nkeep_last: 4.0\n", encoding="utf-8")
    settings = of_file(file)
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


def test_every_setting_has_an_origin(file: Path) -> None:
    file.write_text("# one\nkeep_last: 4\n\nkeep_daily: 1\n", encoding="utf-8")
    environment = {"HOLDFAST_KEEP_DAILY": "2", "HOLDFAST_RUN": "of-environment"}
    origins = in_force(file.parent, {"run": "mine", "store": None}, environment, caller="--run").origins
    assert list(origins) == list(KEYS)
    assert {key: origin for key, origin in origins.items() if origin != DEFAULT} == {
        "keep_last": f"{file}:2",
        "keep_daily": "environment variable HOLDFAST_KEEP_DAILY",
        "run": "--run",
    }


@pytest.mark.parametrize(
    ("text", "good"), [("3", True), ("x", False), ("", False), ("nan", False), ("0", False)]
)
def test_an_environment_variable_is_checked_and_named(tmp_path: Path, text: str, good: bool) -> None:
    environment = {"HOLDFAST_KEEP_LAST": text, "HOLDFAST_UNKNOWN": "x", "KEEP_LAST": "x"}
    if good:
        assert of_environment(tmp_path, environment).keep_last == 3
        return
    with pytest.raises(SettingsInvalid, match="HOLDFAST_KEEP_LAST"):
        of_environment(tmp_path, environment)


def test_a_number_may_be_numpys(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    settings = load(tmp_path, {"keep_last": numpy.int64(5), "snapshot_seconds": numpy.float32(0.5)})
    assert repr((settings.keep_last, settings.snapshot_seconds)) == "(5, 0.5)"


@pytest.mark.parametrize(("text", "word"), [("on", "on"), ("off", "off"), ("auto", "auto"), ('"ON"', "on")])
def test_words_are_words_though_yaml_takes_some_for_truth_values(file: Path, text: str, word: str) -> None:
    file.write_text(f"panel: {text}\n", encoding="utf-8")
    assert of_file(file).panel == word
    assert of_environment(file.parent, {"HOLDFAST_PANEL": word.upper()}).panel == word


def test_an_argument_may_be_a_truth_value_where_the_words_are_on_and_off(tmp_path: Path) -> None:
    assert [load(tmp_path, {"panel": value}).panel for value in (True, False)] == ["on", "off"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("snapshot_secnds", "snapshot_seconds"), ("keep-last", "keep_last"), ("Max_Bytes", "max_bytes")],
)
def test_an_unknown_key_gets_the_nearest_known_one(file: Path, written: str, meant: str) -> None:
    file.write_text(f"{written}: 5\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid, match=rf"Did you mean {meant}\?"):
        of_file(file)


def test_a_key_like_no_other_gets_no_guess(file: Path) -> None:
    file.write_text("quux: 5\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid) as caught:
        of_file(file)
    assert "Did you mean" not in str(caught.value)


def test_a_key_given_twice_is_an_error_with_both_lines(file: Path) -> None:
    file.write_text("keep_last: 4\n# again\nkeep_last: 4\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid, match="keep_last is given twice") as caught:
        of_file(file)
    assert f"{file}:1" in str(caught.value)
    assert f"[{file}:3]" in str(caught.value)


def test_all_that_is_wrong_is_named_at_once_whatever_its_source(file: Path) -> None:
    file.write_text("keep_lst: 3\nkeep_daily: 4\nsnapshot_seconds: soon\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid) as caught:
        in_force(file.parent, {"run": "a/b"}, {"HOLDFAST_MAX_BYTES": "lots"})
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 settings are wrong:"
    for line, place in zip(lines[1:], (f"{file}:1", f"{file}:3", "HOLDFAST_MAX_BYTES", "start()"), strict=True):
        assert place in line


def test_a_file_that_is_all_wrong_does_not_flood_the_screen(file: Path) -> None:
    file.write_text("".join(f"key{number}: 1\n" for number in range(1000)), encoding="utf-8")
    with pytest.raises(SettingsInvalid, match=f"and {1000 - ERRORS_SAID} more") as caught:
        of_file(file)
    assert len(str(caught.value).splitlines()) == ERRORS_SAID + 2


def test_nested_aliases_take_no_memory(file: Path) -> None:
    levels = ", ".join(f"&a{level + 1} [{f'*a{level}, ' * 9}]" for level in range(40))
    file.write_text(f"run: [&a0 x, {levels}]\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid, match="run is a list"):
        of_file(file)


texts = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            [*(f"{key}: " for key in KEYS), *map("{0.name}: {0.example}\n".format, TABLE.values())]
        ),
        st.sampled_from(
            ["\n", "---\n", "...\n", "? ", "- ", "{", "]", "&a ", "*a ", "!!set ", "%YAML 9.9\n", "\ufeff"]
        ),
    ),
    max_size=12,
).map("".join)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_any_text_gives_settings_that_are_allowed_or_an_error_with_its_place(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        settings = of_file(file)
    except SettingsInvalid as error:
        assert str(file) in str(error)
        return
    for key, setting in TABLE.items():
        value = getattr(settings, key)
        assert setting.kind.check(value) == value
        assert type(value) is type(setting.default)


@given(number=st.integers(0, 1 << 60))
@example(number=(1 << 53) + 1)
def test_a_size_written_and_read_is_the_same(number: int) -> None:
    kind = TABLE["max_bytes"].kind
    assert kind.check(kind.show(number)) == number
    assert kind.check(kind.of_text(str(number))) == number


@pytest.mark.parametrize("arguments", [{"nonsense": 1}, {"keep_last": "3"}, {"persist_seconds": -1}])
def test_a_wrong_argument_is_named(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid, match=next(iter(arguments))):
        load(tmp_path, arguments)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("10 GB", 10**10),
        ("1.5 kB", 1500),
        ("512 MiB", 512 << 20),
        ("2TB", 2 * 10**12),
        ("1 PB", 10**15),
        ("3 gib", 3 << 30),
        ("7 B", 7),
        ("7", 7),
    ],
)
def test_a_size_may_be_a_text(file: Path, text: str, count: int) -> None:
    for written in (text, f'"{text}"'):
        file.write_text(f"max_bytes: {written}\n", encoding="utf-8")
        assert of_file(file).max_bytes == count
    file.unlink()
    assert of_environment(file.parent, {"HOLDFAST_MAX_BYTES": text}).max_bytes == count


@pytest.mark.parametrize("text", ["lots", "10 GiG", "-1 GB", "GB", "1 ZB", "1 iB", "2 EiB", "1e3 kB"])
def test_a_size_that_is_none_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="'10 GB'"):
        Settings().with_changes({"max_bytes": text}, where="here")
