"""The panel in a real kernel: what a front end is sent before, during and after a training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.notebook import Kernel, running_kernel

# jupyter_client's own
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

START = """
import colab_bootstrap
handle = colab_bootstrap.start(run="panel", snapshot_seconds=0.3, persist_seconds=0.3)
"""

MODEL = """
import keras, numpy as np, threading
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.layers.Dense(2)])
model.compile("adam", "mse")

class Pace(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", int(self.model.optimizer.iterations.numpy()), flush=True)
        threading.Event().wait(pace)
"""

FIT = "model.fit(np.ones((32, 3)), np.ones((32, 2)), epochs=20, batch_size=4, verbose=0, callbacks=[Pace()]);"

OURS = """
[type(one.__self__).__name__ for event in ("pre_run_cell", "post_run_cell")
 for one in get_ipython().events.callbacks[event] if hasattr(one, "__self__")].count("Cells")
"""

THREADS = "import threading; sorted(one.name for one in threading.enumerate() if 'holdfast-' in one.name)"


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel in an empty folder."""
    with running_kernel(tmp_path) as made:
        yield made


def test_one_output_is_kept_true_through_an_interrupted_training_and_its_rerun(kernel: Kernel) -> None:
    kernel.run("pace = 0.05")
    kernel.run(START)
    kind, first = kernel.panels[0]
    assert kind == "display_data"
    assert "Ready: no training step" in kernel.panel()
    assert 'role="region" aria-label="Holdfast"' in kernel.panel(html=True)
    kernel.run(MODEL)

    interrupted: list[int] = []

    def interrupt(printed: str) -> None:
        if "confirmed up to" in kernel.panel() and not interrupted:
            interrupted.append(len(kernel.panels))
            kernel.manager.interrupt_kernel()

    printed = kernel.run(FIT, interrupt)
    assert interrupted, "the panel was not brought up to date while the training ran"
    lines = printed.splitlines()
    assert lines.pop() == "KeyboardInterrupt"
    assert all(line.startswith(("step ", "holdfast: ")) for line in lines)
    kernel.await_panel("  interrupted")
    kernel.await_panel("Safe: all that was trained is confirmed")

    kernel.run("pace = 0")
    kernel.run(MODEL)
    assert "resuming at epoch" in kernel.run(FIT)
    kernel.await_panel("resuming at epoch")
    kernel.run("%holdfast wait")
    kernel.await_panel("Safe: all that was trained is confirmed")
    assert "interrupted" not in kernel.panel()
    kernel.run("%holdfast stop")
    kernel.await_panel("Stopped: all that was trained is confirmed")

    assert [kind for kind, _ in kernel.panels].count("display_data") == 1
    assert {content["transient"]["display_id"] for _, content in kernel.panels} == {
        first["transient"]["display_id"]
    }
    assert all(set(content["data"]) == {"text/html", "text/plain"} for _, content in kernel.panels)
    assert kernel.run(THREADS).endswith("[]")


def test_what_a_program_sees_of_the_notebook_is_the_same_with_the_panel(kernel: Kernel) -> None:
    kernel.run("import random, sys; random.seed(3); before = random.getstate(), sys.stdout, dict(Out); 7")
    kernel.run(START)
    assert kernel.run(
        "before == (random.getstate(), sys.stdout, {n: Out[n] for n in before[2]}), _, sorted(Out)"
    ) == ("(True, 7, [1])")
    kernel.run("%%capture caught\nhandle.show(); 8")
    assert kernel.run("caught.stdout, len(caught.outputs)") == "('', 2)"
    assert [kind for kind, _ in kernel.panels] == ["display_data"]  # what was captured was shown to nobody


def test_nothing_is_doubled_by_starting_again_nor_by_any_reload(kernel: Kernel) -> None:
    kernel.run(START)
    assert kernel.run(OURS).endswith("2")
    identity = kernel.run("id(handle)")
    for again in (
        START,
        "%load_ext colab_bootstrap",
        "%reload_ext colab_bootstrap",
        "%load_ext autoreload\n%autoreload 2",
    ):
        kernel.run(again)
        assert kernel.run(OURS).endswith("2"), again
    kernel.run("import importlib; importlib.reload(colab_bootstrap)")
    kernel.run("import holdfast.hooks.handle as module; importlib.reload(module)")
    kernel.run("handle = colab_bootstrap.start()")
    assert kernel.run("id(handle)") == identity
    assert kernel.run(OURS).endswith("2")
    assert kernel.run("handle.active") == "True"

    kernel.run("import sys; old = handle")
    kernel.run("ours = [name for name in sys.modules if name.startswith(('holdfast', 'colab_b'))]")
    kernel.run("for name in ours: del sys.modules[name]")
    kernel.run(START)
    assert kernel.run(OURS).endswith("2")
    assert kernel.run("old.active, handle.active") == "(False, True)"
    assert kernel.run(THREADS).count("holdfast-panel") == 1

    kernel.run("%unload_ext colab_bootstrap")
    assert kernel.run(OURS).endswith("0")
    assert kernel.run("handle.active") == "False"


def test_cells_know_what_became_of_them_and_which_are_run_again(kernel: Kernel) -> None:
    kernel.run(START)
    last = "cells = handle._tracker.cells"
    kernel.run(last)
    kernel.run("seen = []; cells.at_end(lambda: seen.append((cells.last.outcome, cells.last.again)))")
    kernel.run("1")
    kernel.run("1")
    kernel.run("raise KeyboardInterrupt")
    kernel.run("1 / 0")
    kernel.run("this is no Python")
    found = json.loads(kernel.run("import json; print(json.dumps(seen))"))
    assert found[-5:] == [
        ["done", False],
        ["done", True],
        ["interrupted", False],
        ["failed", False],
        ["failed", False],
    ]


def test_off_shows_no_panel_and_the_magic_shows_it_once(kernel: Kernel) -> None:
    kernel.run("%env HOLDFAST_PANEL=off")
    kernel.run(START)
    assert kernel.panels == []
    kernel.run("%holdfast status")
    assert [kind for kind, _ in kernel.panels] == ["display_data"]
    assert "holdfast-panel" not in kernel.run(THREADS)
