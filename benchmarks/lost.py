"""The work that is lost when a kernel is killed, and when the machine is.

A small Keras model trains in a process of its own and notes each step in a file. It is killed by SIGKILL at a
random moment, a new process goes on, is killed in its turn, and so on. Lost is what the killed one had
trained after the place from which the next one went on: in steps by the optimizer's own count, and in seconds
from the end of the last step that was kept to the kill. Two trainings run at a time, each of which mostly
waits.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer
from tqdm import tqdm

from holdfast.runtime.settings import Settings
from lost_worker import EPOCH_STEPS, SAVE_STEPS
from sections import Figure, Goal, Section

HERE: Final = Path(__file__).resolve().parent
LEAST_SECONDS: Final = 20.0
"""Training before a kill, so that it could have lost more than is allowed."""

MOST_SECONDS: Final = 45.0
LIMIT_SECONDS: Final = 15.0
SEED: Final = 7
LOOK_SECONDS: Final = 0.2
PERSIST_SECONDS: Final = 10.0
"""Of the training whose machine is lost: by default it is 120 s, which would take long to measure."""

SPOOL_SECONDS: Final = 2.0
"""Between two snapshots there, of which the newest goes up."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to be saved from a kill.

    Attributes:
        name: What the table calls it.
        worker: What `lost_worker` calls it.
        kills: In a quick run, and in a full one.
        settings: Holdfast's, beside the defaults.
        machine: Whether the machine is lost: the daemon and all that is local too.
    """

    name: str
    worker: str
    kills: tuple[int, int]
    settings: tuple[tuple[str, float], ...] = ()
    machine: bool = False


DEFAULTS: Final = Way("Holdfast at default settings, the kernel is killed", "holdfast", (2, 8))
MACHINE: Final = Way(
    f"Holdfast, persist_seconds {PERSIST_SECONDS:g}, snapshot_seconds {SPOOL_SECONDS:g}, the machine is lost",
    "holdfast",
    (1, 4),
    (("persist_seconds", PERSIST_SECONDS), ("snapshot_seconds", SPOOL_SECONDS)),
    machine=True,
)
WAYS: Final = (
    DEFAULTS,
    Way(f"BackupAndRestore at each epoch of {EPOCH_STEPS} steps, the kernel is killed", "epochs", (1, 4)),
    Way(f"BackupAndRestore every {SAVE_STEPS} steps, the kernel is killed", "steps", (1, 4)),
    MACHINE,
)


@dataclass(frozen=True, slots=True)
class Loss:
    """What one kill lost.

    Attributes:
        trained: Seconds that the killed process had trained.
        steps: Steps after the place from which the next one went on.
        seconds: From the end of the last step that was kept to the kill.
    """

    trained: float
    steps: int
    seconds: float


@dataclass(slots=True)
class Part:
    """What one process trained.

    Attributes:
        begun: Unix time of its first step in seconds.
        start: The optimizer's steps before that.
        ends: Unix times of the steps' ends, the first that of ``start + 1``.
    """

    begun: float
    start: int
    ends: list[float]


def parts_of(path: Path) -> list[Part]:
    """What the processes of a training have noted, one after another; of a line cut short nothing."""
    found: list[Part] = []
    for line in path.read_text(encoding="ascii").splitlines(keepends=True) if path.exists() else ():
        match line.split():
            case ["from", count, at] if line.endswith("\n"):
                found.append(Part(float(at), int(count), []))
            case [at] if line.endswith("\n"):
                found[-1].ends.append(float(at))
    return found


def loss_of(killed: Part, at: float, resumed_from: int) -> Loss:
    """What a kill at that time lost, the next process having gone on after so many steps.

    Raises:
        ValueError: The next one went on after a step that the killed one has not noted.
    """
    kept = resumed_from - killed.start
    if kept > len(killed.ends):
        raise ValueError(f"went on from step {resumed_from}, which nobody has trained")
    # Before the killed process's own beginning: all that it trained is lost, and more of the one before.
    last_kept = killed.ends[kept - 1] if kept > 0 else killed.begun
    return Loss(at - killed.begun, len(killed.ends) - kept, at - last_kept)


class Training:
    """One training of one way, begun, killed and gone on with."""

    def __init__(self, way: Way, folder: Path) -> None:
        self.way, self.folder = way, folder
        folder.mkdir()
        self.steps = folder / "steps"
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, number: int) -> Part:
        """Starts a process and waits for its first step to have ended."""
        settings = json.dumps(dict(self.way.settings))
        command = [sys.executable, str(HERE / "lost_worker.py"), self.way.worker, str(self.folder), settings]
        log = self.folder / "worker.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)
        while True:
            parts = parts_of(self.steps)
            if len(parts) > number and parts[number].ends:
                return parts[number]
            if self._process.poll() is not None:
                raise SystemExit(log.read_text(encoding="utf-8")[-4000:])
            time.sleep(LOOK_SECONDS)

    def kill(self) -> float:
        """Kills the process, and where that is wanted takes all that is local; returns when."""
        assert self._process is not None
        daemons = self._daemons() if self.way.machine else []
        at = time.time()
        self._process.kill()
        for daemon in daemons:
            with contextlib.suppress(psutil.Error):
                daemon.kill()
        self._process.wait()
        for daemon in daemons:
            with contextlib.suppress(psutil.Error):
                daemon.wait()
        if self.way.machine:
            shutil.rmtree(self.folder / "spool")
        return at

    def end(self) -> None:
        """Leaves nothing running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for daemon in self._daemons():
            with contextlib.suppress(psutil.Error):
                daemon.kill()
                daemon.wait()

    def _daemons(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "holdfast.runtime.daemon" in words and words[-1].startswith(str(self.folder)):
                found.append(process)
        return found


def losses(way: Way, kills: int, folder: Path, step: Any) -> list[Loss]:
    """What each of so many kills of one training lost."""
    training, chance, found = Training(way, folder), random.Random(f"{SEED} {way.name}"), []
    try:
        training.begin(0)
        for number in range(kills):
            wait = chance.uniform(LEAST_SECONDS, MOST_SECONDS)
            time.sleep(max(0.0, parts_of(training.steps)[number].begun + wait - time.time()))
            at = training.kill()
            killed = parts_of(training.steps)[number]
            found.append(loss_of(killed, at, training.begin(number + 1).start))
            step()
    finally:
        training.end()
    return found


def section(quick: bool) -> Section:
    """Measures and tells."""
    kills = {way: way.kills[0 if quick else 1] for way in WAYS}
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name,
        tqdm(total=sum(kills.values()), unit="kill") as bar,
        ThreadPoolExecutor(2, thread_name_prefix="bench-lost") as pool,
    ):
        begun = [
            pool.submit(losses, way, count, Path(name) / str(place), bar.update)
            for place, (way, count) in enumerate(kills.items())
        ]
        found = {way: one.result() for way, one in zip(kills, begun, strict=True)}
    return told(found)


def told(found: dict[Way, list[Loss]]) -> Section:
    """The table."""
    rows = []
    for way, lost in found.items():
        seconds, steps = Figure.of([one.seconds for one in lost]), Figure.of([one.steps for one in lost])
        rows.append(
            (
                way.name,
                str(len(lost)),
                seconds.text(digits=1),
                f"{max(one.seconds for one in lost):.1f}",
                steps.text(),
                str(max(one.steps for one in lost)),
            )
        )
    most = max(one.seconds for one in found[DEFAULTS])
    interval = Settings().snapshot_seconds
    machine = max(one.seconds for one in found[MACHINE])
    allowed = PERSIST_SECONDS + SPOOL_SECONDS
    goals = [
        Goal(f"a killed kernel loses at most {most:.1f} s (to be <= {LIMIT_SECONDS:g})", most <= LIMIT_SECONDS),
        Goal(f"that is no more than one interval of snapshots ({interval:g} s)", most <= interval),
        Goal(
            f"a lost machine loses at most {machine:.1f} s (to be <= {allowed:g}, persist_seconds and one "
            "interval of snapshots, beside the upload)",
            machine <= allowed,
        ),
    ]
    notes = [
        f"Killed after {LEAST_SECONDS:g} to {MOST_SECONDS:g} s of training each time (seed {SEED}). Steps take "
        "some 10 ms and mostly wait. What BackupAndRestore keeps in mid-epoch is weights, not the place in the "
        "data: with every 500 steps it begins the epoch anew, which this table does not count as lost."
    ]
    raw = {way.name: [asdict(one) for one in lost] for way, lost in found.items()}
    heads = ("what", "kills", "lost, s", "at most", "lost, steps", "at most")
    return Section("Work lost", heads, rows, goals, notes, raw)


def main(quick: Annotated[bool, typer.Option("--quick", help="A kill or two of each.")] = False) -> None:
    """Prints the section by itself."""
    sys.stdout.write(section(quick).markdown())


if __name__ == "__main__":
    typer.run(main)
