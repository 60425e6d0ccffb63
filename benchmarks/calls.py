"""What the runtime costs tiny calls: with it and without it, by turns, and its wrappers by themselves.

Two processes with the same small model, one of which has the runtime. They take turns, a round of calls each,
and only one works at a time, so that what else happens on the machine strikes both alike; every difference
is that of one pair of rounds. A round is told by the median of its calls, a benchmark by that of its pairs.
Beside the time there is the CPU time of the calling thread, where all that is the runtime's in a call happens,
and which tells more on a machine that has other things to do.

The wrappers are timed around functions that do nothing, since their microseconds vanish in Keras' milliseconds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from about import WIDTH, about_machine

HERE: Final = Path(__file__).resolve().parent
ROLES: Final = ("alone", "followed")
CLOCKS: Final = ("time", "CPU")
WORDS: Final = ("alone", "followed", "more", "quartiles")
KINDS: Final = {
    "fit": 1000.0,
    "predict": 50.0,
    "evaluate": 50.0,
    "train_on_batch": 50.0,
    "call": 50.0,
    "layer": 5.0,
}
"""Kinds of calls, and the microseconds that each may cost more."""


class Worker:
    """A process that makes calls when it is told."""

    def __init__(self, role: str, folder: Path) -> None:
        self._log = open(folder / f"{role}.log", "w", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "tiny.py"), role, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, kind: str, count: int) -> Any:
        """The answer to an order: seconds and CPU seconds of a round's calls, or wrappers' costs by name."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([kind, count]) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("["):
                return json.loads(line)[0]
        raise SystemExit(Path(self._log.name).read_text(encoding="utf-8")[-4000:])

    def end(self) -> None:
        """Has it end, and waits for that."""
        self._process.communicate()
        self._log.close()


def main(
    only: Annotated[str, typer.Option(help="The one kind of call to measure.")] = "",
    rounds: Annotated[int, typer.Option(help="Pairs of rounds of each kind.")] = 12,
    calls: Annotated[int, typer.Option(help="Calls of a round.")] = 30,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = HERE / "out",
) -> None:
    """Measures every kind of call, and writes calls.json."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        workers = {role: Worker(role, Path(folder)) for role in ROLES}
        try:
            found = {kind: measured(workers, kind, rounds, calls) for kind in KINDS if only in ("", kind)}
            wrappers = workers["followed"].ask("wrappers", 5_000)
        finally:
            for worker in workers.values():
                worker.end()
    result = {"machine": about_machine(), "calls": found, "wrappers": wrappers}
    (out / "calls.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    show(found, wrappers)


def measured(workers: dict[str, Worker], kind: str, rounds: int, calls: int) -> dict[str, Any]:
    """Medians of the rounds of one kind, in microseconds, and of what a pair differs by."""
    for worker in workers.values():
        worker.ask(kind, calls)
    medians: dict[str, list[list[float]]] = {role: [] for role in ROLES}
    for place in range(rounds):
        for role in ROLES if place % 2 else reversed(ROLES):
            columns = zip(*workers[role].ask(kind, calls), strict=True)
            medians[role].append([statistics.median(column) * 1e6 for column in columns])
    found: dict[str, Any] = {"pairs": medians}
    for place, clock in enumerate(CLOCKS):
        alone, followed = ([pair[place] for pair in medians[role]] for role in ROLES)
        more = [two - one for one, two in zip(alone, followed, strict=True)]
        found[clock] = {
            "alone": statistics.median(alone),
            "followed": statistics.median(followed),
            "more": statistics.median(more),
            "quartiles": statistics.quantiles(more, n=4)[::2],
        }
    return found


def show(found: dict[str, Any], wrappers: dict[str, float]) -> None:
    """Prints two tables."""
    table = Table("call, µs", *(f"{clock}: {word}" for clock in CLOCKS for word in WORDS), "may be")
    for kind, one in found.items():
        cells = [f"{one[clock][word]:.0f}" for clock in CLOCKS for word in WORDS[:-1]]
        for place, clock in enumerate(CLOCKS):
            low, high = one[clock]["quartiles"]
            cells.insert((place + 1) * len(WORDS) - 1, f"{low:.0f} to {high:.0f}")
        table.add_row(kind, *cells, f"{KINDS[kind]:.0f}")
    Console(width=WIDTH).print(table)
    table = Table("wrapper", "ns a call")
    for name, seconds in wrappers.items():
        table.add_row(name, f"{seconds * 1e9:.0f}")
    Console(width=WIDTH).print(table)


if __name__ == "__main__":
    typer.run(main)
