"""The example notebooks in real kernels: killed, their machine lost, rerun, they end with the same bits."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

EXAMPLES: Final = Path(__file__).parent.parent / "examples"

PROLOGUE: Final = """
import sys, threading
from holdfast.hooks import handle

seen = []

def listen(info):
    write = getattr(sys.stdout.write, "heard", sys.stdout.write)

    def hear(text):
        count = write(text)
        seen.extend([text] * text.count({mark!r}))
        if len(seen) >= {at}:
            sys.stdout.write = write
            handle._current.{act}()
            print("hangs", flush=True)
            threading.Event().wait()
        return count

    hear.heard = write
    sys.stdout.write = hear  # for this cell: newer IPythons take it back after each, that of Colab does not

get_ipython().events.register("pre_run_cell", listen)
"""
"""Has the kernel hang, to be killed, once it has told something so often; its snapshots are safe by then."""

BITS: Final = """
import numpy as np, xxhash
print("bits", xxhash.xxh3_64_hexdigest(b"".join(np.asarray(one).tobytes() for one in {state})), {told})
"""


@dataclass(frozen=True)
class Example:
    """A notebook.

    Attributes:
        name: Its file's.
        tells: What it prints as it trains.
        times: How often it prints that.
        kills: After how many times it is killed in its first kernel, and its machine lost in the second.
        state: All that must come out equal: variables.
        told: And what else, as it is printed.
    """

    name: str
    tells: str
    times: int
    kills: tuple[int, int]
    state: str
    told: str


NOTEBOOKS: Final = {
    one.name: one
    for one in (
        Example(
            "fine_tuning",
            "Epoch ",
            24,
            (13, 7),
            "[*taught.variables, *taught.optimizer.variables, *model.variables, *model.optimizer.variables]",
            "stage_1.history, stage_2.history",
        ),
        Example(
            "gan",
            "Epoch ",
            40,
            (12, 14),
            "[*gan.variables, *gan.d_optimizer.variables, *gan.g_optimizer.variables]",
            "history.history",
        ),
        Example(
            "k_folds",
            "Epoch ",
            50,
            (17, 18),
            "[one for model in models for one in (*model.variables, *model.optimizer.variables)]",
            "scores",
        ),
        Example(
            "custom_loop",
            "epoch ",
            12,
            (4, 5),
            "[*model.variables, *optimizer.variables, *mean_loss.variables, *accuracy.variables]",
            "epoch",
        ),
    )
}


@pytest.fixture(autouse=True)
def examples_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


class Machine:
    """A machine with a folder of its own, and one kernel at a time, which runs the notebook's cells."""

    def __init__(self, example: Example, folder: Path, *, runtime: bool) -> None:
        from demo_parts.kernel import Cell, read_notebook

        self.example, self.folder, self.vm = example, folder, folder / "vm"
        self.cells = read_notebook(EXAMPLES / f"{example.name}.ipynb")
        if not runtime:
            plain = "from colab_bootstrap import resumable"  # which iterates as the iterable does
            self.cells[0] = Cell("start", plain)
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
            "HOLDFAST_SNAPSHOT_SECONDS": "0.05",
            "HOLDFAST_RUN": self.example.name,
            "IPYTHONDIR": str(self.vm / "ipython"),
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.kernel = Kernel(self.vm, environment, self.folder / "output.txt", self.printed.append)

    def run(self, *, hang_after: int | None = None, act: str = "") -> list[str]:
        """Runs all cells, to the end or until the kernel hangs; what they printed."""
        from demo_parts.kernel import Cell

        self.printed.clear()
        for place, cell in enumerate(self.cells):
            if place == 1 and hang_after is not None:
                self.kernel.run(
                    Cell("prologue", PROLOGUE.format(mark=self.example.tells, at=hang_after, act=act))
                )
            if not self.kernel.run(cell, self.hangs):
                break
        return list(self.printed)

    def bits(self) -> str:
        """What must come out equal."""
        from demo_parts.kernel import Cell

        self.kernel.run(Cell("bits", BITS.format(state=self.example.state, told=self.example.told)))
        return self.printed[-1]

    def told(self, printed: list[str]) -> int:
        """How often it told of its training."""
        return sum(line.count(self.example.tells) for line in printed if not line.startswith("holdfast"))

    def hangs(self) -> bool:
        """Whether the kernel waits to be killed."""
        return any("hangs" in line for line in self.printed)  # a progress bar may be before it


def said(printed: list[str]) -> list[str]:
    """What the runtime said."""
    return [line for line in printed if line.startswith("holdfast")]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Makes machines; their kernels end with the test."""
    made = []

    def make(example: Example, name: str, *, runtime: bool) -> Machine:
        made.append(Machine(example, tmp_path / name, runtime=runtime))
        return made[-1]

    yield make
    for one in made:
        if one.kernel is not None:
            one.kernel.close()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_is_valid_has_no_outputs_and_begins_with_the_one_line(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells[0].source.splitlines()[0] == "import colab_bootstrap; colab_bootstrap.start()"
    assert not any(cell.outputs for cell in cells)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # jupyter_client's own
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_killed_and_its_machine_lost_it_ends_with_the_same_bits(
    name: str, machine: Callable[..., Machine]
) -> None:
    example = NOTEBOOKS[name]
    alone = machine(example, "alone", runtime=False)
    alone.boot()
    assert alone.told(alone.run()) == example.times
    expected = alone.bits()
    alone.kernel.shut_down()

    one = machine(example, "followed", runtime=True)
    one.boot()
    printed = one.run(hang_after=example.kills[0], act="_session.flush")
    assert one.told(printed) == example.kills[0]
    one.kernel.kill()

    one.boot()
    printed = one.run(hang_after=example.kills[1], act="wait")
    assert "kernel restart" in printed[0]
    assert any("from the spool" in line for line in said(printed)), said(printed)
    assert one.told(printed) == example.kills[1]
    one.kernel.kill_with_machine()
    shutil.rmtree(one.vm)

    one.boot()
    printed = one.run()
    assert "runtime reset" in printed[0]
    assert any("from the store" in line for line in said(printed)), said(printed)
    # An epoch is told once more if it was begun or about to begin when the kernel was killed.
    left = example.times - sum(example.kills)
    assert left <= one.told(printed) <= left + 4
    assert one.bits() == expected

    assert one.told(one.run()) == 0
    assert one.bits() == expected
    assert not any("own" in line or "its whole range" in line for line in said(one.printed))
    one.kernel.shut_down()
