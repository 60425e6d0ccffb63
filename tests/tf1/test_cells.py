"""Cells of TF1 notebooks, rerun and restarted: what `worker.py` saw of the step counter at each cell's end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).parent / "worker.py"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of all cases, run in one process of their own."""
    folder = tmp_path_factory.mktemp("cells")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "IPYTHONDIR": str(folder / "ipython")}
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "outcomes.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("case", "seen"),
    [
        ("one_cell", [5, 10, 15, 20, 25]),
        ("one_cell_that_resets_the_graph", [5, 10, 15]),
        ("interactive", [5, 10, 15, 20]),
        ("initialised_again", [5, 10, 15]),
        ("only_the_loop_rerun_after_a_look", [0, 5, 10, 15]),
        ("two_cells_alike", [5, 5, 10, 10, 15, 15]),
        ("interrupted", ["KeyboardInterrupt", 6]),
        ("fresh", [5, 5, 10]),
        ("another_optimizer", [5, 5]),
    ],
)
def test_a_rerun_goes_on(outcomes: dict[str, Any], case: str, seen: list[Any]) -> None:
    assert outcomes[case]["seen"] == seen
    assert "error of Holdfast's own" not in outcomes[case]["said"]
