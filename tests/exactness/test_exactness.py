"""The matrix: each way of training, killed, resumed elsewhere, interrupted, rerun: equal bits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from helpers.matrix import Outcomes, asked, cases_in, outcomes, resumes_due, resumes_said

HERE: Final = Path(__file__).parent
NAMES: Final = cases_in(HERE / "cases.py")

MOMENTS: Final = ("s7-s9:s12", "s3-s5:s9", "s8-s10:s14")
"""The last checkpoint and the kill, and the later interrupt, after so many steps: in mid-epoch, and after
an epoch's last batch. Cases take them by turns."""

CHAINS: Final = ("s3-s5:s8-s10:s12", "s7-s9:s8-s10:s14", "s3-s5:s8-s10:s9")
"""The same where the place in the data or a callback's state is at stake: killed in mid-epoch, resumed and
killed after an epoch's last batch, resumed and interrupted in mid-epoch or a step later."""

CHAINED: Final = ("dataset", "py_dataset", "python_generator", "callback", "validation")

WORDS: Final = [
    f"{name}:{moments[place % len(moments)]}"
    for place, name in enumerate(NAMES)
    for moments in [CHAINS if name.startswith(CHAINED) else MOMENTS]
]


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What the uninterrupted and the interrupted trainings came to."""
    words, base = asked(request, "word"), tmp_path_factory.mktemp("matrix")
    found = outcomes(HERE / "worker.py", base, words)
    assert resumes_said(base) == resumes_due(words)
    return found


@pytest.mark.parametrize("word", WORDS)
def test_interrupted_training_ends_with_the_bits_of_the_uninterrupted_one(matrix: Outcomes, word: str) -> None:
    assert matrix["resumed"][word] == matrix["reference"][word.partition(":")[0]]
