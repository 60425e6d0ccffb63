"""Trains a model of 150 MB under frequent snapshots; prints the most memory the process had, in such states.

Arguments: a folder; ``alone`` for no snapshots, ``short`` where memory is to count as short, or ``plenty``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import colab_bootstrap
from holdfast.runtime import memory

LAYERS, WIDTH = 4, 3062
# Of this size the C library gives blocks back to the system at once, so that what is resident is in use.
STATE = LAYERS * WIDTH * WIDTH * 4

folder, mode = sys.argv[1:]
if mode == "short":
    memory.available = lambda *_: 0
layers = [keras.layers.Dense(WIDTH, use_bias=False) for _ in range(LAYERS)]
model = keras.Sequential([keras.Input((WIDTH,)), *layers])
model.compile(keras.optimizers.SGD(1e-6), "mse")
if mode != "alone":
    often: dict[str, Any] = {"snapshot_seconds": 0.2, "persist_seconds": 3600.0, "run": "test"}
    handle = colab_bootstrap.start(f"{folder}/store", spool=f"{folder}/spool", **often)


class ForgetTheBeginning(keras.callbacks.Callback):
    """Has the system count the peak anew once the model is built and the step is traced."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


x = np.ones((2, WIDTH), "float32")
model.fit(x, x, epochs=20, batch_size=2, verbose=0, callbacks=[ForgetTheBeginning()])
if mode != "alone":
    handle._session.flush()
    committed = handle._session.last_committed
    assert committed is not None and committed.stem.sequence > 3
    assert bool(handle.status().memory_short) == (mode == "short")
lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(peak * 1024 / STATE)
