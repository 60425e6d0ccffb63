"""The command: it runs scripts as Python would, and a daemon where it is told to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.processes import environment
from helpers.snapshots import contents, ensure_claimed, snapshot, stem
from holdfast.runtime.files import replace_atomically
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.spool import Spool
from holdfast.runtime.stores import FolderStore


def holdfast(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder, with its spool in there too."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast.runtime.cli", *arguments],
        cwd=folder,
        env=environment({"HOLDFAST_SPOOL": str(folder / "local")}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script beside a module of its own."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "beside.py").write_text("WORD = 'beside'\n", encoding="utf-8")
    path = tmp_path / "scripts" / "train.py"
    path.write_text(
        "import sys, beside\n"
        "print(__name__, sys.argv[1:], beside.WORD)\n"
        "if '--fail' in sys.argv: raise ValueError('of the script')\n"
        "if '--exit' in sys.argv: sys.exit(7)\n",
        encoding="utf-8",
    )
    return path


def test_a_script_runs_as_main_with_its_own_arguments(tmp_path: Path, script: Path) -> None:
    done = holdfast(tmp_path, "run", str(script), "one", "--store", "its-own", "--help")
    assert (done.returncode, done.stdout) == (0, "__main__ ['one', '--store', 'its-own', '--help'] beside\n")
    assert "run 'train'" in done.stderr
    assert (tmp_path / "holdfast" / "train" / "claims").is_dir()
    assert not (tmp_path / "its-own").exists()


def test_store_and_run_are_named_before_the_script(tmp_path: Path, script: Path) -> None:
    done = holdfast(tmp_path, "run", "--store", "here", "--run", "mnist", str(script))
    assert done.returncode == 0
    assert (tmp_path / "here" / "mnist" / "claims").is_dir()


@pytest.mark.parametrize(("flag", "status"), [("--exit", 7), ("--fail", 1)])
def test_the_scripts_exit_status_is_the_commands(tmp_path: Path, script: Path, flag: str, status: int) -> None:
    done = holdfast(tmp_path, "run", str(script), flag)
    assert done.returncode == status
    assert ("ValueError: of the script" in done.stderr) == (flag == "--fail")


def test_a_store_that_cannot_be_used_is_one_line_and_status_1(tmp_path: Path, script: Path) -> None:
    done = holdfast(tmp_path, "run", "--store", "s3://bucket", str(script))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("holdfast: Stores of the kind 's3' are not known")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("run", "none.py"), ("daemon", "none"), ("nonsense",)])
def test_a_wrong_command_line_is_status_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = holdfast(tmp_path, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "--help")
    assert done.returncode == 0
    assert "run" in done.stdout
    assert "daemon" in done.stdout


def test_a_daemon_serves_the_spool_it_is_given(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.make_folders()
    spool.write("run", stem(1), snapshot(contents(1)))
    session = {"session": "aaaaaaaa", "incarnation": 1, "pid": 1, "started": 1.0, "ended": True, "run": "run"}
    rest = {"store": (tmp_path / "store").as_uri(), "persist_seconds": 9.0, "rejected": []}
    rest["keep"] = {"last": 3, "hourly": 0, "daily": 0, "max_bytes": 0}
    ensure_claimed(FolderStore(tmp_path / "store" / "run"))
    replace_atomically(spool.folder / "session.json", to_json(session | rest))
    assert holdfast(tmp_path, "daemon", str(spool.folder)).returncode == 0
    assert (tmp_path / "store" / "run" / stem(1).manifest_path).exists()
