"""SIGKILL at every named step of the save and restore paths, in trainings that must end with equal bits."""

from __future__ import annotations

import signal
from pathlib import Path

from helpers.killed_training import Training
from holdfast.runtime.crashpoints import STEPS

DAEMON_STEPS = [step for step in STEPS if step.startswith(("daemon.", "store."))]
KERNEL_STEPS = [step for step in STEPS if step not in DAEMON_STEPS]
PASSAGE = {"spool.object.middle": 5, "spool.committed": 2, "spool.manifest.begin": 2}
"""Which passage of a step to die at, where it is not the first."""


def alone(folder: Path, epochs: int) -> object:
    """The outcome of the program without the runtime."""
    training = Training(folder, seconds_per_step=0, epochs=epochs)
    process = training.begin(followed=False)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return training.outcome


def finish(training: Training) -> str:
    """Runs the training to its end; returns what it said."""
    process = training.begin()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def test_killed_at_every_step_of_the_kernels_paths_it_ends_with_equal_bits(tmp_path: Path) -> None:
    training = Training(tmp_path / "killed")
    process = training.begin(crash_at="spool.committed:3")  # so that there is something to restore
    process.communicate()
    for step in KERNEL_STEPS:
        process = training.begin(crash_at=f"{step}:{PASSAGE.get(step, 1)}")
        output, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{step} was never reached:\n{output}"
    assert "resuming at" in finish(training)
    assert training.outcome == alone(tmp_path / "alone", training.epochs)


def test_its_daemon_killed_at_every_step_and_the_machine_lost_it_ends_with_equal_bits(tmp_path: Path) -> None:
    training = Training(tmp_path / "killed", seconds_per_step=0.25, epochs=10)
    for step in DAEMON_STEPS:
        process = training.begin(crash_at=f"{step}:2")
        said = []
        with process:
            for line in process.stdout or ():  # ends with the process
                said.append(line)
                if "was started again" in line:
                    process.kill()
        assert process.returncode == -signal.SIGKILL, f"{step} was never reached:\n{''.join(said)}"
        training.lose_machine()
    assert "runtime reset" in finish(training)
    assert training.outcome == alone(tmp_path / "alone", training.epochs)
