"""Trains a model of 150 MB under frequent snapshots; prints the most memory the process had, in such states.

Arguments: a folder; ``alone`` for no snapshots, ``short`` where memory is to count as short, or ``plenty``.
"""

from __future__ import annotations

import resource
import sys

import keras
import numpy as np

import colab_bootstrap
from holdfast.runtime import memory

LAYERS, WIDTH = 5, 2739
STATE = LAYERS * WIDTH * WIDTH * 4

folder, mode = sys.argv[1:]
if mode == "short":
    memory.available = lambda *_: 0
layers = [keras.layers.Dense(WIDTH, use_bias=False) for _ in range(LAYERS)]
model = keras.Sequential([keras.Input((WIDTH,)), *layers])
model.compile(keras.optimizers.SGD(1e-6), "mse")
if mode != "alone":
    often = {"snapshot_seconds": 0.2, "persist_seconds": 3600.0, "run": "test"}
    handle = colab_bootstrap.start(f"{folder}/store", spool=f"{folder}/spool", **often)
x = np.ones((2, WIDTH), "float32")
model.fit(x, x, epochs=20, batch_size=2, verbose=0)
if mode != "alone":
    handle._session.flush()
    committed = handle._session.last_committed
    assert committed is not None and committed.stem.sequence > 3
    assert bool(handle.status().memory_short) == (mode == "short")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / STATE)
