"""A training call that an exception has left: what it came to, and its end where the program itself goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from holdfast.runtime import report
from holdfast.runtime.journal import finish
from holdfast.runtime.names import Stem

if TYPE_CHECKING:
    from holdfast.hooks.tracking import Tracker


@dataclass(frozen=True, slots=True)
class Left:
    """Where a call stood when it raised.

    Attributes:
        execution: The execution of a cell that it was in.
        cell: That cell.
        epoch: Whole epochs done.
        epochs: Those that were asked for.
        moved: Whether the model was trained or restored by then; else it is no call yet.
        replayed: Whether it was one that only replays: it is done already.
        stem: Its newest checkpoint; None where it has none.
        rate: The learning rate; None where no variable holds one.
        history: Its History, where that is short.
    """

    execution: int
    cell: str
    epoch: int
    epochs: int
    moved: bool
    replayed: bool = False
    stem: Stem | None = None
    rate: float | None = None
    history: dict[str, list[float]] = field(default_factory=dict)


def end_if_handled(tracker: Tracker, model: Any) -> None:
    """Ends the call that an exception has left, if the same execution of the cell trains the model again.

    Then the program has handled the exception, and this is its next call. To resume takes a rerun, which is
    another execution, or another model.
    """
    bound = tracker.bound(model)
    left = bound.left
    if left is None or not left.moved or not tracker.cells.still_runs(left.execution):
        return
    slot = tracker.slot_of(model)
    call = slot.call(bound.next_call) if slot is not None else None
    if slot is not None and call is not None and call.status == "open" and not left.replayed:
        ended = finish(call, left.epoch, stopped_early=True, history=left.history)
        slot.amend(bound.next_call, replace(ended, milestone=left.stem))
        report.say_once(
            f"left {slot.name}",
            f"the program goes on after an exception in epoch {left.epoch + 1}/{left.epochs}, so that training "
            "counts as ended and this fit is the next one. To resume instead, let the exception end the cell, "
            "and run the cell again",
        )
    bound.left = None
    bound.next_call += 1
