"""A program that is never interrupted does with the runtime on exactly what it does without it."""

from __future__ import annotations

import json

import pytest

from helpers.matrix import asked
from manners.both import Outcome, differences, outcome
from manners.programs import MEMORY, NAMES

PROGRAMS = [name for name, file in NAMES.items() if file not in MEMORY]


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Those programs that are asked for, seen once."""
    return outcome(tmp_path_factory.mktemp("manners"), asked(request, "name"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_does_exactly_what_it_does_without_the_runtime(seen: Outcome, name: str) -> None:
    found = differences(seen, name)
    assert not found, json.dumps(found, indent=1)[:6000]


def test_the_runtime_was_at_work_meanwhile(seen: Outcome) -> None:
    taken = [name for name, one in seen["followed"].items() if one["said"][0] != "snapshot "]
    assert len(taken) >= len(seen["followed"]) / 2
    assert all(one["said"] == [] for one in seen["alone"].values())
