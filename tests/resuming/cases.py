"""The table of cases: which program is ended where, what is run then, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["interrupt", "kill", "reset"]
KINDS: Final[tuple[Kind, ...]] = ("interrupt", "kill", "reset")
"""How a program is ended.

``interrupt``: SIGINT, and the cells are run again in the same process. ``kill``: SIGKILL, and a new process
on the same machine runs the script again. ``reset``: SIGKILL once the store has what is needed, the local
disk is lost with the machine, and a new process runs the cells again.
"""

FRESH: Final = "%holdfast fresh"
CONTINUE: Final = "%holdfast continue"
UNSAID: Final = ("resum", "no step is trained", "training the remaining", "a new one begins", "changed")
"""What is not to be said where a training has no past."""


@dataclass(frozen=True, slots=True)
class Work:
    """A program that the user runs.

    Attributes:
        program: Its name in `programs`.
        changes: What it is given, by name.
        at: The training step after which it is ended; 0 for before the first one, None for after its end.
        ask: What the user asks for first: ``fresh`` or ``continue``.
        plain: The program that comes to the same without Holdfast; by default the same.
        plain_changes: What that one is given beside ``changes``.
        trains: The training steps it takes; None for those that were left when the one before was ended.
        says: For each line to be said, the texts that it has.
        unsaid: Texts that no line may have.
    """

    program: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    at: int | None = None
    ask: Literal["", "fresh", "continue"] = ""
    plain: str = ""
    plain_changes: Mapping[str, Any] = field(default_factory=dict)
    trains: int | None = None
    says: tuple[tuple[str, ...], ...] = ()
    unsaid: tuple[str, ...] = ()

    @property
    def uninterrupted(self) -> tuple[str, dict[str, Any]]:
        """The program that comes to the same without Holdfast, and what it is given."""
        return self.plain or self.program, {**self.changes, **self.plain_changes}

    @property
    def reference(self) -> str:
        """The name of that."""
        program, changes = self.uninterrupted
        return "-".join([program, *(f"{key}={value}" for key, value in sorted(changes.items()))])


@dataclass(frozen=True, slots=True)
class Case:
    """What a user does before and after an end.

    Attributes:
        first: What is ended.
        then: What is run after it, one after another.
        then_live: The same where the process is still there, if that is something else.
        kept: Whether all that the programs came to must be in the store in the end.
    """

    first: Work
    then: tuple[Work, ...]
    then_live: tuple[Work, ...] = ()
    kept: bool = False

    def after(self, kind: Kind) -> tuple[Work, ...]:
        """What is run after the end."""
        return self.then_live if kind == "interrupt" and self.then_live else self.then


def again(program: str, at: int, *says: tuple[str, ...], **changes: Any) -> Case:
    """A program ended at a step, and run again unchanged."""
    return Case(Work(program, changes, at), (Work(program, changes, says=says),))


def changed(name: str, trains: int = 10, /, **changes: Any) -> Case:
    """One model ended in its second epoch, and trained again under another definition."""
    line = ("resuming the weights at epoch 2/3 under a changed definition", name, FRESH)
    now = Work("one_model", changes, plain="carried_over", plain_changes={"at": 8}, trains=trains, says=(line,))
    return Case(Work("one_model", at=8), (now,))


def done(epochs: int, *, asked: int, trains: int, says: tuple[str, ...], **changes: Any) -> Case:
    """One model trained to its end, and asked for other epochs."""
    plain = {"epochs": max(epochs, asked)}
    then = Work("one_model", {**changes, "epochs": asked}, plain_changes=plain, trains=trains, says=(says,))
    return Case(Work("one_model", {**changes, "epochs": epochs}), (then,))


ROWS: Final[dict[str, Case]] = {
    "none": Case(Work("one_model", at=0), (Work("one_model", unsaid=UNSAID),)),
    "open_in_mid_epoch": again("one_model", 8, ("resuming at epoch 2/3, after 3 batches", FRESH)),
    "open_at_an_epochs_end": again("one_model", 10, ("resuming at epoch 2/3, after 5 batches", FRESH)),
    "open_optimizer_changed": changed("optimizer.class: Adam → SGD", optimizer="SGD"),
    "open_learning_rate_changed": changed("optimizer.learning_rate: 0.0", rate=0.5),
    "open_loss_changed": changed("loss: sparse_categorical_crossentropy → poisson", loss="poisson"),
    "open_batch_size_changed": changed("batch_size: 8 → 4", 20, batch_size=4),
    "open_data_size_changed": changed("data.x: <f4[40, 4]", 12, samples=48),
    "open_beyond_the_epochs_and_changed": Case(
        Work("one_model", at=13),
        (
            Work(
                "one_model",
                {"rate": 0.5, "epochs": 2},
                plain="carried_over",
                plain_changes={"at": 13, "anew": True},
                trains=10,
                says=(("2 epochs are done; 2 more are trained under a changed definition", FRESH),),
            ),
        ),
    ),
    "done_more_epochs_asked": done(
        3, asked=5, trains=10, says=("3 epochs are done; training the remaining 2", FRESH)
    ),
    "done_as_many_epochs_asked": done(
        3, asked=3, trains=0, says=("this training is done (3 epochs)", "no step is trained", FRESH)
    ),
    "done_fewer_epochs_asked": done(
        3, asked=2, trains=0, says=("this training is done (3 epochs)", "no step is trained", FRESH)
    ),
    "done_by_itself": done(
        4, asked=9, trains=0, says=("this training is done (2 epochs)", "no step is trained", FRESH), stops=True
    ),
    "done_and_changed": Case(
        Work("one_model"),
        (
            Work(
                "one_model",
                {"rate": 0.5},
                says=(("a new one begins", "optimizer.learning_rate: 0.0", CONTINUE),),
                trains=15,
            ),
            Work(
                "one_model",
                {"rate": 0.5, "epochs": 5},
                ask="continue",
                plain="carried_over",
                plain_changes={"at": 15},
                trains=10,
                says=(("resuming the weights at epoch 4/5", "optimizer.learning_rate: 0.0", FRESH),),
            ),
        ),
        kept=True,
    ),
    "done_same_object": Case(
        Work("fit_cell_run_twice"),
        (Work("fit_cell_run_twice", trains=0),),
        (Work("fit_cell", plain="fit_cell_run_thrice", trains=15, unsaid=UNSAID),),
    ),
    "done_same_object_then_ended": Case(
        Work("fit_cell_run_twice", at=23),
        (Work("fit_cell_run_twice"),),
        (Work("fit_cell", plain="fit_cell_run_twice"),),
    ),
    "structure_changed": Case(
        Work("one_model", at=8),
        (
            Work(
                "one_model",
                {"units": 7},
                trains=15,
                says=(
                    (
                        "structure changed",
                        "-Dense float32[4, 3]",
                        "+Dense float32[4, 7]",
                        "run the cells again",
                    ),
                ),
            ),
            Work("one_model", trains=7, says=(("resuming at epoch 2/3, after 3 batches", FRESH),)),
        ),
        kept=True,
    ),
    "fresh": Case(
        Work("one_model", at=8),
        (Work("one_model", ask="fresh", trains=15, says=(("begins anew",),), unsaid=("resum",)),),
    ),
}
"""The rows of the resume table; docs/resuming.md."""

PROGRAMS: Final[dict[str, Case]] = {
    "k_folds_in_the_second": again(
        "k_folds", 8, ("no step is trained",), ("resuming at epoch 1/2, after 2 batches",)
    ),
    "k_folds_thrown_away_in_the_last": again(
        "k_folds", 15, ("no step is trained",), ("resuming at epoch 1/2, after 3 batches",), keep=False
    ),
    "repeats_in_the_second": again("repeats", 8, ("resuming at epoch 1/1, after 3 batches",)),
    "repeats_in_the_last": again("repeats", 13, ("resuming at epoch 1/1, after 3 batches",)),
    "two_stages_in_the_second": again(
        "two_stages", 13, ("no step is trained",), ("resuming at epoch 1/2, after 3 batches",)
    ),
    "two_stages_at_an_epochs_end": again(
        "two_stages", 15, ("no step is trained",), ("resuming at epoch 1/2, after 5 batches",)
    ),
    "adversaries_in_the_first_ones_turn": again("adversaries", 8, ("resuming at epoch 1/1, after 2 batches",)),
    "adversaries_in_the_second_ones_turn": again(
        "adversaries", 11, ("resuming at epoch 1/1, after 1 batches",)
    ),
    "adversaries_run_eagerly": again(
        "adversaries", 8, ("resuming at epoch 1/1, after 2 batches",), eagerly=True
    ),
    "teacher_and_student_in_the_student": again(
        "teacher_and_student", 13, ("no step is trained",), ("resuming at epoch 1/2, after 3 batches",)
    ),
    "teacher_and_student_in_the_distiller": again(
        "teacher_and_student", 24, ("no step is trained",), ("resuming at epoch 1/2, after 4 batches",)
    ),
    "built_of_a_trained_model_in_the_part": again("built_of_a_trained_model", 4),
    "built_of_a_trained_model_in_the_whole": again(
        "built_of_a_trained_model", 13, ("no step is trained",), ("resuming at epoch 1/2, after 3 batches",)
    ),
    "shared_encoder_in_the_second_model": again(
        "shared_encoder", 8, ("no step is trained",), ("resuming at epoch 1/2, after 2 batches",)
    ),
    "shared_encoder_in_the_first_model_again": again(
        "shared_encoder", 15, ("no step is trained",), ("resuming at epoch 1/2, after 3 batches",)
    ),
}
"""Programs of several trainings, each ended at two places or more."""

CASES: Final = ROWS | PROGRAMS
