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
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from about import WIDTH, about_machine
from told_worker import ToldWorker

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


def main(
    only: Annotated[str, typer.Option(help="The one kind of call to measure.")] = "",
    rounds: Annotated[int, typer.Option(help="Pairs of rounds of each kind.")] = 12,
    calls: Annotated[int, typer.Option(help="Calls of a round.")] = 30,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = HERE / "out",
) -> None:
    """Measures every kind of call, and writes calls.json."""
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ends:
        folder = ends.enter_context(tempfile.TemporaryDirectory())
        workers = {
            role: ends.enter_context(ToldWorker(Path(folder), "tiny.py", role, folder)) for role in ROLES
        }
        found = {kind: measured(workers, kind, rounds, calls) for kind in KINDS if only in ("", kind)}
        (wrappers,) = workers["followed"].ask(("wrappers", 5_000))
    result = {"machine": about_machine(), "calls": found, "wrappers": wrappers}
    (out / "calls.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    show(found, wrappers)


def measured(workers: dict[str, ToldWorker], kind: str, rounds: int, calls: int) -> dict[str, Any]:
    """Medians of the rounds of one kind, in microseconds, and of what a pair differs by."""
    for worker in workers.values():
        worker.ask((kind, calls))
    medians: dict[str, list[list[float]]] = {role: [] for role in ROLES}
    for place in range(rounds):
        for role in ROLES if place % 2 else reversed(ROLES):
            (times,) = workers[role].ask((kind, calls))
            columns = zip(*times, strict=True)
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
