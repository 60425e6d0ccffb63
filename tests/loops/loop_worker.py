"""The worker of the matrix of loops; see `helpers.matrix_worker`. Moments are numbers of steps in a process."""

from __future__ import annotations

import gc
import json
import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from loop_cases import CASES

import colab_bootstrap
from helpers.matrix import Word
from helpers.matrix_worker import SEED, Actions, Train, not_ended, start, work
from helpers.outcomes import hashes

MOST_STEPS = 2
"""Steps in an item without a loop or a `fit` in it."""


def train(case: str, folder: Path, actions: Actions) -> dict[str, Any]:
    """Builds a case anew and trains it; returns everything that must come out equal, and the steps done."""
    gc.collect()
    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    steps = 0

    def done() -> None:
        nonlocal steps
        steps += 1
        actions.get(str(steps), lambda: None)()

    found = hashes({"variable": CASES[case](done)})
    found["next numbers"] = [
        float(np.random.rand()),
        float(keras.random.normal(())),
        float(tf.random.uniform(())),
    ]
    return {"outcome": json.loads(json.dumps(found)), "steps": steps}


def resumed(train: Train, word: Word, folder: Path) -> dict[str, Any]:
    """Resumes what was killed, is interrupted once more, and resumes to the end; then replays."""

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def too_late() -> None:
        raise not_ended(f"{word.case}: at the end of its item, it")

    start(word.case, folder)
    try:
        train(word.case, folder, {word.interrupt: interrupt, str(int(word.interrupt) + MOST_STEPS): too_late})
        raise not_ended(word.case)
    except KeyboardInterrupt:
        pass
    start(word.case, folder)
    found = train(word.case, folder, {})
    start(word.case, folder)
    again = train(word.case, folder, {})
    colab_bootstrap.stop()
    return {"resumed": found, "replayed": again}


if __name__ == "__main__":
    work(train, resumed)
