"""The worker of Keras 2's exactness matrix; see `helpers.matrix_worker`."""

from __future__ import annotations

import gc
import json
import random
from pathlib import Path
from typing import Any

import keras2_data_cases  # noqa: F401  # both add theirs
import keras2_model_cases  # noqa: F401
import numpy as np
import tensorflow as tf
import tf_keras
from keras2_case import CASES, Program

from helpers.matrix_worker import SEED, Actions, Interrupting, work
from helpers.outcomes import attributes, hashes
from holdfast.hooks import training_call


class Interrupter(Interrupting, tf_keras.callbacks.Callback):
    """Of Keras 2."""


def train(case: str, folder: Path, actions: Actions) -> dict[str, Any]:
    """Builds a case anew and trains it; returns everything that must come out equal."""
    tf_keras.backend.clear_session()
    gc.collect()  # a model that is let go of gives its slot free
    tf_keras.utils.set_random_seed(SEED)
    program = CASES[case](folder)
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
    found = hashes(groups)
    found["learning rate"] = repr(model.optimizer.get_config().get("learning_rate"))
    found["history"] = history.history
    found["epochs"] = history.epoch
    found |= attributes(program.callbacks)
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


if __name__ == "__main__":
    training_call.HOLD_SECONDS = 0.0  # these epochs are short
    work(train)
