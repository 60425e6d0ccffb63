"""Keras 2: each way of training, killed, resumed elsewhere, interrupted, rerun: equal bits."""

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
NAMES = [
    name
    for file in ("keras2_data_cases.py", "keras2_model_cases.py")
    for name in re.findall(r"@case\ndef (\w+)", (HERE / file).read_text(encoding="utf-8"))
]

MOMENTS = ("s7:s9:s12", "s8:s10:s16", "s12:s14:s18")
"""The last checkpoint, the kill and the later interrupt, after so many steps: in mid-epoch and after its end.
Cases take them by turns; ``v`` is in a validation, ``e`` at an epoch's end."""

SPECIAL = {
    "arrays_shuffled": ["s8:v1:v2", "s8:e1:e2", "s7:s9:s20"],
    "arrays_over_several_epochs": ["s7:s9:s12"],
    "arrays_shuffled_by_batches": ["s10:s12:v2"],
    "callbacks_of_keras": ["s12:s14:v3", "s8:v1:e2"],
    "dataset_batched_then_shuffled": ["s8:v1:s12", "s10:s12:e2"],
    "dataset_of_unknown_size": ["s4:s6:v2"],
    "dataset_validated_with_shuffled_data": ["s10:s12:v2"],
    "functional_with_two_outputs": ["s8:e1:s18"],
    "recurrent_and_stateful": ["s5:s7:s10"],
    "run_eagerly": ["s3:s5:s12"],
    "sequence": ["s10:s12:v2", "s7:s9:e2"],
    "steps_per_execution": ["s3:s5:s9"],
    "subclass_with_train_step": ["s8:v1:s12"],
    "validation_split": ["s3:s5:v2"],
}

WORDS = [
    f"{name}:{moments}"
    for place, name in enumerate(NAMES)
    for moments in SPECIAL.get(name, [MOMENTS[place % len(MOMENTS)]])
]


def begin(role: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts one process of the matrix."""
    out = folder.parent / f"{role}.json"
    with open(log, "wb") as file:
        return subprocess.Popen(
            [sys.executable, str(HERE / "keras2_worker.py"), role, str(folder), str(out), *WORDS],
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
    for role in ("killed", "resumed"):
        said = logs[role].read_text(encoding="utf-8")
        assert "an error of Holdfast's own" not in said, said[-4000:]
    said = logs["resumed"].read_text(encoding="utf-8")
    assert said.count("holdfast: resuming at epoch") == 2 * len(WORDS), said[-4000:]
    return {
        role: json.loads((base / f"{role}.json").read_text(encoding="utf-8"))
        for role in ("reference", "resumed")
    }


@pytest.mark.parametrize("word", WORDS)
def test_interrupted_training_of_keras_2_ends_with_the_bits_of_the_uninterrupted_one(
    matrix: dict[str, dict[str, Any]], word: str
) -> None:
    assert matrix["resumed"][word] == matrix["reference"][word.split(":", maxsplit=1)[0]]
