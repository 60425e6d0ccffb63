"""A training to be killed: notes every step in a file, as a callback of the user's own would.

``lost_worker.py WAY FOLDER SETTINGS``: WAY is ``holdfast``, ``epochs`` or ``steps``, the last two Keras'
BackupAndRestore; SETTINGS are those of Holdfast beside the defaults, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

EPOCH_STEPS: Final = 2_000
"""Of some 10 ms: an epoch of some 20 s, so that what is kept at its end is seen to be."""

SAVE_STEPS: Final = 500
STEP_SECONDS: Final = 0.008
"""What a step waits, as beside an accelerator; the rest of it is the host's."""

WIDTH: Final = 256


def main() -> None:
    """Trains until it is killed."""
    way, folder, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    if way == "holdfast":
        import colab_bootstrap

        colab_bootstrap.start(str(folder / "store"), run="run", spool=str(folder / "spool"), **settings)

    file = os.open(folder / "steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    begun: list[int] = []  # no attribute of the callback's: those are restored too

    class Notes(keras.callbacks.Callback):
        """A line with the optimizer's count of steps, then one a step with the time of its end."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            if not begun:
                # Everything that is restored has been: the weights are those after so many steps.
                begun.append(int(self.model.optimizer.iterations))
                os.write(file, f"from {begun[0]} {time.time()!r}\n".encode())

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            os.write(file, f"{time.time()!r}\n".encode())
            time.sleep(STEP_SECONDS)

    model = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(WIDTH), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    batch = np.ones((16, WIDTH), "float32"), np.ones((16, 1), "float32")
    data = tf.data.Dataset.from_tensors(batch).repeat()
    callbacks: list[Any] = []
    if way != "holdfast":
        every = "epoch" if way == "epochs" else SAVE_STEPS
        callbacks.append(keras.callbacks.BackupAndRestore(str(folder / "backup"), save_freq=every))
    callbacks.append(Notes())
    model.fit(data, epochs=10**6, steps_per_epoch=EPOCH_STEPS, callbacks=callbacks, verbose=0)


if __name__ == "__main__":
    main()
