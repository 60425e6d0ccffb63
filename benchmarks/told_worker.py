"""A process that works when it is told, so that several can take turns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent


class ToldWorker:
    """One of the scripts beside this file, in a process: it reads an order a line, and answers each in JSON."""

    def __init__(self, folder: Path, script: str, role: str, *words: object) -> None:
        """Starts it.

        Args:
            folder: Where its log is.
            script: The script's file.
            role: Its first argument.
            words: Further ones.
        """
        self._log = folder / f"{role}.log"
        self._errors = self._log.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script), role, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, order: object) -> Any:
        """Gives it an order, in JSON; returns its answer.

        Raises:
            SystemExit: The process ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """What it says next: an object or a list; other lines are not its own.

        Raises:
            SystemExit: The process ended.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise SystemExit(self._log.read_text(encoding="utf-8")[-4000:])

    def __enter__(self) -> ToldWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # ends its input
        self._errors.close()
