"""A checkpoint that was read and verified, on its way into a model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from holdfast.hooks import assigning, capture, random_state, variables
from holdfast.hooks.data_position import ITERATOR
from holdfast.hooks.engine import Engine
from holdfast.hooks.keras_state import Watched, WatchedCallbacks
from holdfast.hooks.saving import Piece
from holdfast.runtime import report
from holdfast.runtime.journal import Slot
from holdfast.runtime.restore import CheckpointPart
from holdfast.runtime.session import Session


@dataclass(slots=True)
class Restored:
    """A checkpoint read and verified, on its way into a model.

    Attributes:
        exact: Whether generators and the place in the data go with it.
        history_only: Whether of the callbacks the History alone goes on, since what the others have seen does
            not compare with what they will see.
        anew_at: The epoch with which a training begins that has its weights only; None where it goes on.
        ends: Whether its replay ends a call that was open, which is saved then.
        appending: Loggers whose ``append`` is to be reset.
    """

    engine: Engine
    model: Any
    part: CheckpointPart
    state: dict[str, Any]
    variables: list[variables.NamedVariable]
    tensors: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]
    exact: bool
    history_only: bool = False
    anew_at: int | None = None
    ends: bool = False
    appending: list[Any] = field(default_factory=list)

    @property
    def first_epoch(self) -> int:
        """The epoch to begin with."""
        return int(self.position["epoch"]) if self.anew_at is None else self.anew_at

    def is_over(self, epochs: int) -> bool:
        """Whether nothing but the end of `fit` is left: every epoch is trained, or it has stopped itself."""
        position = self.position
        if not self.exact or position["executions"] or position["phase"] == "done":
            return False
        return bool(position.get("stopped")) or int(position["epoch"]) >= epochs

    @property
    def position(self) -> dict[str, Any]:
        """Phase, epoch, executions and the data's position."""
        position: dict[str, Any] = self.state["position"]
        return position

    def assign(self, callbacks: WatchedCallbacks | None, data: Watched | None) -> None:
        """Puts everything but the place in the data where it was; can be done again."""
        assigning.assign(self.variables, self.tensors)
        if callbacks is not None and self.anew_at is None:
            saved = self.state["callbacks"]
            kept = [one for one in saved if one["class"] == "History"] if self.history_only else saved
            callbacks.restore(kept, self.arrays)
        if self.exact:
            self._assign_generators()
            self.assign_data_object(data)

    def piece(self, slot: Slot) -> Piece:
        """What was read, to be saved once more after it was assigned."""
        sources = capture.references(self.variables) + capture.array_sources(self.arrays)
        return Piece(slot, sources, self.state)

    def assign_data_object(self, data: Watched | None) -> None:
        """Puts the attributes of a data object, such as its shuffled order, where they were."""
        if data is not None and self.state.get("data_object"):
            data.restore(self.state["data_object"], self.arrays)

    def _assign_generators(self) -> None:
        saved, data = self.state["random"], self.position.get("data") or {}
        self.engine.restore_generators(self.model, saved)
        # What was fast-forwarded has drawn its random numbers itself, and read ahead.
        forwarded = data.get("kind") in ("generator", "dataset") and ITERATOR not in self.arrays
        if not (data.get("live") and forwarded):
            random_state.restore_host(saved["host"])


def described(part: CheckpointPart, session: Session | None = None) -> str:
    """A checkpoint for people: its name, where it lies, how old it is.

    Args:
        part: The checkpoint.
        session: Where a training goes on from it: what was lost after it is told as far as it is known.
    """
    text = f"{part.stem} from the {part.origin}, {report.ago(time.time() - part.taken_at)} old"
    if session is None:
        return text
    return f"{text}; {session.lost_after(part.checkpoint)}"


def per_execution(model: Any) -> int:
    """Steps that one execution of the training function runs."""
    return int(getattr(model, "steps_per_execution", 1) or 1)
