"""Coverage-guided fuzzing, for a short while; `target.py` run by hand goes on for as long as one likes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TARGET = Path(__file__).with_name("target.py")
RUNS = {
    "manifest": 100_000,
    "claim": 100_000,
    "header": 100_000,
    "name": 100_000,
    "url": 50_000,
    "patch": 5000,
}


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python")
@pytest.mark.parametrize("target", RUNS)
def test_only_our_errors_come_out_whatever_the_bytes(target: str, tmp_path: Path) -> None:
    options = [
        f"-runs={RUNS[target]}",
        "-seed=1",
        "-print_final_stats=1",
        f"-artifact_prefix={tmp_path}/",
        "-max_len=4096",
    ]
    done = subprocess.run(
        [sys.executable, str(TARGET), target, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"stat::number_of_executed_units: {RUNS[target]}" in done.stderr
