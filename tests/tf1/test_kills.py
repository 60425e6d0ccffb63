"""TF1 programs killed and run again end with the same bits, with and without a Saver of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

PROGRAM = Path(__file__).parent / "programs" / "line.py"
END = 200


@dataclass
class Program:
    """The program with its store and spool."""

    folder: Path
    mode: str
    saver: bool = False

    def run(self, *, followed: bool = True, die_at: int = -1) -> subprocess.CompletedProcess[str]:
        self.folder.mkdir(exist_ok=True)
        words = [str(PROGRAM), self.mode, str(END), str(self.folder / "outcome.json")]
        if self.saver:
            (self.folder / "own").mkdir(exist_ok=True)
            words.append(str(self.folder / "own"))
        store = str(self.folder / "store")
        command = ["-m", "holdfast.runtime.cli", "run", "--store", store, *words] if followed else words
        environment = {
            **os.environ,
            "HOLDFAST_SPOOL": str(self.folder / "spool"),
            "HOLDFAST_SNAPSHOT_SECONDS": "0.05",
            "HOLDFAST_PERSIST_SECONDS": "0.1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "DIE_AT": str(die_at),
        }
        return subprocess.run(
            [sys.executable, *command],
            env=environment,
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
        )

    def outcome(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "outcome.json").read_text(encoding="utf-8"))
        return found

    def end_daemon(self) -> None:
        """Waits until the daemon has drained the spool, which it does once its kernel is gone."""
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "holdfast.runtime.daemon" in words and words[-1].startswith(str(self.folder)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.wait()


@pytest.mark.parametrize("lost", [False, True], ids=["kernel-killed", "machine-lost"])
@pytest.mark.parametrize("mode", ["eager", "graph", "ref"])
def test_it_ends_with_the_same_bits(tmp_path: Path, mode: str, lost: bool) -> None:
    alone = Program(tmp_path / "alone", mode)
    assert alone.run(followed=False).returncode == 0
    program = Program(tmp_path / "followed", mode)
    assert program.run(die_at=120).returncode == -signal.SIGKILL
    program.end_daemon()
    if lost:
        shutil.rmtree(program.folder / "spool")
    done = program.run()
    program.end_daemon()
    assert done.returncode == 0, done.stderr
    assert f"from the {'store' if lost else 'spool'}" in done.stderr
    assert 80 <= program.outcome()["made"] < END
    assert program.outcome()["bits"] == alone.outcome()["bits"]


def test_so_does_one_that_keeps_checkpoints_itself(tmp_path: Path) -> None:
    alone = Program(tmp_path / "alone", "graph")
    assert alone.run(followed=False).returncode == 0
    program = Program(tmp_path / "followed", "graph", saver=True)
    assert program.run(die_at=159).returncode == -signal.SIGKILL
    program.end_daemon()
    done = program.run()
    program.end_daemon()
    assert done.returncode == 0, done.stderr
    assert "than what your own Saver restored" in done.stderr or "it stands" in done.stderr
    assert program.outcome()["made"] <= END - 121
    assert program.outcome()["bits"] == alone.outcome()["bits"]


def test_one_that_was_done_is_not_trained_again(tmp_path: Path) -> None:
    program = Program(tmp_path / "followed", "graph")
    assert program.run().returncode == 0
    bits = program.outcome()["bits"]
    assert program.run().returncode == 0
    program.end_daemon()
    assert program.outcome() == {"made": 0, "bits": bits}
