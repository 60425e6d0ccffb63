"""IPython in a terminal: a training interrupted by Ctrl-C and run again, the magic and its completion."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

GIVE_UP_SECONDS = 300

TAB = "\t"

START = "import colab_bootstrap; handle = colab_bootstrap.start(run='terminal')"
IMPORTS = "import keras, threading, numpy as np; pause = threading.Event().wait; seconds = 0.05"
MODEL = (
    "keras.utils.set_random_seed(1); model = keras.Sequential([keras.layers.Dense(2)]); "
    "model.compile('adam', 'mse'); "
    "paced = keras.callbacks.LambdaCallback("
    "on_train_batch_end=lambda at, logs: print('step', at, pause(seconds)))"
)
FIT = "h = model.fit(np.ones((32, 3)), np.ones((32, 2)), epochs=20, batch_size=4, verbose=0, callbacks=[paced])"


class Terminal:
    """IPython as a user at a terminal has it."""

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "HOLDFAST_SPOOL": str(folder / "spool"),
            "IPYTHONDIR": str(folder / "ipython"),
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "TERM": "xterm",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        completions = "--TerminalInteractiveShell.display_completions=readlinelike"
        options = ["--no-banner", "--colors=NoColor", completions]
        self.child: Any = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", *options],
            cwd=str(folder),
            env=environment,
            timeout=GIVE_UP_SECONDS,
            encoding="utf-8",
            dimensions=(50, 250),
        )
        self.cells = 1
        self._await_prompt()

    def run(self, line: str, *, keys: str = "") -> str:
        """Runs a line, after pressing keys at its end; what it showed, its echo included."""
        self.child.send(f"{line}{keys}")
        self.enter()
        return self.output()

    def enter(self) -> None:
        """Sends what has been typed."""
        self.child.send("\r")
        self.cells += 1

    def output(self) -> str:
        """What is shown until the next prompt."""
        return self._await_prompt()

    def _await_prompt(self) -> str:
        self.child.expect(rf"In \[{self.cells}\]:")
        return str(self.child.before)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in an empty folder; it is left as a user leaves it."""
    made = Terminal(tmp_path)
    yield made
    made.child.send("exit\r")
    made.child.expect(pexpect.EOF)
    made.child.close()


def test_a_training_is_interrupted_and_run_again_and_the_magic_tells_of_it(terminal: Terminal) -> None:
    started = terminal.run(START)
    assert "first run; nothing to restore" in started
    assert "Ready" not in started, "a panel in a terminal"
    assert "Ready: no training step in this session yet" in terminal.run("%holdfast status")
    assert "nothing to wait for" in terminal.run("%holdfast wait")
    terminal.run(IMPORTS)
    terminal.run(MODEL)

    terminal.child.send(FIT)
    terminal.enter()
    terminal.child.expect("step 3 ")
    terminal.child.sendintr()
    assert "KeyboardInterrupt" in terminal.output()
    status = terminal.run("%holdfast status")
    assert "nothing: no step has ended since the last snapshot" in status
    assert "interrupted" in status
    assert "is safe in" in terminal.run("%holdfast wait")
    assert "Safe: all that was trained is confirmed" in terminal.run("%holdfast status")

    terminal.run("seconds = 0")
    terminal.run(MODEL)
    again = terminal.run(FIT)
    assert "resuming at epoch" in again
    assert "nothing is lost" in again

    assert "is safe in" in terminal.run("%holdfast wa", keys=TAB)
    assert "the next training step takes a checkpoint" in terminal.run("%holdfast che", keys=TAB)
    assert "begins anew; earlier checkpoints stay" in terminal.run("%holdfast fresh sl", keys=TAB)
    assert "did you mean %holdfast status?" in terminal.run("%holdfast stauts")
    assert "SLOT may be a model's variable" in terminal.run("%holdfast?")
    terminal.run("%holdfast stop")
    assert "Stopped" in terminal.run("%holdfast status")
