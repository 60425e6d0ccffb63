"""How soon a killed training is back: from the call of `fit` to the end of the first resumed step.

Every figure is of a process of its own, `resumption.py`, and the variants take turns. Compared with: the same
program without a past, whose first step needs the model built and traced too, and the reading of the file
with the state by two threads into fresh memory. Cold is a file that is not in the system's page cache.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sections import Figure, Goal, Section

HERE: Final = Path(__file__).resolve().parent

TITLES: Final = {
    "plain": "no past: first step, and reading the file",
    "spool": "Holdfast, spool",
    "store": "Holdfast, folder store",
    "backup": "keras BackupAndRestore",
    "manager": "tf.train.CheckpointManager",
}
OURS: Final = ("spool", "store")
HEADS: Final = (
    "state, page cache, way",
    "first step s",
    "of plain",
    "build s",
    "read, verify s",
    "of reading",
    "assign s",
    "memory MB",
)
MOST: Final = 1.2
"""Goals: the largest share of the first step and the reading of the file, and of the reading alone."""


@dataclass(frozen=True, slots=True)
class Case:
    """A state of ``megabytes``, so many rounds, and whether the file is read from disk too."""

    megabytes: int
    rounds: int
    caches: tuple[str, ...] = ("warm", "cold")


QUICK: Final = (Case(30, 2, ("warm",)),)
FULL: Final = (Case(30, 3), Case(300, 3), Case(800, 3))

Samples = dict[str, list[dict[str, Any]]]
"""By variant, what its process said in each round."""


def section(quick: bool) -> Section:
    """Measures all cases."""
    rows: list[tuple[str, ...]] = []
    goals: list[Goal] = []
    raw: dict[str, Any] = {}
    for case in QUICK if quick else FULL:
        with tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            run("save", folder, case.megabytes)
            for cache in case.caches:
                found = measure(folder, case, cold=cache == "cold")
                where = f"{case.megabytes} MB, {cache}"
                rows += [row(where, variant, found) for variant in TITLES]
                goals += goals_of(where, found)
                raw[where] = found
    notes = (
        "Medians ± median absolute deviation. The first step counts from the call of `fit`, for the manager "
        "from its restore. *Of plain*: of the first step without a past and the reading of the file, *of "
        "reading*: of that reading alone, both in the same round.",
    )
    return Section("How soon a killed training is back", HEADS, rows, goals, notes, raw)


def measure(folder: Path, case: Case, *, cold: bool) -> Samples:
    """Rounds in which every variant has its turn, the first one another each time."""
    found: Samples = {variant: [] for variant in TITLES}
    variants = list(TITLES)
    for number in range(case.rounds):
        first = number % len(variants)
        for variant in variants[first:] + variants[:first]:
            for path in files(folder):
                (put_out_of_cache if cold else put_into_cache)(path)
            said = run(variant, folder, case.megabytes)
            assert variant == "plain" or said["resumed"], f"{variant} did not resume"
            found[variant].append(said)
    return found


def run(variant: str, folder: Path, megabytes: int) -> dict[str, Any]:
    """What a process of ``resumption.py`` says; of one that only saves, nothing.

    Raises:
        CalledProcessError: It failed; what it said of that is on standard error.
    """
    command = [sys.executable, str(HERE / "resumption.py"), variant, str(folder), str(megabytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr[-4000:])
        done.check_returncode()
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {}


def files(folder: Path) -> Iterator[Path]:
    """All that was saved."""
    return (path for path in folder.rglob("*") if path.is_file())


def put_out_of_cache(path: Path) -> None:
    """Has the system forget a file's pages."""
    with path.open("rb") as file:
        os.fsync(file.fileno())  # it keeps those that are still to be written
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def put_into_cache(path: Path) -> None:
    """Has the system have a file's pages at hand."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def ratios(found: Samples, variant: str) -> tuple[list[float], list[float]]:
    """Of each round, the share of plain first step and reading of the file, and of the reading alone."""
    pairs = list(zip(found[variant], found["plain"], strict=True))
    whole = [one["seconds"] / (plain["seconds"] + plain["read"]) for one, plain in pairs]
    return whole, [one.get("fetch", 0.0) / plain["read"] for one, plain in pairs]


def row(where: str, variant: str, found: Samples) -> tuple[str, ...]:
    """A variant's figures."""
    samples = found[variant]

    def figure(name: str) -> str:
        return Figure.of([one[name] for one in samples]).text(digits=2) if name in samples[0] else "-"

    whole, reading = ratios(found, variant)
    ours = variant in OURS
    return (
        f"{where}, {TITLES[variant]}",
        figure("seconds"),
        "-" if variant == "plain" else f"{statistics.median(whole):.2f}",
        figure("build"),
        figure("read" if variant == "plain" else "fetch"),
        f"{statistics.median(reading):.2f}" if ours else "-",
        figure("assign"),
        f"{statistics.median(one['memory'] for one in samples) / 1e6:.0f}",
    )


def goals_of(where: str, found: Samples) -> Sequence[Goal]:
    """Whether Holdfast reaches what it is to reach."""
    goals = []
    for variant in OURS:
        whole, reading = (statistics.median(one) for one in ratios(found, variant))
        place = f"{TITLES[variant]}; {where}"
        goals.append(
            Goal(
                f"first step in {whole:.2f} of one without a past and reading, at most {MOST} ({place})",
                whole <= MOST,
            )
        )
        goals.append(
            Goal(
                f"reading and verifying in {reading:.2f} of reading the file, at most {MOST} ({place})",
                reading <= MOST,
            )
        )
    return goals


if __name__ == "__main__":
    print(section("--quick" in sys.argv[1:]).markdown())
