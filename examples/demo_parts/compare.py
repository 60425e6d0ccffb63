"""Whether two trainings ended with the same bits, and where they parted if not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demo_parts.errors import DemoFailed
from demo_parts.steps import Step

Tensor = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row of the result.

    Attributes:
        what: What was compared.
        extent: How much of it there is.
        difference: The first difference; empty for none.
    """

    what: str
    extent: str
    difference: str

    @property
    def equal(self) -> bool:
        """Whether every bit is the same."""
        return not self.difference


def compare(
    plain: Path, held: Path, plain_steps: Sequence[Step], held_steps: Sequence[Step]
) -> list[Comparison]:
    """Compares the end states in two folders, and every step on the way.

    Raises:
        DemoFailed: An end state is missing.
    """
    try:
        with np.load(plain / "state.npz") as one, np.load(held / "state.npz") as other:
            first, second = dict(one), dict(other)
        histories = [json.loads((folder / "history.json").read_text("utf-8")) for folder in (plain, held)]
    except (OSError, ValueError) as error:
        raise DemoFailed(f"The end of a training was not saved: {error}") from None
    return [
        _tensors("Weights", "weights/", first, second),
        _tensors("Optimizer state", "optimizer/", first, second),
        _tensors("Metrics", "metrics/", first, second),
        _history(histories[0], histories[1]),
        compare_losses(plain_steps, held_steps),
    ]


def _tensors(what: str, prefix: str, first: dict[str, Tensor], second: dict[str, Tensor]) -> Comparison:
    mine = {name: value for name, value in first.items() if name.startswith(prefix)}
    theirs = {name: value for name, value in second.items() if name.startswith(prefix)}
    differing = sorted(
        name
        for name in mine.keys() | theirs.keys()
        if name not in mine or name not in theirs or not _same_bits(mine[name], theirs[name])
    )
    size = sum(value.nbytes for value in mine.values())
    difference = f"{len(differing)} differ, the first is {differing[0]}" if differing else ""
    if not mine:
        difference = "there are none"
    return Comparison(what, f"{len(mine)} tensors, {size:,} bytes", difference)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _history(first: dict[str, dict[str, list[float]]], second: dict[str, dict[str, list[float]]]) -> Comparison:
    mine, theirs = first["history"], second["history"]
    extent = f"{len(mine)} series, {len(first['epoch'])} epochs"
    difference = "" if repr(first) == repr(second) else "the epochs or the names of the series differ"
    for name in sorted(mine.keys() & theirs.keys()):
        for epoch, (one, other) in enumerate(zip(mine[name], theirs[name], strict=False)):
            if repr(one) != repr(other):
                return Comparison("History", extent, f"{name} in epoch {epoch + 1}: {one!r} became {other!r}")
    return Comparison("History", extent, difference)


def compare_losses(plain: Sequence[Step], held: Sequence[Step]) -> Comparison:
    """Compares the losses step by step, those of steps trained twice too."""
    wanted = {one.step: one for one in plain}
    extent = f"{len(wanted)} steps, {len(held) - len({one.step for one in held})} of them trained twice"
    for one in held:
        other = wanted.get(one.step)
        if other is None or (one.epoch, one.batch, repr(one.loss)) != (
            other.epoch,
            other.batch,
            repr(other.loss),
        ):
            return Comparison("Loss of every step", extent, f"step {one.step}: {other} became {one}")
    missing = wanted.keys() - {one.step for one in held}
    return Comparison("Loss of every step", extent, f"step {min(missing)} is missing" if missing else "")
