"""``holdfast run`` on a training killed at random instants until it ends, with equal bits."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from helpers.killed_training import Training

SEED = time.time_ns() % 1_000_000
SHORTEST, LONGEST = 4.0, 10.0
"""Seconds before a kill; the longest grows with each, so that a slow machine gets on too."""


@pytest.mark.parametrize("number", [0, 1])
def test_killed_at_random_instants_a_script_ends_with_equal_bits(tmp_path: Path, number: int) -> None:
    seed = SEED + number
    print(f"seed {seed}")
    chance = random.Random(seed)
    reference = Training(tmp_path / "reference", seconds_per_step=0)
    alone = reference.begin(followed=False)
    training = Training(tmp_path / "killed", seconds_per_step=0.1)
    kills = 0
    while training.outcome is None:
        process = training.begin()
        time.sleep(chance.uniform(SHORTEST, LONGEST + kills))
        if process.poll() is None:
            process.kill()
            kills += 1
        output, _ = process.communicate()
        assert process.returncode in (0, -9), output
        if chance.random() < 0.3:  # the machine is lost with it
            training.lose_machine()
        assert kills < 60, f"no progress with seed {seed}:\n{output}"
    alone.communicate()
    assert training.outcome == reference.outcome, f"seed {seed}, {kills} kills"
    assert kills >= 1, f"seed {seed}: never killed"
