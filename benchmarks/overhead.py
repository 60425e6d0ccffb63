"""What Holdfast takes of a whole training at default settings: with it and without it, by turns.

Two processes train the same model, one of them followed by Holdfast. They take turns of as long as two
snapshots are apart by default, and only one of them works at a time. Each of the followed one's turns is
compared with the mean of the two around it, so that what changes steadily on the machine cancels.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from holdfast.runtime.settings_table import Settings
from sections import Figure, Goal, Section
from told_worker import ToldWorker

SCRIPT: Final = "steady.py"
SHARE: Final = 0.01
"""Goal: the largest share of the training's time."""

MEGABYTES: Final = 300
TURNS: Final = 6
SECONDS: Final = 2 * Settings().snapshot_seconds
QUICK: Final = (30, 2, 5.0)
"""The same three for a quick look, in which there may be no snapshot at all."""

NOTE: Final = (
    "Time of a step in ms, the mean of each turn. Held up: the share of the time by which steps took longer "
    "than the turn's median step, which has what snapshots and uploads cost, and less of the machine's noise."
)


def section(quick: bool) -> Section:
    """Measures it."""
    megabytes, turns, seconds = QUICK if quick else (MEGABYTES, TURNS, SECONDS)
    with (
        tempfile.TemporaryDirectory() as name,
        ToldWorker(Path(name), SCRIPT, "alone", megabytes) as alone,
        ToldWorker(Path(name), SCRIPT, "followed", megabytes) as followed,
    ):
        for worker in (alone, followed):
            worker.answer()  # the first step is done
        followed.ask(seconds)  # its schedule learns what a snapshot costs
        without, with_it = [_turn(alone, seconds)], []
        for _ in tqdm(range(turns), desc="overhead", unit="turn", leave=False):
            with_it.append(_turn(followed, seconds))
            without.append(_turn(alone, seconds))
    return evaluate(megabytes, without, with_it, judged=not quick)


def _turn(worker: ToldWorker, seconds: float) -> dict[str, Any]:
    os.sync()
    times: dict[str, Any] = worker.ask(seconds)
    return times


def evaluate(
    megabytes: int, without: Sequence[dict[str, Any]], with_it: Sequence[dict[str, Any]], *, judged: bool
) -> Section:
    """The section; ``without`` has one turn more. Pure."""
    alone, followed = (_means(turns) for turns in (without, with_it))
    around = [statistics.mean(pair) for pair in itertools.pairwise(alone)]
    every = [one / base - 1 for one, base in zip(followed, around, strict=True)]
    more = Figure.of(every)
    held = {name: Figure.of(_held(turns)) for name, turns in (("alone", without), ("followed", with_it))}
    snapshots, stored = (sum(turn[what] for turn in with_it) for what in ("snapshots", "stored"))
    rows = [
        ("alone", Figure.of(alone).text(1e3, 1), f"{held['alone'].text(1e2, 2)} %", "", ""),
        (
            "followed",
            Figure.of(followed).text(1e3, 1),
            f"{held['followed'].text(1e2, 2)} %",
            f"{snapshots}",
            f"{stored / 1e6:.0f}",
        ),
        (
            "more",
            f"{more.text(1e2, 2)} %",
            f"{(held['followed'].median - held['alone'].median) * 1e2:.2f} %",
            "",
            "",
        ),
    ]
    # That all of n independent turns lie on one side of the true median has the probability 2 ** (1 - n).
    sure = f"{min(every):.2%} to {max(every):.2%} with {1 - 2 ** (1 - len(every)):.0%} confidence"
    text = f"{more.median:.2%} of the time ({sure}), at most {SHARE:.0%}"
    goals = [Goal(text, more.median <= SHARE)] if judged else []
    notes = [NOTE] if judged else [NOTE, "Too short to tell how often snapshots and uploads come."]
    return Section(
        f"Overhead of a training at default settings, {megabytes} MB of state",
        ("training", "step", "held up", "snapshots", "stored MB"),
        rows,
        goals,
        notes,
        {"without": list(without), "with": list(with_it)},
    )


def _means(turns: Sequence[dict[str, Any]]) -> list[float]:
    return [statistics.mean(turn["times"]) for turn in turns]


def _held(turns: Sequence[dict[str, Any]]) -> list[float]:
    return [1 - statistics.median(turn["times"]) * len(turn["times"]) / sum(turn["times"]) for turn in turns]
