"""The matrix of loops: each way of writing one, killed, resumed, interrupted, resumed: equal bits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NAMES = re.findall(r"@case\ndef (\w+)", (HERE / "loop_cases.py").read_text(encoding="utf-8"))
KILLS = ("7:4", "6:9", "3:1", "1:5")
"""The step of the kill, and that of the interrupt in the process that resumed: in mid-epoch, after an epoch's
last batch, after the first step. The cases take them by turns."""

EVERYWHERE = ("validation_within",)
"""Cases that are killed at all of these steps."""

WORDS = [
    f"{name}:{kills}"
    for place, name in enumerate(NAMES)
    for kills in (KILLS if name in EVERYWHERE else [KILLS[(place + 1) % len(KILLS)]])
]

STEPS_TO_BUILD = 2
"""Steps in an item that is handed out once more, where only that makes the model."""

Outcomes = dict[str, dict[str, Any]]


def begin(role: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts one process of the matrix."""
    out = folder.parent / f"{role}.json"
    with open(log, "wb") as file:
        return subprocess.Popen(
            [sys.executable, str(HERE / "loop_worker.py"), role, str(folder), str(out), *WORDS],
            stdout=file,
            stderr=file,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    """What the uninterrupted and the interrupted loops came to."""
    base = tmp_path_factory.mktemp("loops")
    logs = {role: base / f"{role}.log" for role in ("reference", "killed", "resumed")}
    for role, log in logs.items():
        process = begin(role, base / "followed", log)
        try:
            assert process.wait() == 0, log.read_text(encoding="utf-8")[-4000:]
        finally:
            process.kill()
            process.wait()
        said = log.read_text(encoding="utf-8")
        assert "an error of Holdfast's own" not in said, said[-4000:]
    return {
        role: json.loads((base / f"{role}.json").read_text(encoding="utf-8"))
        for role in ("reference", "resumed")
    }


@pytest.mark.parametrize("word", WORDS)
def test_an_interrupted_loop_ends_with_the_bits_of_the_uninterrupted_one(
    matrix: dict[str, Outcomes], word: str
) -> None:
    expected = matrix["reference"][word.split(":", maxsplit=1)[0]]
    found = matrix["resumed"][word]
    assert found["resumed"]["outcome"] == expected["outcome"]
    assert found["replayed"]["outcome"] == expected["outcome"]


@pytest.mark.parametrize("word", WORDS)
def test_what_was_done_is_not_done_again(matrix: dict[str, Outcomes], word: str) -> None:
    name, killed, interrupted = word.split(":")
    found, steps = matrix["resumed"][word], matrix["reference"][name]["steps"]
    assert found["resumed"]["steps"] <= steps - int(killed) - int(interrupted) + 2 * STEPS_TO_BUILD
    assert found["replayed"]["steps"] <= STEPS_TO_BUILD
