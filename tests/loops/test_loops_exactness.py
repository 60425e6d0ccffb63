"""The matrix of loops: each way of writing one, killed, resumed, interrupted, resumed: equal bits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from helpers.matrix import Outcomes, Word, asked, cases_in, outcomes

HERE: Final = Path(__file__).parent
NAMES: Final = cases_in(HERE / "loop_cases.py")
MOMENTS: Final = ("7-9:4", "6-8:9", "3-5:1", "1-3:5")
"""The steps of the last checkpoint and of the kill, and that of the interrupt in the process that resumed: in
mid-epoch, after an epoch's last batch, after the first step. The cases take them by turns."""

EVERYWHERE: Final = ("validation_within",)
"""Cases that are killed at all of these steps."""

WORDS: Final = [
    f"{name}:{moments}"
    for place, name in enumerate(NAMES)
    for moments in (MOMENTS if name in EVERYWHERE else [MOMENTS[(place + 1) % len(MOMENTS)]])
]

STEPS_TO_BUILD: Final = 2
"""Steps in an item that is handed out once more, where only that makes the model."""


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What the uninterrupted and the interrupted loops came to."""
    return outcomes(HERE / "loop_worker.py", tmp_path_factory.mktemp("loops"), asked(request, "word"))


@pytest.mark.parametrize("word", WORDS)
def test_an_interrupted_loop_ends_with_the_bits_of_the_uninterrupted_one(matrix: Outcomes, word: str) -> None:
    expected = matrix["reference"][word.partition(":")[0]]
    found = matrix["resumed"][word]
    assert found["resumed"]["outcome"] == expected["outcome"]
    assert found["replayed"]["outcome"] == expected["outcome"]


@pytest.mark.parametrize("word", WORDS)
def test_what_was_done_is_not_done_again(matrix: Outcomes, word: str) -> None:
    told = Word.parse(word)
    found, steps = matrix["resumed"][word], matrix["reference"][told.case]["steps"]
    done = int(told.kills[0][0]) + int(told.interrupt)
    assert found["resumed"]["steps"] <= steps - done + 2 * STEPS_TO_BUILD
    assert found["replayed"]["steps"] <= STEPS_TO_BUILD
