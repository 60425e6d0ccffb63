"""What the runtime takes beside the training: the daemon's memory and CPU, and what the kernel has more.

The daemon idle, beside a real kernel that does nothing and then trains at default settings; the most memory
it has resident while it uploads states of several sizes, handed over by a process without TensorFlow. RSS
counts pages that are shared with other processes, such as Python's own; USS is what would be free if the
process ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer
from tqdm import tqdm

from sections import Goal, Section

HERE: Final = Path(__file__).resolve().parent
STATES: Final = {True: (30, 300), False: (30, 300, 1000)}
"""MB, in a quick run and in a full one."""

IDLE_SECONDS: Final = {True: 15.0, False: 60.0}
TRAINING_SECONDS: Final = {True: 30.0, False: 180.0}
"""Two snapshots, or at default settings some and a checkpoint."""

SETTLE_SECONDS: Final = 3.0
"""From the daemon's start until it has come to rest."""

LOOK_SECONDS: Final = 0.02
RESIDENT_BYTES: Final = 60e6
IDLE_SHARE: Final = 0.01


class Kernel:
    """A process of `footprint_kernel`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        command = [sys.executable, str(HERE / "footprint_kernel.py"), str(folder), str(megabytes)]
        self._log = open(folder / "kernel.log", "w", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=folder
        )
        self.opened = self.answer()
        self.daemon = psutil.Process(self.opened["daemon"])

    def tell(self, order: str) -> None:
        """Sends a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Waits for the next answer."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit(Path(self._log.name).read_text(encoding="utf-8")[-4000:])

    def ask(self, order: str) -> dict[str, Any]:
        """Both."""
        self.tell(order)
        return self.answer()

    def end(self) -> None:
        """Has it end, and its daemon, whose work nobody wants."""
        with suppress(psutil.Error):
            self.daemon.kill()
        self._process.kill()
        self._process.communicate()
        self._log.close()


@contextmanager
def kernel(megabytes: int) -> Iterator[Kernel]:
    """A kernel with files of its own."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name:
        made = Kernel(Path(name), megabytes)
        try:
            yield made
        finally:
            made.end()


def busy(process: psutil.Process) -> float:
    """CPU seconds of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def memory(process: psutil.Process) -> dict[str, float]:
    """What it takes now; bytes."""
    full = process.memory_full_info()
    return {"rss": full.rss, "uss": full.uss, "threads": process.num_threads(), "fds": process.num_fds()}


def most_resident(process: psutil.Process) -> int:
    """The most that the process has had resident, in bytes, as the system has noted it."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmHWM")


def daemon_and_kernel(idle: float, training: float, step: Any) -> dict[str, Any]:
    """A real kernel: what it has more, what its daemon takes, idle and while it trains."""
    with kernel(0) as one:
        time.sleep(SETTLE_SECONDS)
        step()
        found: dict[str, Any] = {"kernel": one.opened, "daemon": memory(one.daemon)}
        for name, seconds in (("idle", idle), ("training", training)):
            cpu, look, begun = busy(one.daemon), one.ask("look"), time.monotonic()
            if name == "training":
                one.ask(f"train {seconds}")
            else:
                time.sleep(seconds)
            took = time.monotonic() - begun
            found[name] = {
                "daemon": (busy(one.daemon) - cpu) / took,
                "kernel": (one.ask("look")["cpu"] - look["cpu"]) / took,
                **memory(one.daemon),
            }
            step()
        return found


def uploading(megabytes: int) -> dict[str, float]:
    """The daemon over the upload of a state, twice, since the second finds memory in use."""
    with kernel(megabytes) as one:
        time.sleep(SETTLE_SECONDS)
        before, cpu = memory(one.daemon), busy(one.daemon)
        unique = 0.0
        for _ in range(2):
            one.tell("snapshot")
            confirmed = _watched(one)
            unique = max(unique, confirmed)
        return {
            "rss": most_resident(one.daemon),
            "uss": unique,
            "rss after": memory(one.daemon)["rss"],
            "rss before": before["rss"],
            "cpu": (busy(one.daemon) - cpu) / 2,
        }


def _watched(one: Kernel) -> float:
    """The most USS seen until the kernel has its answer."""
    import threading

    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(one.answer()), name="bench-answer")
    waiting.start()
    most = 0.0
    while waiting.is_alive():
        most = max(most, memory(one.daemon)["uss"])
        waiting.join(LOOK_SECONDS)
    if not answers[0]["confirmed"]:
        raise SystemExit("the state was not uploaded")
    return most


def section(quick: bool) -> Section:
    """Measures and tells."""
    with tqdm(total=3 + len(STATES[quick]), unit="part") as bar:
        found = daemon_and_kernel(IDLE_SECONDS[quick], TRAINING_SECONDS[quick], bar.update)
        uploads = {}
        for megabytes in STATES[quick]:
            uploads[megabytes] = uploading(megabytes)
            bar.update()
    return told(found, uploads)


def told(found: dict[str, Any], uploads: dict[int, dict[str, float]]) -> Section:
    """The table."""

    def mb(value: float) -> str:
        return f"{value / 1e6:.1f}"

    def share(value: float) -> str:
        return f"{100 * value:.2f} %"

    opened, before = found["kernel"], found["kernel"]["before"]
    rows = [
        ("daemon, kernel does nothing", *_memory(found["idle"]), share(found["idle"]["daemon"])),
        ("daemon, kernel trains", *_memory(found["training"]), share(found["training"]["daemon"])),
    ]
    rows += [
        (f"daemon, most while {size} MB go up", mb(one["rss"]), mb(one["uss"]), "", "", f"{one['cpu']:.2f} s")
        for size, one in uploads.items()
    ]
    extra = [opened[name] - before[name] for name in ("rss", "threads", "fds")]
    rows += [
        (
            "kernel, more after start()",
            mb(extra[0]),
            "",
            str(extra[1]),
            str(extra[2]),
            share(found["idle"]["kernel"]),
        ),
        ("kernel, while it trains", "", "", "", "", share(found["training"]["kernel"])),
    ]
    most = max([found["idle"]["rss"], found["training"]["rss"], *(one["rss"] for one in uploads.values())])
    idle = found["idle"]
    goals = [
        Goal(
            f"the daemon with a folder store has {mb(idle['rss'])} MB resident when idle (to be <= 60)",
            idle["rss"] <= RESIDENT_BYTES,
        ),
        Goal(f"it never has more than {mb(most)} MB (to be <= 60)", most <= RESIDENT_BYTES),
        Goal(f"idle it takes {share(idle['daemon'])} of a core (to be <= 1 %)", idle["daemon"] <= IDLE_SHARE),
    ]
    notes = [
        "CPU is a share of one core over the time watched, or the seconds of one upload. The kernel's is that "
        f"of the threads which start() begins: {', '.join(opened['ours'])}. The training's steps are short and "
        "mostly wait, so that nothing else is on the core."
    ]
    raw = {"kernel and daemon": found, "uploads": {str(size): one for size, one in uploads.items()}}
    heads = ("what", "RSS, MB", "USS, MB", "threads", "open files", "CPU")
    return Section("Footprint", heads, rows, goals, notes, raw)


def _memory(one: dict[str, float]) -> tuple[str, str, str, str]:
    return f"{one['rss'] / 1e6:.1f}", f"{one['uss'] / 1e6:.1f}", f"{one['threads']:.0f}", f"{one['fds']:.0f}"


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter looks, smaller states.")] = False,
) -> None:
    """Prints the section by itself."""
    sys.stdout.write(section(quick).markdown())


if __name__ == "__main__":
    typer.run(main)
