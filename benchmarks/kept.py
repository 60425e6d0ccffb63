"""What grows with the checkpoints that a run keeps or ever made, and with its models and training calls.

In a folder store, with small checkpoints, so that what is per checkpoint is seen and not what is per byte.
What the daemon does is done by its own code in a process of its own. *Kept*: the store has so many, all of
which the policy keeps. *Made*: so many one after another, two minutes apart by their own time, under the
default policy. *Calls* and *models*: the journal that is part of every manifest, after so many.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from tqdm import tqdm

from filling import SESSION, fill
from holdfast.runtime.journal import Journal, Place, TrainingCall
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.names import Stem
from sections import Figure, Goal, Section

HERE: Final = Path(__file__).resolve().parent
KEPT: Final = {True: (10, 100, 999), False: (10, 100, 999, 9_999)}
"""The last ones fill the store's newest folder, which takes a thousand: the worst case for who lists it."""

MADE: Final = {True: (30, 100), False: (30, 100, 1000)}
CALLS: Final = (10, 100, 1000, 10_000)
SLOTS: Final = (10, 100, 1000, 2000)
DEFINITION: Final = {"optimizer": {"class": "Adam", "learning_rate": 0.001}, "loss": "mse"}

SEARCH_SECONDS: Final = 0.02
"""Grows up to a full folder of a thousand names, and no further."""

GROWTH: Final = 1.5
"""What is to be flat may be so many times what it is with the fewest."""

CPU_SECONDS: Final = 0.1
"""CPU that one upload may take with the most checkpoints: below a thousandth of the time between two."""

Found = dict[str, Any]


def section(quick: bool) -> Section:
    """Measures and tells."""
    kept, made = {}, {}
    with tqdm(total=len(KEPT[quick]) + len(MADE[quick]), unit="part") as bar:
        for count in KEPT[quick]:
            kept[count] = in_process("kept", count)
            bar.update()
        for count in MADE[quick]:
            made[count] = in_process("made", count)
            bar.update()
    calls = {f"{count:,} training calls of one model": journal_of(1, count) for count in CALLS}
    slots = {f"{count:,} models, trained once": journal_of(count, 1) for count in SLOTS}
    return told(kept, made, calls | slots)


def in_process(kind: str, count: int) -> Found:
    """One measurement, with a store of its own."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if kind == "kept":
            fill(folder / "store", "run", folder / "filling", count)
        command = [sys.executable, str(HERE / "kept_worker.py"), kind, str(folder), str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def journal_of(slots: int, calls: int) -> tuple[int, float]:
    """Bytes of the journal of so many slots with so many calls each, and the seconds that writing it takes."""
    journal = Journal()
    for place in range(slots):
        slot = journal.add("fingerprint", ("Sequential", "  Dense 32 64", "  Dense 64 1"), Place("cell", place))
        for number in range(calls):
            call = TrainingCall(DEFINITION, 1, 1, "done", milestone=Stem(1, number + 1, SESSION))
            slot.record(number, call)
    begun = time.perf_counter()
    size = len(to_json(journal.to_dict()))
    return size, time.perf_counter() - begun


def told(kept: dict[int, Found], made: dict[int, Found], journals: dict[str, tuple[int, float]]) -> Section:
    """The table."""
    rows: list[tuple[str, ...]] = []
    for kind, parts in (("kept", kept), ("made", made)):
        for count, one in parts.items():
            start = Figure.of(one["search"]).text(1000, 1) if "search" in one else ""
            learn = f"{one['learn'][0] * 1000:.0f}" if "learn" in one else ""
            rows.append(
                (
                    f"{count:,} {kind}",
                    start,
                    learn,
                    _figure(one, 0).text(1000, 1),
                    _figure(one, 1).text(1000, 1),
                    f"{one['rss'] / 1e6:.1f}",
                    f"{one['checkpoints']:,}",
                    f"{one['objects']:,}",
                    f"{one['spool'] / 1000:.0f}",
                )
            )
    rows += [
        (what, *[""] * 6, f"journal {size / 1000:.1f} kB", f"{took * 1000:.1f} ms")
        for what, (size, took) in journals.items()
    ]
    many = max(kept)
    search = Figure.of(kept[many]["search"]).median
    cpu = _figure(kept[many], 1).median
    last, first = (_figure(made[count], 1).median for count in (max(made), min(made)))
    goals = [
        Goal(
            f"start()'s search with {many:,} checkpoints takes {search * 1000:.1f} ms (to be <= 20)",
            search <= SEARCH_SECONDS,
        ),
        Goal(
            f"after {max(made):,} uploads one takes {last / first:.2f} times the CPU of one after {min(made)} "
            f"(to be <= {GROWTH})",
            last <= GROWTH * first,
        ),
        Goal(
            f"with {many:,} checkpoints kept an upload takes {cpu * 1000:.0f} ms of CPU (to be <= 100)",
            cpu <= CPU_SECONDS,
        ),
    ]
    notes = [
        "Search: the newest claim, and the newest checkpoint opened, as start() does it: of however many "
        "it lists one folder of at most a thousand names. Learning: what a "
        "daemon does once, when it begins. An upload: from the spool to a confirmed checkpoint with "
        "retention, synced to the disk. The journal, which is part of every manifest, remembers "
        "200 calls of a model and 1,000 models, so that it stops growing."
    ]
    raw = {
        "kept": {str(count): one for count, one in kept.items()},
        "made": {str(count): one for count, one in made.items()},
        "journals": journals,
    }
    heads = (
        "checkpoints",
        "search, ms",
        "learning, ms",
        "an upload, ms",
        "CPU of it, ms",
        "RSS, MB",
        "in the store",
        "objects",
        "spool, kB",
    )
    return Section("Many checkpoints", heads, rows, goals, notes, raw)


def _figure(one: Found, place: int) -> Figure:
    """Of the last uploads' seconds, or of their CPU seconds."""
    return Figure.of([pair[place] for pair in one["uploads"]])


def main(quick: Annotated[bool, typer.Option("--quick", help="Up to 1,000 checkpoints.")] = False) -> None:
    """Prints the section by itself."""
    sys.stdout.write(section(quick).markdown())


if __name__ == "__main__":
    typer.run(main)
