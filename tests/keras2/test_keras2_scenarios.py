"""Keras 2: the rows of the resume table, neighbours in the process, and numbers that stay what they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.matrix import asked
from helpers.processes import environment

HERE = Path(__file__).parent
NAMES = [
    name
    for file in ("keras2_table.py", "keras2_numbers.py", "keras2_neighbours.py", "keras2_values.py")
    for name in re.findall(r"@scenario\ndef (\w+)", (HERE / file).read_text(encoding="utf-8"))
]

ALONE = "keras_3_is_not_imported_for_keras_2"
LEGACY = [
    "tf_keras_of_tensorflow_is_followed_whichever_it_is",
    "keras_2_and_keras_3_side_by_side_have_slots_of_their_own",
]
"""Also run where `tf.keras` is Keras 2."""


def run(folder: Path, names: list[str], **variables: str) -> dict[str, str]:
    """Runs scenarios in one process; gives what came of each."""
    out = folder / "out.json"
    finished = subprocess.run(
        [sys.executable, str(HERE / "keras2_scenarios.py"), str(out), str(folder), *names],
        env=environment({"TF_CPP_MIN_LOG_LEVEL": "3", **variables}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    found: dict[str, str] = json.loads(out.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of the scenarios that can share a process."""
    return run(tmp_path_factory.mktemp("scenarios"), asked(request, "name"))


@pytest.mark.parametrize("name", [name for name in NAMES if name != ALONE])
def test_keras_2(results: dict[str, str], name: str) -> None:
    assert results[name] == "passed"


def test_where_tf_keras_is_keras_2(tmp_path: Path) -> None:
    results = run(tmp_path, [ALONE, *LEGACY], TF_USE_LEGACY_KERAS="1")
    assert results == dict.fromkeys([ALONE, *LEGACY], "passed")
