"""Runs a training program under ``holdfast run`` again and again, and ends it as a kill would."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from helpers.processes import daemons_in

PROGRAM = Path(__file__).parent.parent / "programs" / "training.py"


@dataclass
class Training:
    """One training program with its store and spool, run again and again until it ends.

    Attributes:
        folder: Holds all its files.
        seconds_per_step: How long each of its steps is made to last.
        epochs: Its epochs, of twelve steps each.
        environment: Variables beside the usual ones.
        store: URL of its store; by default a folder among its files.
    """

    folder: Path
    seconds_per_step: float = 0.05
    epochs: int = 4
    environment: dict[str, str] = field(default_factory=dict)
    store: str = ""

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What the program wrote at its end; None before."""
        path = self.folder / "outcome.json"
        if not path.exists():
            return None
        outcome: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return outcome

    def begin(self, *, followed: bool = True, crash_at: str = "") -> subprocess.Popen[str]:
        """Starts the program, under the runtime or alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        words = [self.folder / "outcome.json", self.seconds_per_step, self.epochs]
        program = [str(PROGRAM), *(str(word) for word in words)]
        store = ["--store", self.store or str(self.folder / "store")]
        command = ["-m", "holdfast.runtime.cli", "run", *store, *program] if followed else program
        environment = {
            **os.environ,
            "HOLDFAST_SPOOL": str(self.folder / "spool"),
            "HOLDFAST_SNAPSHOT_SECONDS": "0.2",
            "HOLDFAST_PERSIST_SECONDS": "0.5",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **self.environment,
        }
        if crash_at:
            environment["HOLDFAST_CRASH_AT"] = crash_at
        return subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )

    def lose_machine(self) -> None:
        """Takes the daemon and every local trace, as a lost machine does."""
        for process in self.daemons():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait()
        shutil.rmtree(self.folder / "spool", ignore_errors=True)

    def daemons(self) -> list[psutil.Process]:
        """The daemons that serve this training's spool."""
        return daemons_in(self.folder)
