"""Runs cases, each in processes of its own, and ends them with real signals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras  # noqa: F401 - here and not in each process
import psutil
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import colab_bootstrap
from helpers.forks import Part, work_through
from holdfast.hooks.handle import Handle
from holdfast.runtime import report
from resuming.cases import CASES, KINDS, Case, Kind, Work
from resuming.programs import PROGRAMS
from resuming.seen import Seen


class User:
    """Runs programs, as cells of a notebook or as a script, under Holdfast or alone.

    Args:
        folder: Holds store and spool, and what the programs come to.
        notebook: Whether there is an IPython that runs cells.
        followed: Whether Holdfast is started.
    """

    def __init__(self, folder: Path, *, notebook: bool, followed: bool = True) -> None:
        self.folder, self.said, self.seen = folder, list[str](), Seen()
        self.shell: Any = None
        if notebook:
            config = Config(HistoryManager={"enabled": False}, InteractiveShell={"xmode": "Minimal"})
            self.shell = InteractiveShell.instance(config=config)
        self.handle: Handle | None = None
        if followed:
            report.speak_through(self.said.append)
            self.handle = colab_bootstrap.start(
                str(folder / "store"),
                run="run",
                spool=str(folder / "spool"),
                snapshot_seconds=3600.0,
                persist_seconds=3600.0,
            )
            report.speak_through(self.said.append)

    def run(self, work: Work) -> None:
        """Asks for what is to be asked for, and runs the program's cells."""
        if work.ask and self.shell is not None:
            self.shell.run_line_magic("holdfast", work.ask)
        elif work.ask and self.handle is not None:
            {"fresh": self.handle.fresh, "continue": self.handle.continue_changed}[work.ask]()
        self.run_program(work.program, dict(work.changes))

    def run_program(self, program: str, changes: dict[str, Any]) -> None:
        """Runs a program's cells; raises what they raise."""
        for cell in PROGRAMS[program]:
            if self.shell is None:
                cell(self.seen, **changes)
                continue
            self.shell.user_ns["run"] = lambda cell=cell: cell(self.seen, **changes)
            self.shell.run_cell("run()", cell_id=cell.__name__).raise_error()

    def finish(self, works: tuple[Work, ...]) -> None:
        """Runs what comes after an end, one work after another, and writes down what each came to."""
        for place, work in enumerate(works):
            made, self.seen, self.said[:] = self.seen.made, Seen(), self.said if not place else []
            self.seen.made = made
            self.run(work)
            self.write(f"then-{place}")

    def write(self, name: str) -> None:
        """Writes down what the last program came to."""
        situation = self.handle.status().situation if self.handle is not None else ""
        found = {
            "came": self.seen.came,
            "steps": self.seen.steps.count,
            "said": self.said,
            "situation": situation,
        }
        (self.folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")


def plain(folder: Path, work: Work) -> None:
    """What a program comes to without Holdfast."""
    user = User(folder, notebook=False, followed=False)
    user.run_program(*work.uninterrupted)
    user.write(work.reference)


def interrupted(folder: Path, case: Case) -> None:
    """Interrupts a program, and goes on in the same process."""
    user = User(folder, notebook=True)
    if case.first.at is not None:
        user.seen.steps.actions[case.first.at] = lambda: signal.raise_signal(signal.SIGINT)
    came_to_its_end = False
    with contextlib.suppress(KeyboardInterrupt):
        user.run(case.first)
        came_to_its_end = True
    assert came_to_its_end == (case.first.at is None)
    user.said.clear()
    user.finish(case.after("interrupt"))
    colab_bootstrap.stop()


def killed(folder: Path, case: Case, kind: Kind) -> None:
    """Runs a program until a checkpoint is where it must be and a further step is done, and dies of SIGKILL."""
    user = User(folder, notebook=kind == "reset")
    handle, at = user.handle, case.first.at
    assert handle is not None

    def die() -> None:
        if kind == "reset":
            assert handle.wait()
        handle._session.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    if at == 0:
        user.seen.steps.actions[0] = lambda: os.kill(os.getpid(), signal.SIGKILL)
    elif at is not None:
        user.seen.steps.actions |= {at: handle.checkpoint, at + 1: die}
    user.run(case.first)
    assert at is None, "it was not ended"
    die()


def resumed(folder: Path, case: Case, kind: Kind) -> None:
    """A new process runs what comes after the end."""
    user = User(folder, notebook=kind == "reset")
    user.finish(case.after(kind))
    colab_bootstrap.stop()


def lose_machine(folder: Path) -> None:
    """Takes the daemon and every local trace, as a lost machine does."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "holdfast.runtime.daemon" in words and words[-1].startswith(f"{folder}/"):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait()
    shutil.rmtree(folder / "spool")


def parts_of(folder: Path, case: Case, kind: Kind) -> Iterator[Part]:
    """The processes of a case, one after another."""
    if kind == "interrupt":
        yield Part(folder / "interrupted.log", partial(interrupted, folder, case))
        return
    yield Part(folder / "killed.log", partial(killed, folder, case, kind), signal.SIGKILL)
    if kind == "reset":
        lose_machine(folder)
    yield Part(folder / "resumed.log", partial(resumed, folder, case, kind))


def parts_alone(folder: Path, work: Work) -> Iterator[Part]:
    """The one process of a program without Holdfast."""
    yield Part(folder / f"{work.reference}.log", partial(plain, folder, work))


def main() -> None:
    """``worker.py FOLDER CASE:KIND…``"""
    base = Path(sys.argv[1])
    os.environ["IPYTHONDIR"] = str(base / "ipython")
    jobs = []
    references: dict[str, Work] = {}
    for word in sys.argv[2:]:
        name, _, last = word.partition(":")
        kind = next(one for one in KINDS if one == last)
        folder, case = base / f"{name}-{kind}", CASES[name]
        jobs.append(parts_of(folder, case, kind))
        works = [*case.after(kind), *([case.first] if case.kept else [])]
        references |= {work.reference: work for work in works}
    alone = base / "plain"
    jobs += [parts_alone(alone, work) for work in references.values()]
    work_through(jobs)


if __name__ == "__main__":
    main()
