"""How long it takes to import the runtime, to start it, and to start the command ``holdfast``.

Every measurement is a fresh process, and the kinds take turns, so that what else happens on the machine
strikes all alike. What a bare interpreter takes is measured beside the commands. Files are in the page cache,
as after a first start: the very first import on a machine reads them from its disk, and takes longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer
from tqdm import tqdm

from filling import fill
from sections import Figure, Goal, Section

HERE: Final = Path(__file__).resolve().parent
COUNTS: Final = {True: (1, 100), False: (1, 100, 1000)}
"""Checkpoints in the store at a restart: in a quick run, and in a full one."""

ROUNDS: Final = {True: 3, False: 9}
GROWTH: Final = 1.5
"""A restart with the most checkpoints takes at most so many times what it takes with one."""

COMMANDS: Final = {
    "python -c pass": ["-c", "pass"],
    "holdfast --help": ["-m", "holdfast.runtime.cli", "--help"],
    "holdfast runs": ["-m", "holdfast.runtime.cli", "runs"],
}


@dataclass
class Times:
    """Seconds by name, one value a round."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, found: dict[str, float]) -> None:
        """Those of one round."""
        for name, seconds in found.items():
            self.values.setdefault(name, []).append(seconds)

    def figure(self, name: str) -> Figure:
        """Of one name; what did not happen took nothing."""
        return Figure.of(self.values.get(name, [0.0]))


def section(quick: bool) -> Section:
    """Measures and tells."""
    counts, rounds = COUNTS[quick], ROUNDS[quick]
    kinds = ["import", "import-tf", "start", "start-tf", "load_ext", *(f"restart {count}" for count in counts)]
    times = {kind: Times() for kind in (*kinds, *COMMANDS)}
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name,
        tqdm(total=(len(times)) * (rounds + 1), unit="process") as bar,
    ):
        folder = Path(name)
        for count in counts:
            fill(folder / f"restart {count}" / "store", "run", folder / f"restart {count}" / "filling", count)
        for number in range(rounds + 1):
            for kind, one in times.items():
                bar.set_description(kind)
                found = in_process(kind, folder, number)
                if number:  # the first round fills the page cache
                    one.add(found)
                bar.update()
    return told(times, counts)


def in_process(kind: str, folder: Path, number: int) -> dict[str, float]:
    """One measurement."""
    if kind in COMMANDS:
        environment = os.environ | {"HOLDFAST_STORE": str(folder / "restart 1" / "store")}
        begin = time.perf_counter()
        subprocess.run([sys.executable, *COMMANDS[kind]], env=environment, check=True, capture_output=True)
        return {"whole": time.perf_counter() - begin}
    again = kind.startswith("restart")
    own = folder / (kind if again else f"{kind}-{number}")
    own.mkdir(exist_ok=True)
    command = [sys.executable, str(HERE / "starting_worker.py"), "start" if again else kind, str(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=own)
    if done.returncode:
        sys.stderr.write(done.stderr[-4000:])
        raise subprocess.CalledProcessError(done.returncode, command)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if pid := int(found.pop("pid", 0)):
        with suppress(psutil.Error):  # the daemon ends by itself, and is not to take the next one's cores
            psutil.Process(pid).wait()
    return found


def told(times: dict[str, Times], counts: tuple[int, ...]) -> Section:
    """The table."""

    def row(what: str, kind: str, name: str) -> tuple[str, str]:
        return what, times[kind].figure(name).text(1000, 1)

    rows = [
        row("import colab_bootstrap", "import", "import"),
        row("the same, TensorFlow being imported", "import-tf", "import"),
        *_parts("first run", times["start"]),
        *_parts("first run, TensorFlow being imported", times["start-tf"]),
        row("start() once more in the same process", "start-tf", "rerun"),
        row("stop()", "start-tf", "stop"),
        row("%load_ext colab_bootstrap, import and start together", "load_ext", "load_ext"),
    ]
    for count in counts:
        rows += _parts(f"restart, {count:,} checkpoints in the store", times[f"restart {count}"])
    rows += [row(command, command, "whole") for command in COMMANDS]
    few, many = (times[f"restart {count}"].figure("start").median for count in (counts[0], counts[-1]))
    imported = times["import"].figure("import").median
    goals = [
        Goal(
            f"import colab_bootstrap takes {imported * 1000:.1f} ms (to be <= 20 ms) and does not import "
            "TensorFlow",
            imported <= 0.02 and not any(times["import"].values["tensorflow"]),
        ),
        Goal(
            f"start() with {counts[-1]:,} checkpoints takes {many / few:.2f} times what it takes with one "
            f"(to be <= {GROWTH})",
            many <= GROWTH * few,
        ),
    ]
    raw = {kind: one.values for kind, one in times.items()}
    notes = [
        "Fresh processes, files in the page cache, store and spool on the local disk. *Imports* are those of "
        "Holdfast's own modules and of what they need, NumPy among it, on the first start of a process. "
        "*Patches* are those of Keras' training, put in at the start or at Keras' import. The daemon's process "
        "is made within start(); that it is up is not waited for."
    ]
    return Section("Starting", ("what", "ms"), rows, goals, notes, raw)


def _parts(what: str, times: Times) -> Iterator[tuple[str, str]]:
    total = [sum(pair) for pair in zip(times.values["hooks"], times.values["start"], strict=True)]
    yield f"start(), {what}", Figure.of(total).text(1000, 1)
    names = {
        "hooks": "imports",
        "claim": "claim",
        "search": "search",
        "daemon": "daemon",
        "patches": "patches",
        "adopt": "a look for models and variables made before",
    }
    for name, word in names.items():
        if name in times.values:
            yield f"… {word}", times.figure(name).text(1000, 1)


def main(quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, small stores.")] = False) -> None:
    """Prints the section by itself."""
    sys.stdout.write(section(quick).markdown())


if __name__ == "__main__":
    typer.run(main)
