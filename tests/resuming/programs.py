"""The programs that are ended and run again, as users write them, in cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from resuming.several import (
    adversaries,
    built_of_a_trained_model,
    k_folds,
    repeats,
    shared_encoder,
    teacher_and_student,
    two_stages,
)
from resuming.single import build_cell, carried_over, fit_cell, one_model

Cell = Callable[..., None]


PROGRAMS: Final[dict[str, tuple[Cell, ...]]] = {
    "one_model": (one_model,),
    "carried_over": (carried_over,),
    "fit_cell": (fit_cell,),
    "fit_cell_run_twice": (build_cell, fit_cell, fit_cell),
    "fit_cell_run_thrice": (build_cell, fit_cell, fit_cell, fit_cell),
    "k_folds": (k_folds,),
    "repeats": (repeats,),
    "two_stages": (two_stages,),
    "adversaries": (adversaries,),
    "teacher_and_student": (teacher_and_student,),
    "built_of_a_trained_model": (built_of_a_trained_model,),
    "shared_encoder": (shared_encoder,),
}
"""Each program's cells, in the order in which they are run."""
