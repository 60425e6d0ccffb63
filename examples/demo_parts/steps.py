"""The notebook's log of steps, read while it grows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """One step of training.

    Attributes:
        step: Its number, from 1, over all epochs.
        epoch: Epoch from 0.
        batch: Batch from 0 within the epoch.
        loss: Loss of that batch alone.
        time: Unix time in seconds at its end.
    """

    step: int
    epoch: int
    batch: int
    loss: float
    time: float


class StepLog:
    """Follows one kernel's log; the half line that a kill may leave at its end is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps: list[Step] = []
        self._offset = 0

    def read_on(self) -> list[Step]:
        """All steps so far."""
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                text = file.read()
            complete = text[: text.rfind(b"\n") + 1]
            self._offset += len(complete)
            self.steps += [Step(**json.loads(line)) for line in complete.splitlines()]
        return self.steps
