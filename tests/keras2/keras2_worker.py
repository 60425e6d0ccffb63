"""One process of Keras 2's exactness matrix: ``reference``, ``killed`` or ``resumed``, over many cases."""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras2_data_cases  # noqa: F401  # both add theirs
import keras2_model_cases  # noqa: F401
import numpy as np
import tensorflow as tf
import tf_keras
import xxhash
from keras2_case import CASES, Program

import colab_bootstrap
from holdfast.hooks import training_call

SEED = 11


class Killed(BaseException):
    """Ends a training as a kill would: nothing of the runtime gets to act on it."""


class Interrupter(tf_keras.callbacks.Callback):
    """Does something at given moments; counts them in attributes, which are restored.

    Moments: ``s7`` after the seventh step of the call, ``v2`` in its second validation, ``e2`` at its second
    epoch's end.
    """

    def __init__(self, actions: dict[str, Callable[[], None]]) -> None:
        super().__init__()
        self.actions = actions
        self.steps = self.validations = self.ended = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        self._reach(f"s{self.steps}")

    def on_test_begin(self, logs: Any = None) -> None:
        self.validations += 1

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self._reach(f"v{self.validations}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ended += 1
        self._reach(f"e{self.ended}")

    def _reach(self, moment: str) -> None:
        self.actions.get(moment, lambda: None)()


def train(name: str, folder: Path, actions: dict[str, Callable[[], None]]) -> dict[str, Any]:
    """Builds a case anew and trains it; returns everything that must come out equal."""
    tf_keras.backend.clear_session()
    gc.collect()  # a model that is let go of gives its slot free
    tf_keras.utils.set_random_seed(SEED)
    program = CASES[name](folder)
    program.before()
    callbacks = [*program.callbacks, Interrupter(actions)]
    history = program.model.fit(**program.fit, callbacks=callbacks, verbose=0)
    return outcome(program, history)


def outcome(program: Program, history: Any) -> dict[str, Any]:
    """Hashes of all variables, History, the callbacks' plain attributes, log files, the next random numbers."""
    model = program.model
    variables = model.optimizer.variables
    optimizer = [*(variables() if callable(variables) else variables)]
    optimizer += getattr(getattr(model.optimizer, "_loss_scale", None), "_weights", {}).values()
    groups = {
        "model": model.variables,
        "optimizer": optimizer,
        "metrics": [variable for metric in model.metrics for variable in metric.variables],
        "states": [state for layer in model.layers if getattr(layer, "stateful", 0) for state in layer.states],
        "counter": [model._train_counter],
    }
    found: dict[str, Any] = {
        f"{group}/{place}": xxhash.xxh3_64_hexdigest(np.ascontiguousarray(variable.numpy()).tobytes())
        for group, variables in groups.items()
        for place, variable in enumerate(variables)
    }
    found["learning rate"] = repr(model.optimizer.get_config().get("learning_rate"))
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
    found["next numbers"] = [
        float(np.random.rand()),
        random.random(),
        float(tf.random.normal(())),
        np.asarray(tf_keras.layers.Dense(2)(np.ones((1, 2)))).tolist(),
    ]
    # What the training function draws next: the streams stand where they should.
    x = program.fit["x"]
    if hasattr(x, "__getitem__") and not isinstance(x, tf.RaggedTensor) and model.steps_per_execution == 1:
        found["one more step"] = repr(model.train_on_batch(*_batch(program)))
    plain: dict[str, Any] = json.loads(json.dumps(found, default=repr))
    return plain


def _batch(program: Program) -> Any:
    x, y = program.fit["x"], program.fit.get("y")
    if y is None:
        return x[0]
    if isinstance(y, dict):
        return x[:10], {key: value[:10] for key, value in y.items()}
    return np.asarray(x[:10]), np.asarray(y[:10])


def killed(name: str, folder: Path, checkpoint: str, moment: str) -> None:
    """Trains until a checkpoint was taken, goes on to the moment, and is gone."""
    handle = colab_bootstrap.start(str(folder / "store"), run=name, spool=str(folder / "spool"))

    def die() -> None:
        handle._session.closed = True  # from here on as if the process were gone
        raise Killed

    try:
        train(name, folder, {checkpoint: handle.checkpoint, moment: die})
        raise AssertionError(f"{name} was not interrupted")
    except Killed:
        handle._session.closed = False
    colab_bootstrap.stop()


def resumed(name: str, folder: Path, moment: str) -> dict[str, Any]:
    """Resumes what was killed, is interrupted once more, and reruns in the same process to the end."""
    colab_bootstrap.start(str(folder / "store"), run=name, spool=str(folder / "spool"))

    def interrupt() -> None:
        raise KeyboardInterrupt

    try:
        train(name, folder, {moment: interrupt})
        raise AssertionError(f"{name} was not interrupted")
    except KeyboardInterrupt:
        pass
    found = train(name, folder, {})
    colab_bootstrap.stop()
    return found


def main() -> None:
    """``keras2_worker.py ROLE FOLDER OUT NAME:CHECKPOINT:KILL:INTERRUPT…``"""
    role, base, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    training_call.HOLD_SECONDS = 0.0  # these epochs are short
    found = {}
    for word in sys.argv[4:]:
        name, checkpoint, kill, interrupt = word.split(":")
        folder = base / word.replace(":", "-")
        if role == "reference" and name in found:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{role} {word}", file=sys.stderr, flush=True)
        if role == "reference":
            found[name] = train(name, folder, {})
        elif role == "killed":
            killed(name, folder, checkpoint, kill)
        else:
            found[word] = resumed(name, folder, interrupt)
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
