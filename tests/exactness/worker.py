"""One process of the exactness matrix: ``reference``, ``killed`` or ``resumed``, over many cases."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import xxhash

import colab_bootstrap
from cases import CASES, Program

SEED = 11


class Killed(BaseException):
    """Ends a training as a kill would: nothing of the runtime gets to act on it."""


class Interrupter(keras.callbacks.Callback):
    """Does something at given training steps; counts them in an attribute, which is restored."""

    def __init__(self, actions: dict[int, Any]) -> None:
        super().__init__()
        self.actions, self.steps = actions, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps in self.actions:
            self.actions[self.steps]()


def train(name: str, folder: Path, actions: dict[int, Any]) -> dict[str, Any]:
    """Builds a case anew and trains it; returns everything that must come out equal."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    program = CASES[name](folder)
    interrupter = Interrupter(actions)
    history = program.model.fit(**program.fit, callbacks=[*program.callbacks, interrupter], verbose=0)
    return outcome(program, history)


def outcome(program: Program, history: Any) -> dict[str, Any]:
    """Hashes of all variables, History, the callbacks' plain attributes, log files, the next random numbers."""
    model = program.model
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
        "further": program.further(),
    }
    found: dict[str, Any] = {
        f"{group}/{place}": xxhash.xxh3_64_hexdigest(np.ascontiguousarray(variable.numpy()).tobytes())
        for group, variables in groups.items()
        for place, variable in enumerate(variables)
    }
    found["history"] = history.history
    found["epochs"] = history.epoch
    for place, callback in enumerate(program.callbacks):
        attributes = {
            key: repr(value)
            for key, value in vars(callback).items()
            if isinstance(value, (int, float, list, np.ndarray)) and key != "append_header"
        }
        found[f"callback {place} {type(callback).__name__}"] = attributes
    found["files"] = [path.read_text(encoding="utf-8") for path in program.files]
    found["next numbers"] = [float(np.random.rand()), float(keras.random.normal(()))]
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def killed(name: str, folder: Path, at: int) -> None:
    """Trains until a checkpoint was taken after step ``at``, goes on for a step, and is gone."""
    handle = colab_bootstrap.start(str(folder / "store"), run=name, spool=str(folder / "spool"))

    def die() -> None:
        handle._session.closed = True  # from here on as if the process were gone
        raise Killed

    try:
        train(name, folder, {at: handle.checkpoint, at + 2: die})
        raise AssertionError(f"{name} was not interrupted")
    except Killed:
        handle._session.closed = False
    colab_bootstrap.stop()


def resumed(name: str, folder: Path, at: int) -> dict[str, Any]:
    """Resumes what was killed, is interrupted once more, and reruns in the same process to the end."""
    colab_bootstrap.start(str(folder / "store"), run=name, spool=str(folder / "spool"))

    def interrupt() -> None:
        raise KeyboardInterrupt

    try:
        train(name, folder, {at: interrupt})
        raise AssertionError(f"{name} was not interrupted")
    except KeyboardInterrupt:
        pass
    found = train(name, folder, {})
    colab_bootstrap.stop()
    return found


def main() -> None:
    """``worker.py ROLE FOLDER OUT NAME:STEP:STEP…``"""
    role, base, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    found = {}
    for word in sys.argv[4:]:
        name, first, second = word.split(":")
        folder = base / word.replace(":", "-")
        if role == "reference" and name in found:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{role} {name}", file=sys.stderr, flush=True)
        if role == "reference":
            found[name] = train(name, folder, {})
        elif role == "killed":
            killed(name, folder, int(first))
        else:
            found[word] = resumed(name, folder, int(second))
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
