"""A training as a user writes it, for tests that kill it; writes its outcome to the file it is given."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import xxhash
from sklearn.datasets import load_digits


class Pace(keras.callbacks.Callback):
    """Makes a step last, so that there is time to be killed in."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(float(sys.argv[2]))


def main() -> None:
    """``training.py OUT SECONDS_PER_STEP EPOCHS``"""
    keras.utils.set_random_seed(4)
    digits = load_digits()
    model = keras.Sequential(
        [
            keras.layers.Dense(24, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        digits.data[:600] / 16.0,
        digits.target[:600],
        epochs=int(sys.argv[3]),
        batch_size=40,
        validation_split=0.2,
        verbose=0,
        callbacks=[keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True), Pace()],
    )
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    bits = [xxhash.xxh3_64_hexdigest(np.ascontiguousarray(one.numpy()).tobytes()) for one in variables]
    outcome = {"bits": bits, "history": history.history, "next": float(np.random.rand())}
    Path(sys.argv[1]).write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main()
