"""What happened before a start, from evidence."""

from __future__ import annotations

import itertools
from dataclasses import fields
from typing import get_args

import pytest

from holdfast.runtime.startup import Evidence, Situation, situation


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(), "first run"),
        (Evidence(has_checkpoint=True), "first run"),
        (Evidence(claimed=True, same_process=True, same_machine=True, claimant_alive=True), "rerun"),
        (Evidence(claimed=True, same_machine=True), "kernel restart"),
        (Evidence(claimed=True, same_machine=True, claimant_ended=True), "kernel restart"),
        (Evidence(claimed=True, same_machine=True, claimant_alive=True, claimant_ended=True), "kernel restart"),
        (Evidence(claimed=True, same_machine=True, claimant_alive=True), "takeover"),
        (Evidence(claimed=True), "runtime reset"),
        (Evidence(claimed=True, has_checkpoint=True), "runtime reset"),
    ],
)
def test_the_table_of_situations(evidence: Evidence, expected: Situation) -> None:
    assert situation(evidence) == expected


def test_all_evidence_names_a_situation_and_every_situation_has_evidence() -> None:
    names = [one.name for one in fields(Evidence)]
    found = {
        situation(Evidence(**dict(zip(names, values, strict=True))))
        for values in itertools.product([False, True], repeat=len(names))
    }
    assert found == set(get_args(Situation))
