"""A training in JupyterLab, in a browser: kernel shut down, killed, interrupted; it ends with the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.browser import DESKTOP, PHONE, chromium, needs_chromium, opened, picture, violations
from helpers.jupyterlab import Lab, Server, server
from helpers.processes import eventually
from holdfast.runtime.restore import open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import FolderStore

NAME: Final = "digits"

START: Final = "import colab_bootstrap; colab_bootstrap.start()"

MODEL: Final = """
import keras, numpy as np
keras.utils.set_random_seed(1)
x = np.random.rand(64, 5).astype("float32"); y = (x.sum(1) > 2.5).astype("int32")
layers = [keras.layers.Dense(6, activation="relu"), keras.layers.Dropout(0.3), keras.layers.Dense(2)]
model = keras.Sequential(layers)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
"""

FIT: Final = """
import time
from pathlib import Path

class Pace(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if not Path("begun").exists():
            Path("begun").write_text(str(step))
        time.sleep(0.06)  # more than snapshot_seconds: each step is due to have its snapshot
        while step >= int(Path("limit").read_text()):
            Path("at").write_text(str(step))
            time.sleep(0.02)

history = model.fit(x, y, epochs=4, batch_size=8, callbacks=[Pace()])
"""

BITS: Final = """
import xxhash
state = b"".join(np.asarray(one).tobytes() for one in [*model.variables, *model.optimizer.variables])
print("bits", xxhash.xxh3_64_hexdigest(state), history.history)
"""

CELLS: Final = (START, MODEL, FIT, BITS, "%holdfast wait")
AT_START, AT_FIT, AT_BITS, AT_WAIT = 0, 2, 3, 4

STEPS: Final = 8
"""Steps of an epoch."""

PATIENCE: Final = 100
"""How often the store is asked for a checkpoint before there is one more step to take a snapshot of."""

PANEL: Final = '[aria-label="Holdfast"]'

pytestmark = [
    needs_chromium,
    # jupyter_client's own
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


def write_notebook(path: Path, cells: tuple[str, ...]) -> Any:
    """Writes a notebook of code cells."""
    api: Any = nbformat.v4
    notebook = api.new_notebook(cells=[api.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return notebook


def allow(folder: Path, steps: int) -> None:
    """Lets the training in a folder go on until it has done so many steps."""
    draft = folder / "limit.new"
    draft.write_text(str(steps))
    draft.replace(folder / "limit")  # whole, whenever it is read


def uninterrupted(folder: Path) -> str:
    """What the notebook's last cell prints without Holdfast, and without an interruption."""
    folder.mkdir()
    allow(folder, 10_000)
    notebook = write_notebook(folder / "alone.ipynb", (MODEL, FIT, BITS))
    NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}).execute()
    printed = "".join(output.text for output in notebook.cells[-1].outputs)
    assert printed.startswith("bits ")
    return printed.strip()


class Training:
    """The notebook's training, as its folder and its store show it."""

    def __init__(self, server: Server, store: Path) -> None:
        self.server, self.folder = server, server.work
        self.shelf = Shelf("store", FolderStore(store / NAME))

    def begun(self) -> int:
        """The step with which the newest `fit` began; the next one's is to be noted."""
        noted = self.folder / "begun"
        step = int(noted.read_text())
        noted.unlink()
        return step

    def stored(self) -> int:
        """How many steps the newest checkpoint in the store has seen."""
        for stem in self.shelf.stems():
            position = open_checkpoint(self.shelf, stem)[0].part().state["position"]
            return int(position["epoch"]) * STEPS + int(position["executions"])
        return 0

    def stands_at(self, step: int) -> bool:
        """Whether it waits before a step."""
        at = self.folder / "at"
        return at.exists() and at.read_text() == str(step)

    def run_until(self, step: int) -> int:
        """Has it do so many steps, and more until the store has a checkpoint of that epoch; how many it did."""
        while True:
            allow(self.folder, step)
            eventually(lambda at=step: self.stands_at(at), f"step {step}")  # type: ignore[misc]
            for _ in range(PATIENCE):
                if self.stored() > step - step % STEPS:
                    return step
                time.sleep(0.05)
            step += 1  # its snapshot was not taken, since one was in the making


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return uninterrupted(tmp_path_factory.mktemp("alone") / "work")


@pytest.fixture
def jupyterlab(tmp_path: Path) -> Iterator[Server]:
    settings = {
        "HOLDFAST_STORE": str(tmp_path / "store"),
        "HOLDFAST_SPOOL": str(tmp_path / "spool"),
        "HOLDFAST_SNAPSHOT_SECONDS": "0.05",
        "HOLDFAST_PERSIST_SECONDS": "0.05",
    }
    with server(tmp_path, settings) as made:
        yield made


def pictures(lab: Lab, moment: str, folder: Path) -> list[str]:
    """Keeps pictures in both themes, wide and narrow; what axe finds wrong in the panel there."""
    found = []
    lab.hide_files()
    for theme in ("Dark", "Light"):
        lab.theme(theme)
        for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
            lab.page.set_viewport_size(size)
            lab.cell(AT_START).scroll_into_view_if_needed()
            picture(lab.page, f"{moment}-{name}-{theme.lower()}", folder)
            found += violations(lab.page, PANEL)
    return found


def says(lab: Lab, text: str) -> None:
    """Waits until the panel says something."""
    lab.page.locator(PANEL).filter(has_text=text).wait_for()


def test_shut_down_killed_and_interrupted_it_ends_with_the_same_bits(
    expected: str, jupyterlab: Server, tmp_path: Path
) -> None:
    write_notebook(jupyterlab.work / f"{NAME}.ipynb", CELLS)
    training = Training(jupyterlab, tmp_path / "store")
    with chromium() as browser:
        lab = Lab(opened(browser, jupyterlab.url(f"{NAME}.ipynb")))

        allow(jupyterlab.work, 12)
        lab.menu("Run", "Run All Cells")
        lab.shows(AT_START, "first run")
        lab.shows(AT_FIT, "Epoch 1/4")
        at = training.run_until(12)
        assert training.begun() == 0
        lab.shows(AT_FIT, f"Epoch {at // STEPS + 1}/4")
        assert pictures(lab, "training", tmp_path) == []
        says(lab, "Safe")
        lab.menu("Kernel", "Shut Down Kernel")
        lab.status("No Kernel")
        assert not jupyterlab.kernels()
        lab.menu("Kernel", "Change Kernel…")  # with none, JupyterLab would run the first cell alone
        lab.accept("Select Kernel")
        lab.status("Idle")
        lab.menu("Run", "Run All Cells")
        lab.shows(AT_START, "kernel restart")
        lab.shows(AT_FIT, f"resuming at epoch {at // STEPS + 1}/4")
        at = training.run_until(at + STEPS)
        assert training.begun() > STEPS
        (kernel,) = jupyterlab.kernels()
        kernel.kill()
        lab.has_died()

        lab.menu("Run", "Run All Cells")
        resuming = f"resuming at epoch {at // STEPS + 1}/4"
        lab.shows(AT_FIT, resuming)
        at = training.run_until(at + STEPS)
        assert training.begun() > 2 * STEPS
        says(lab, resuming)
        with lab.page.expect_response(lambda answer: "/interrupt" in answer.url):
            lab.menu("Kernel", "Interrupt Kernel")
        allow(jupyterlab.work, at + 1)
        lab.shows(AT_FIT, "KeyboardInterrupt")
        lab.status("Idle")

        allow(jupyterlab.work, 10_000)
        lab.cell(AT_FIT).click()
        lab.menu("Run", "Run Selected Cell and All Below")
        assert "resuming at epoch 4/4" in lab.shows(AT_FIT, f"after {at + 1 - 3 * STEPS} batches")
        lab.shows(AT_WAIT, "confirmed")
        assert lab.shows(AT_BITS, "bits").strip() == expected
        says(lab, "all that was trained is confirmed")
        assert pictures(lab, "done", tmp_path) == []
        assert training.begun() == at + 1


def test_what_axe_finds_is_told() -> None:
    faint = (
        '<section role="region" aria-label="Holdfast"><p style="color:#ccc;background:#fff">Safe</p></section>'
    )
    with chromium() as browser:
        page = opened(browser, "about:blank")
        page.set_content(faint)
        (found,) = violations(page, PANEL)
    assert found.startswith("color-contrast")
