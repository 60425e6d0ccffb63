"""What Holdfast takes of a whole training at default settings: with it and without it, by turns.

Two processes train the same model, one of them followed by Holdfast. They take turns of as long as two
snapshots are apart by default, and only one of them works at a time. Each of the followed one's turns is
compared with the mean of the two around it, so that what changes steadily on the machine cancels.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tqdm import tqdm

from holdfast.runtime.settings_table import Settings
from sections import Figure, Goal, Section

HERE: Final = Path(__file__).resolve().parent
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


class Worker:
    """A training that goes on when it is told."""

    def __init__(self, role: str, megabytes: int, folder: Path) -> None:
        self._log = folder / f"{role}.log"
        self._errors = open(self._log, "w", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "steady.py"), role, str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._read()  # the first step is done

    def train(self, seconds: float) -> dict[str, Any]:
        """Trains for about so long.

        Raises:
            RuntimeError: The process ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"a training ended: {self._log.read_text(encoding='utf-8')[-4000:]}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
        self._errors.close()


def section(quick: bool) -> Section:
    """Measures it."""
    megabytes, turns, seconds = QUICK if quick else (MEGABYTES, TURNS, SECONDS)
    with (
        tempfile.TemporaryDirectory() as name,
        Worker("alone", megabytes, Path(name)) as alone,
        Worker("followed", megabytes, Path(name)) as followed,
    ):
        followed.train(seconds)  # its schedule learns what a snapshot costs
        without, with_it = [_turn(alone, seconds)], []
        for _ in tqdm(range(turns), desc="overhead", unit="turn", leave=False):
            with_it.append(_turn(followed, seconds))
            without.append(_turn(alone, seconds))
    return evaluate(megabytes, without, with_it, judged=not quick)


def _turn(worker: Worker, seconds: float) -> dict[str, Any]:
    os.sync()
    return worker.train(seconds)


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
