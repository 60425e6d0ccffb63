"""A matrix: each way of training, killed, resumed in another process, interrupted, rerun: equal bits.

Its words name a case and the moments of what befalls it. A word of several kills is a chain: a process is
killed, the one that resumes is killed again, and so on; the last one resumes, is interrupted, and reruns to
the end.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pytest

from helpers.forks import FAILED
from helpers.processes import environment

Outcomes = dict[str, dict[str, Any]]
"""``reference``: by case, what it comes to uninterrupted. ``resumed``: by word, what it comes to."""

SHOWN: Final = 4000
"""Characters of a log in a failure."""


@dataclass(frozen=True, slots=True)
class Word:
    """``CASE:CHECKPOINT-KILL:…:INTERRUPT``.

    Attributes:
        text: The word.
        case: The case's name.
        kills: Of each process that is killed, the moment of its last checkpoint, and that of its end.
        interrupt: The moment of the interrupt in the process after them.
    """

    text: str
    case: str
    kills: tuple[tuple[str, str], ...]
    interrupt: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a word."""
        case, *kills, interrupt = text.split(":")
        pairs = [kill.partition("-") for kill in kills]
        return cls(text, case, tuple((checkpoint, end) for checkpoint, _, end in pairs), interrupt)


def cases_in(*files: Path) -> list[str]:
    """The names of the cases in files, which are not imported for it: they import TensorFlow."""
    return [
        name for file in files for name in re.findall(r"@case\ndef (\w+)", file.read_text(encoding="utf-8"))
    ]


def asked(request: pytest.FixtureRequest, key: str) -> list[str]:
    """The values of a parameter that are asked for in the file of the test, each once."""
    found = {
        str(item.callspec.params[key]): None
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    }
    return list(found)


def logs_of(folder: Path) -> dict[str, str]:
    """What the processes of a folder wrote, by the names of their logs."""
    return {
        str(log.relative_to(folder)): log.read_text(encoding="utf-8") for log in sorted(folder.rglob("*.log"))
    }


def outcomes(worker: Path, base: Path, words: list[str]) -> Outcomes:
    """Runs a worker, see `matrix_worker`, over words; gives what they came to."""
    log = base / "worker.txt"
    with log.open("wb") as file:
        finished = subprocess.run(
            [sys.executable, str(worker), str(base), *words],
            stdout=file,
            stderr=file,
            env=environment({"TF_CPP_MIN_LOG_LEVEL": "3"}),
            check=False,
        )
    assert finished.returncode == 0, log.read_text(encoding="utf-8")[-SHOWN:]
    logs = logs_of(base)
    for failed in base.rglob(FAILED):
        why = failed.read_text(encoding="utf-8")
        last = failed.with_name(f"{why.partition(':')[0]}.log")
        raise AssertionError(f"{why}\n{last.read_text(encoding='utf-8')[-SHOWN:]}")
    for said in logs.values():
        assert "an error of Holdfast's own" not in said, said[-SHOWN:]
    found: Outcomes = {"reference": {}, "resumed": {}}
    for role, results in found.items():
        for path in base.rglob(f"{role}.json"):
            results.update(json.loads(path.read_text(encoding="utf-8")))
    return found


def resumes_said(base: Path) -> int:
    """How often a training of a matrix was said to be resumed."""
    return sum(said.count("holdfast: resuming at epoch") for said in logs_of(base).values())


def resumes_due(words: list[str]) -> int:
    """How often trainings are resumed: after each kill, and after the interrupt."""
    return sum(len(Word.parse(word).kills) + 1 for word in words)
