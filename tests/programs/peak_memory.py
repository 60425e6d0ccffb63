"""Trains a model of 150 MB; prints the most memory the process had, in such states.

Arguments: a folder; how snapshots are taken: ``often`` or ``rare``ly.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import colab_bootstrap

LAYERS, WIDTH = 4, 3062
# Of this size the C library gives blocks back to the system at once, so that what is resident is in use.
STATE = LAYERS * WIDTH * WIDTH * 4

folder, mode = sys.argv[1:]
layers = [keras.layers.Dense(WIDTH, use_bias=False) for _ in range(LAYERS)]
model = keras.Sequential([keras.Input((WIDTH,)), *layers])
model.compile(keras.optimizers.SGD(1e-6), "mse")
seconds = {"rare": 3600.0, "often": 0.2}[mode]
settings: dict[str, Any] = {"snapshot_seconds": seconds, "persist_seconds": 3600.0, "run": "test"}
handle = colab_bootstrap.start(f"{folder}/store", spool=f"{folder}/spool", **settings)


class ForgetTheBeginning(keras.callbacks.Callback):
    """Has the system count the peak anew once the model is built and the step is traced."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


x = np.ones((2, WIDTH), "float32")
model.fit(x, x, epochs=20, batch_size=2, verbose=0, callbacks=[ForgetTheBeginning()])
handle._session.flush()
committed = handle._session.last_committed
assert committed is not None
assert (committed.stem.sequence > 3) == (mode == "often")
lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(peak * 1024 / STATE)
