"""Cells of TF1 notebooks in one process without eager execution: prints, as JSON, what each case came to.

``python worker.py FOLDER``. Each case runs cells in IPython under Holdfast; a rerun is a cell run again.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from IPython.core.interactiveshell import InteractiveShell

import colab_bootstrap

v1 = tf.compat.v1

GRAPH = """
import numpy as np
import tensorflow as tf
v1 = tf.compat.v1
W = v1.Variable(tf.constant([0.5]), name="W")
b = v1.Variable(tf.zeros([1]), name="b")
x = np.linspace(0, 1, 20).astype("float32")
loss = tf.reduce_mean((W * x + b - 3 * x - 1) ** 2)
counter = v1.Variable(0, trainable=False)
train = v1.train.{optimizer}.minimize(loss, global_step=counter)
init = v1.global_variables_initializer()
"""
TRAIN = """
for _ in range(5):
    session.run(train)
seen.append(int(session.run(counter)))
"""
WITH = "with v1.Session() as session:\n    session.run(init)\n    " + TRAIN.strip().replace("\n", "\n    ")


class Notebook:
    """A notebook under Holdfast. What its cells append to ``seen`` is what they came to."""

    def __init__(self, folder: Path, shell: InteractiveShell) -> None:
        self.folder, self.shell = folder, shell
        self.seen: list[Any] = []
        self.said = ""

    def restart(self) -> None:
        """A restarted kernel: nothing is left but the store and the spool."""
        colab_bootstrap.stop()
        self.shell.reset()
        v1.reset_default_graph()
        settings: dict[str, Any] = {"snapshot_seconds": 3600.0, "persist_seconds": 3600.0, "run": "test"}
        colab_bootstrap.start(str(self.folder / "store"), spool=str(self.folder / "spool"), **settings)
        self.shell.user_ns["seen"] = self.seen

    def run(self, *cells: tuple[str, str]) -> None:
        """Runs cells, each a name and a text."""
        out = io.StringIO()
        for name, text in cells:
            with contextlib.redirect_stdout(out):
                result = self.shell.run_cell(text, cell_id=name)
            if result.error_in_exec is not None:
                self.seen.append(type(result.error_in_exec).__name__)
            elif result.error_before_exec is not None:
                raise result.error_before_exec
        self.said += out.getvalue()


def graph(optimizer: str = "AdamOptimizer(0.05)") -> str:
    """The text of a cell that builds the graph."""
    return GRAPH.format(optimizer=optimizer)


def one_cell(notebook: Notebook) -> None:
    """All in one cell, on the default graph: each rerun adds a second set of variables."""
    cell = ("a", graph() + WITH)
    notebook.run(cell, cell, cell)
    notebook.restart()
    notebook.run(cell, cell)


def one_cell_that_resets_the_graph(notebook: Notebook) -> None:
    """The same with `reset_default_graph` before."""
    cell = ("a", "import tensorflow as tf\ntf.compat.v1.reset_default_graph()\n" + graph() + WITH)
    notebook.run(cell, cell)
    notebook.restart()
    notebook.run(cell)


def interactive(notebook: Notebook) -> None:
    """An `InteractiveSession` that is never closed, over several cells."""
    cells = [("g", graph()), ("i", "session = v1.InteractiveSession()\ninit.run()"), ("t", TRAIN)]
    notebook.run(*cells)
    notebook.run(("t", TRAIN))  # a live session goes on
    notebook.run(*cells)  # all of it again
    notebook.restart()
    notebook.run(*cells)


def initialised_again(notebook: Notebook) -> None:
    """The cell with the initializer and the loop is rerun, in a session of another cell."""
    first = ("g", graph() + "session = v1.Session()")
    second = ("t", "session.run(init)\n" + TRAIN)
    notebook.run(first, second, second)
    notebook.restart()
    notebook.run(first, second)


def only_the_loop_rerun_after_a_look(notebook: Notebook) -> None:
    """Before the loop a value is looked at, in a cell that is left out the second time."""
    first = ("g", graph() + "session = v1.Session()")
    init, look = ("i", "session.run(init)"), ("l", "seen.append(int(session.run(counter)))")
    notebook.run(first, init, look, ("t", TRAIN))
    notebook.run(init, ("t", TRAIN))
    notebook.restart()
    notebook.run(first, init, ("t", TRAIN))


def two_cells_alike(notebook: Notebook) -> None:
    """Two cells with the same program are two trainings."""
    for _ in range(2):
        notebook.run(("a", graph() + WITH), ("b", graph() + WITH))
    notebook.restart()
    notebook.run(("b", graph() + WITH), ("a", graph() + WITH))


def interrupted(notebook: Notebook) -> None:
    """An interrupt between two runs, in a session that stays open; then the kernel is restarted."""
    loop = TRAIN.replace("session.run(train)", "session.run(train)\n    if stop: raise KeyboardInterrupt")
    cells = [("g", graph() + "session = v1.Session()\nsession.run(init)"), ("t", loop)]
    notebook.shell.user_ns["stop"] = True
    notebook.run(*cells)
    notebook.restart()
    notebook.shell.user_ns["stop"] = False
    notebook.run(*cells)


def fresh(notebook: Notebook) -> None:
    """`%holdfast fresh` has the next one begin anew."""
    notebook.run(("a", graph() + WITH))
    notebook.run(("f", "%holdfast fresh"), ("a", graph() + WITH))
    notebook.restart()
    notebook.run(("a", graph() + WITH))


def another_optimizer(notebook: Notebook) -> None:
    """Other slots in the optimizer are another structure."""
    notebook.run(("a", graph() + WITH), ("a", graph("GradientDescentOptimizer(0.1)") + WITH))


CASES: dict[str, Callable[[Notebook], None]] = {
    case.__name__: case
    for case in (
        one_cell,
        one_cell_that_resets_the_graph,
        interactive,
        initialised_again,
        only_the_loop_rerun_after_a_look,
        two_cells_alike,
        interrupted,
        fresh,
        another_optimizer,
    )
}


def main(folder: Path) -> None:
    """Runs every case in a folder of its own."""
    v1.disable_eager_execution()
    shell = InteractiveShell.instance()
    outcomes = {}
    for name, case in CASES.items():
        notebook = Notebook(folder / name, shell)
        try:
            notebook.restart()
            case(notebook)
            outcomes[name] = {"seen": notebook.seen, "said": notebook.said}
        except Exception:
            outcomes[name] = {"seen": traceback.format_exc(), "said": notebook.said}
    colab_bootstrap.stop()
    (folder / "outcomes.json").write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
