"""The TF1 example in real kernels: interrupted, killed, its machine lost, it ends with the same bits."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

EXAMPLES: Final = Path(__file__).parent.parent.parent / "examples"
NOTEBOOK: Final = EXAMPLES / "tf1.ipynb"

PROLOGUE = """
import builtins, threading
from holdfast.hooks import handle

def print(text):
    builtins.print(text)
    if text.startswith("step {at}:"):
        handle._current.checkpoint()
    elif text.startswith("step {at_next}:"):
        {act}
"""
"""Has a checkpoint taken at the step after ``at``, and something happen a hundred steps after that."""

HANGS: Final = "builtins.print('hangs', flush=True); threading.Event().wait()"


@pytest.fixture(autouse=True)
def examples_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


class Machine:
    """A machine with a folder of its own, and one kernel at a time, which runs the notebook's cells."""

    def __init__(self, folder: Path) -> None:
        from demo_parts.kernel import read_notebook

        self.folder, self.vm = folder, folder / "vm"
        self.cells = {cell.name: cell for cell in read_notebook(NOTEBOOK)}
        self.printed: list[str] = []
        self.kernel: Any = None

    def boot(self) -> None:
        """Starts a kernel, after the one before is gone."""
        from demo_parts.kernel import Kernel

        self.vm.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "HOLDFAST_STORE": str(self.folder / "store"),
            "HOLDFAST_SPOOL": str(self.vm / "spool"),
            "HOLDFAST_SNAPSHOT_SECONDS": "3600",
            "HOLDFAST_RUN": "line",
            "IPYTHONDIR": str(self.vm / "ipython"),
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.kernel = Kernel(self.vm, environment, self.folder / "output.txt", self.printed.append)

    def changes(self, old: str, new: str) -> None:
        """Somebody edits the training cell."""
        cell = self.cells["train"]
        assert old in cell.code
        self.cells["train"] = replace(cell, code=cell.code.replace(old, new))

    def run(self, *names: str, stop: Callable[[], bool] = lambda: False) -> list[str]:
        """Runs cells; what they printed."""
        self.printed.clear()
        for name in names:
            self.kernel.run(self.cells[name], stop)
        return list(self.printed)

    def when_at(self, step: int, act: str) -> None:
        """Has a checkpoint taken after that step of what runs next, and something done a hundred later."""
        from demo_parts.kernel import Cell

        self.kernel.run(Cell("prologue", PROLOGUE.format(at=step, at_next=step + 100, act=act)))

    def hangs(self) -> bool:
        """Whether the kernel waits to be killed."""
        return any("hangs" in line for line in self.printed)  # a progress bar may be before it


def steps(printed: list[str]) -> list[int]:
    """The steps that were told."""
    return [int(line.split()[1].rstrip(":")) for line in printed if line.startswith("step ")]


def resumed(printed: list[str]) -> str:
    """What was said about the resume."""
    [line] = [line for line in printed if "variables of a TF1 session" in line]
    return line


def test_it_is_valid_has_no_outputs_and_begins_with_the_one_line() -> None:
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells[0].source == "import colab_bootstrap; colab_bootstrap.start()"
    assert not any(cell.outputs for cell in cells)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """One on which nothing happens, and one on which everything does."""
    made = Machine(tmp_path / "alone"), Machine(tmp_path / "followed")
    yield made
    for machine in made:
        if machine.kernel is not None:
            machine.kernel.close()


pytestmark = pytest.mark.filterwarnings(  # jupyter_client's own
    "ignore::ResourceWarning", "ignore::DeprecationWarning"
)


def test_whatever_happens_it_ends_with_the_same_bits(machines: tuple[Machine, Machine]) -> None:
    from demo_parts.errors import CellFailed

    alone, machine = machines
    alone.boot()
    assert steps(alone.run("train")) == [*range(100, 1001, 100)]
    expected = alone.run("result")[-1]
    assert expected.startswith("y = ")
    alone.kernel.shut_down()

    machine.boot()
    machine.run("start")
    machine.when_at(400, f"handle._current._session.flush(); {HANGS}")
    assert steps(machine.run("train", stop=machine.hangs)) == [100, 200, 300, 400, 500]
    machine.kernel.kill()

    machine.boot()
    assert "kernel restart" in machine.run("start")[0]
    machine.when_at(600, f"handle._current.wait(); {HANGS}")
    printed = machine.run("train", stop=machine.hangs)
    assert "at global step 401 " in resumed(printed)
    assert "from the spool" in resumed(printed)
    assert steps(printed) == [500, 600, 700]
    machine.kernel.kill_with_machine()
    shutil.rmtree(machine.vm)

    machine.boot()
    assert "runtime reset" in machine.run("start")[0]
    machine.when_at(700, "raise KeyboardInterrupt")
    with pytest.raises(CellFailed) as caught:
        machine.run("train")
    assert "KeyboardInterrupt" in caught.value.traceback
    assert "at global step 601 " in resumed(machine.printed)
    assert "from the store" in resumed(machine.printed)
    assert steps(machine.printed) == [700, 800]

    # The cell alone, in the live kernel: its variables are there a second time now.
    machine.when_at(2000, "pass")
    printed = machine.run("train")
    assert "at global step 800 " in resumed(printed)
    assert steps(printed) == [900, 1000]
    assert machine.run("result")[-1] == expected

    printed = machine.run("train", "result")
    assert "at global step 1000 " in resumed(printed)
    assert steps(printed) == []
    assert printed[-1] == expected
    machine.kernel.shut_down()


def test_a_loop_that_counts_in_python_keeps_its_place_where_it_is_resumable(
    machines: tuple[Machine, Machine],
) -> None:
    alone, machine = machines
    asks = "while (step := sess.run(global_step)) < 1000:"
    alone.changes(asks, "for step in range(1000):")
    alone.boot()
    expected = alone.run("train", "result")[-1]
    alone.kernel.shut_down()

    machine.changes(asks, "for step in colab_bootstrap.resumable(range(1000)):")
    machine.boot()
    machine.run("start")
    machine.when_at(400, f"handle._current._session.flush(); {HANGS}")
    machine.run("train", stop=machine.hangs)
    machine.kernel.kill()

    machine.boot()
    machine.run("start")
    printed = machine.run("train", "result")
    assert "begins at its start" not in resumed(printed)
    assert steps(printed) == [500, 600, 700, 800, 900, 1000]
    assert printed[-1] == expected
    printed = machine.run("train", "result")
    assert "begins at its start" not in resumed(printed)
    assert steps(printed) == []
    assert printed[-1] == expected
    machine.kernel.shut_down()
