"""The worker of the exactness matrix; see `helpers.matrix_worker`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cases import CASES, Program
from helpers.matrix_worker import SEED, Actions, Interrupting, work
from helpers.outcomes import attributes, hashes


class Interrupter(Interrupting, keras.callbacks.Callback):
    """Of Keras 3."""


def train(case: str, folder: Path, actions: Actions) -> dict[str, Any]:
    """Builds a case anew and trains it; returns everything that must come out equal."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    program = CASES[case](folder)
    callbacks = [*program.callbacks, Interrupter(actions)]
    history = program.model.fit(**program.fit, callbacks=callbacks, verbose=0)
    return outcome(program, history)


def outcome(program: Program, history: Any) -> dict[str, Any]:
    """Hashes of all variables, History, the callbacks' plain attributes, log files, the next random numbers."""
    model = program.model
    found = hashes(
        {
            "model": model.variables,
            "optimizer": model.optimizer.variables,
            "metrics": model.metrics_variables,
            "further": program.further(),
        }
    )
    found["history"] = history.history
    found["epochs"] = history.epoch
    found |= attributes(program.callbacks)
    found["files"] = [path.read_text(encoding="utf-8") for path in program.files]
    found["next numbers"] = [float(np.random.rand()), float(keras.random.normal(()))]
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


if __name__ == "__main__":
    work(train)
