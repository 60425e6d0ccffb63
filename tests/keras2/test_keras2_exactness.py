"""Keras 2: each way of training, killed, resumed elsewhere, interrupted, rerun: equal bits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from helpers.matrix import Outcomes, asked, cases_in, outcomes, resumes_due, resumes_said

HERE: Final = Path(__file__).parent
NAMES: Final = cases_in(HERE / "keras2_data_cases.py", HERE / "keras2_model_cases.py")

MOMENTS: Final = ("s7-s9:s12", "s8-s10:s16", "s12-s14:s18")
"""The last checkpoint, the kill and the later interrupt, after so many steps: in mid-epoch and after its end.
Cases take them by turns; ``v`` is in a validation, ``e`` at an epoch's end."""

SPECIAL: Final = {
    "arrays_shuffled": ["s8-v1:v2", "s8-e1:e2", "s7-s9:s20"],
    "arrays_over_several_epochs": ["s7-s9:s12"],
    "arrays_shuffled_by_batches": ["s10-s12:v2"],
    "callbacks_of_keras": ["s12-s14:v3", "s8-v1:e2"],
    "dataset_batched_then_shuffled": ["s8-v1:s12", "s10-s12:e2"],
    "dataset_of_unknown_size": ["s4-s6:v2"],
    "dataset_validated_with_shuffled_data": ["s10-s12:v2"],
    "functional_with_two_outputs": ["s8-e1:s18"],
    "recurrent_and_stateful": ["s5-s7:s10"],
    "run_eagerly": ["s3-s5:s12"],
    "sequence": ["s10-s12:v2", "s7-s9:e2"],
    "steps_per_execution": ["s3-s5:s9"],
    "subclass_with_train_step": ["s8-v1:s12"],
    "validation_split": ["s3-s5:v2"],
}

WORDS: Final = [
    f"{name}:{moments}"
    for place, name in enumerate(NAMES)
    for moments in SPECIAL.get(name, [MOMENTS[place % len(MOMENTS)]])
]


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What the uninterrupted and the interrupted trainings came to."""
    words, base = asked(request, "word"), tmp_path_factory.mktemp("matrix")
    found = outcomes(HERE / "keras2_worker.py", base, words)
    assert resumes_said(base) == resumes_due(words)
    return found


@pytest.mark.parametrize("word", WORDS)
def test_interrupted_training_of_keras_2_ends_with_the_bits_of_the_uninterrupted_one(
    matrix: Outcomes, word: str
) -> None:
    assert matrix["resumed"][word] == matrix["reference"][word.partition(":")[0]]
