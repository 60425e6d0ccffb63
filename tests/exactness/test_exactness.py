"""The matrix: each way of training, killed, resumed elsewhere, interrupted, rerun: equal bits."""

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
NAMES = re.findall(r"@case\ndef (\w+)", (HERE / "cases.py").read_text(encoding="utf-8"))
KILLS = ("7:12", "3:9", "8:14")
"""Steps of the kill and of the interrupt: in mid-epoch, and after an epoch's last batch."""

EVERYWHERE = ("dataset", "py_dataset", "python_generator", "callback", "validation")
"""Cases that are killed at all of these steps; the others take them by turns."""

WORDS = [
    f"{name}:{kills}"
    for place, name in enumerate(NAMES)
    for kills in (KILLS if name.startswith(EVERYWHERE) else [KILLS[place % len(KILLS)]])
]


def begin(role: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts one process of the matrix."""
    out = folder.parent / f"{role}.json"
    with open(log, "wb") as file:
        return subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), role, str(folder), str(out), *WORDS],
            stdout=file,
            stderr=file,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the uninterrupted and the interrupted trainings came to."""
    base = tmp_path_factory.mktemp("matrix")
    logs = {role: base / f"{role}.log" for role in ("reference", "killed", "resumed")}
    reference = begin("reference", base / "alone", logs["reference"])
    for role in ("killed", "resumed"):
        process = begin(role, base / "followed", logs[role])
        if process.wait() != 0:
            reference.kill()
            reference.wait()
            raise AssertionError(logs[role].read_text(encoding="utf-8")[-4000:])
    assert reference.wait() == 0, logs["reference"].read_text(encoding="utf-8")[-4000:]
    said = logs["resumed"].read_text(encoding="utf-8")
    assert "an error of Holdfast's own" not in said, said[-4000:]
    return {
        role: json.loads((base / f"{role}.json").read_text(encoding="utf-8"))
        for role in ("reference", "resumed")
    }


@pytest.mark.parametrize("word", WORDS)
def test_interrupted_training_ends_with_the_bits_of_the_uninterrupted_one(
    matrix: dict[str, dict[str, Any]], word: str
) -> None:
    assert matrix["resumed"][word] == matrix["reference"][word.split(":", maxsplit=1)[0]]
