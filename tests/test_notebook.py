"""A real Jupyter kernel: cells rerun, a training interrupted, the bootstrap cell run again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.notebook import Kernel, running_kernel

BOOTSTRAP = "import colab_bootstrap; handle = colab_bootstrap.start()"

MODEL = """
import keras, numpy as np, time
keras.utils.set_random_seed(1)
x = np.random.rand(64, 5).astype("float32"); y = (x.sum(1) > 2.5).astype("int32")
layers = [keras.layers.Dense(6, activation="relu"), keras.layers.Dropout(0.3), keras.layers.Dense(2)]
model = keras.Sequential(layers)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

class Pace(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", int(self.model.optimizer.iterations.numpy()), flush=True)
        time.sleep(pace)
"""

FIT = """
history = model.fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[Pace()])
"""

BITS = """
import xxhash
state = b"".join(v.numpy().tobytes() for v in model.variables + model.optimizer.variables)
print("bits", xxhash.xxh3_64_hexdigest(state), history.history["loss"])
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel in an empty folder."""
    with running_kernel(tmp_path) as made:
        yield made


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # jupyter_client's own
def test_interrupted_and_rerun_in_a_live_kernel_it_goes_on_with_nothing_lost(kernel: Kernel) -> None:
    kernel.run("pace = 0")
    kernel.run(MODEL)
    kernel.run(FIT)
    expected = kernel.run(BITS)
    assert expected.startswith("bits")

    assert "first run" in kernel.run(BOOTSTRAP)
    assert "rerun" in kernel.run(BOOTSTRAP)
    kernel.run("pace = 0.1")
    kernel.run(MODEL)

    interrupted: list[bool] = []

    def interrupt(printed: str) -> None:
        if "step 11" in printed and not interrupted:
            interrupted.append(True)
            kernel.manager.interrupt_kernel()

    printed = kernel.run(FIT, interrupt)
    assert printed.endswith("KeyboardInterrupt")
    last = int(printed.rsplit("step ", 1)[1].split()[0])

    kernel.run("pace = 0")
    kernel.run(MODEL)  # a new model from random weights, as after "Run all"
    printed = kernel.run(FIT)
    assert "resuming at epoch 2/3" in printed
    assert f"step {last + 1}\n" in printed
    assert f"step {last}\n" not in printed
    assert kernel.run(BITS) == expected

    kernel.run(MODEL)
    printed = kernel.run(FIT)
    assert "no step is trained" in printed
    assert "step" not in printed.replace("no step", "")
    assert kernel.run(BITS) == expected
    assert "is safe in" in kernel.run("%holdfast wait")
    status = kernel.run("print(handle.status())")
    assert "confirmed" in status
    assert "none yet" not in status
