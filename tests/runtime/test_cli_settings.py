"""``holdfast init`` and ``holdfast config``, as people type them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.processes import environment
from holdfast.runtime.exit_codes import ExitCode
from holdfast.runtime.settings import FILE_NAME, KEYS
from holdfast.runtime.settings_text import example_file, page


def holdfast(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder, where nothing but these variables gives settings."""
    # The width of the help, which wraps; and no colours.
    given = environment({"COLUMNS": "200", "TERM": "dumb", **variables})
    for name in [name for name in given if name.startswith("HOLDFAST_") or name == "COLAB_RELEASE_TAG"]:
        if name not in variables:
            del given[name]
    command = [sys.executable, "-m", "holdfast.runtime.cli", *words]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)


def test_init_writes_the_example_and_says_what_to_do_next(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "init")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(tmp_path / FILE_NAME) in done.stdout
    assert "holdfast config" in done.stdout
    assert (tmp_path / FILE_NAME).read_text(encoding="utf-8") == example_file()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_init_makes_a_file_that_the_umask_allows_others_to_read(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        holdfast(tmp_path, "init")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o644


def test_init_never_touches_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("keep_last: 9\n", encoding="utf-8")
    done = holdfast(tmp_path, "init")
    assert (done.returncode, done.stdout) == (ExitCode.NOT_EXPORTED, "")
    assert str(path) in done.stderr
    assert "--force" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text(encoding="utf-8") == "keep_last: 9\n"
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_init_takes_a_link_to_nowhere_for_a_file(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "nowhere")
    assert holdfast(tmp_path, "init").returncode == ExitCode.NOT_EXPORTED
    assert (tmp_path / FILE_NAME).is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_init_replaces_it_where_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("keep_last: 9\n", encoding="utf-8")
    assert holdfast(tmp_path, "init", "--force").returncode == 0
    assert (tmp_path / FILE_NAME).read_text(encoding="utf-8") == example_file()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_init_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    done = holdfast(tmp_path, "init", "--force")
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr.startswith("holdfast: The settings file cannot be written")
    assert len(done.stderr.splitlines()) == 1


def test_config_says_of_every_setting_what_is_in_force_and_where_it_is_from(tmp_path: Path) -> None:
    text = "# mine\nkeep_last: 5\nmax_bytes: 10 GB\npersist_seconds: 60\npanel: off\n"
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    variables = {"HOLDFAST_PERSIST_SECONDS": "30", "XDG_CACHE_HOME": "/cache"}
    done = holdfast(tmp_path, "config", "--run", "mine", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    first, head, *rows = [" ".join(row.split()) for row in done.stdout.splitlines()]
    assert first == f"settings file: {tmp_path / FILE_NAME}"
    assert head == "setting value unit from"
    assert [row.split()[0] for row in rows] == list(KEYS)
    for row in (
        "store ./holdfast default",
        "run mine option of this command",
        "spool /cache/holdfast default",
        "snapshot_seconds 15 seconds default",
        "persist_seconds 30 seconds environment variable HOLDFAST_PERSIST_SECONDS",
        "keep_last 5 checkpoints holdfast.yaml:2",
        "max_bytes 10 GB holdfast.yaml:3",
        "panel off holdfast.yaml:5",
    ):
        assert row in rows


def test_config_without_a_file_says_so(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "config", COLAB_RELEASE_TAG="release")
    assert done.returncode == 0
    assert "not there; write one with holdfast init" in done.stdout
    assert "store drive:holdfast default" in " ".join(done.stdout.split())
    assert list(tmp_path.iterdir()) == []


def test_config_as_json_has_values_in_their_types(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("max_bytes: 10 GB\n", encoding="utf-8")
    done = holdfast(tmp_path, "config", "--json", HOLDFAST_STORE="gs://bucket/prefix")
    document = json.loads(done.stdout)
    assert (document["folder"], document["file"]) == (str(tmp_path), str(tmp_path / FILE_NAME))
    settings = document["settings"]
    assert list(settings) == list(KEYS)
    assert settings["max_bytes"] == {"value": 10**10, "unit": "bytes", "origin": "holdfast.yaml:1"}
    assert settings["run"] == {"value": None, "unit": None, "origin": "default"}
    assert settings["store"]["value"] == "gs://bucket/prefix"
    assert settings["store"]["origin"] == "environment variable HOLDFAST_STORE"


@pytest.mark.parametrize("words", [("config",), ("config", "--json"), ("runs",)])
def test_wrong_settings_are_status_2_and_all_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / FILE_NAME).write_text("keep_lst: 5\nkeep_daily: 1\nkeep_daily: 1\n", encoding="utf-8")
    done = holdfast(tmp_path, *words, HOLDFAST_MAX_BYTES="lots")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    for part in (f"{FILE_NAME}:1", "Did you mean keep_last?", f"{FILE_NAME}:3", "HOLDFAST_MAX_BYTES"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_a_variable_that_may_be_misspelt_is_said_beside_the_result(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "config", "--json", HOLDFAST_KEEP_LST="5", HOLDFAST_CRASH_AT="nowhere")
    assert done.returncode == 0
    assert json.loads(done.stdout)["settings"]["keep_last"]["origin"] == "default"
    (line,) = done.stderr.splitlines()
    assert "HOLDFAST_KEEP_LST is not known" in line


def test_config_writes_the_page_of_settings(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "config", "--markdown")
    assert (done.returncode, done.stdout) == (0, page())


@pytest.mark.parametrize(("command", "words"), [("init", ["--force"]), ("config", ["--json", "--run"])])
def test_help_tells_what_a_command_does(tmp_path: Path, command: str, words: list[str]) -> None:
    done = holdfast(tmp_path, command, "--help")
    assert done.returncode == 0
    for word in ("holdfast.yaml", *words):
        assert word in done.stdout
    assert command in holdfast(tmp_path, "--help").stdout
