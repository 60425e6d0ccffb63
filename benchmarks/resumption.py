"""One process of the benchmark of restoring: saves a training's state, or begins or resumes that training.

It prints a line of JSON: seconds from the call of `fit`, with what a peer has to be asked before it, to the end
of the first step, their parts, and the most memory that the process had resident by then.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import psutil
import tensorflow as tf

LAYERS: Final = 6
STATE_PER_WEIGHT: Final = 12
BATCH: Final = 8
NEVER: Final = 86_400.0
SAVED_AT: Final = 2
"""The step after which the state is saved, in the midst of an epoch."""

READ_BYTES: Final = 8 << 20
READERS: Final = 2
"""How the file is read to compare with: ranges of that size, by that many threads, into fresh memory."""


def make_model(megabytes: int) -> Any:
    """A compiled model; its optimizer is built by `fit`, as in most programs."""
    width = int(math.sqrt(megabytes * 1e6 / STATE_PER_WEIGHT / LAYERS))
    outputs = inputs = keras.Input((width,))
    for _ in range(LAYERS):
        outputs = keras.layers.Dense(width, activation="relu")(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer=keras.optimizers.Adam(1e-6), loss="mse")
    return model


def fit(model: Any, callbacks: list[Any]) -> None:
    """Trains on batches without end."""
    generator = np.random.default_rng(0)
    shape = (BATCH, model.inputs[0].shape[1])
    batch = tuple(generator.standard_normal(shape, dtype=np.float32) for _ in range(2))
    data = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(data, steps_per_epoch=1000, epochs=2, callbacks=callbacks, verbose=0)


def start(folder: Path, spool: str) -> Any:
    """Starts the runtime; nothing is saved that is not asked for."""
    import colab_bootstrap

    return colab_bootstrap.start(
        str(folder / "store"),
        run="bench",
        spool=str(folder / spool),
        snapshot_seconds=NEVER,
        persist_seconds=NEVER,
    )


def backup(folder: Path) -> Any:
    """Keras' own way."""
    return keras.callbacks.BackupAndRestore(str(folder / "backup"), save_freq=SAVED_AT)


def manager(folder: Path, model: Any) -> Any:
    """TensorFlow's own way, as its guide has it."""
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    return tf.train.CheckpointManager(checkpoint, str(folder / "manager"), max_to_keep=1)


def save(folder: Path, megabytes: int) -> None:
    """Saves the state after the same step in every way, and ends as a killed process does."""
    handle, model, steps = start(folder, "spool"), make_model(megabytes), [0]

    def step_ended(batch: int, logs: Any = None) -> None:
        del batch, logs
        steps[0] += 1
        if steps[0] == SAVED_AT:
            handle.checkpoint()
            manager(folder, model).save()
        elif steps[0] > SAVED_AT:
            handle.wait()
            end(handle)

    fit(model, [keras.callbacks.LambdaCallback(on_train_batch_end=step_ended), backup(folder)])


def begin(variant: str, folder: Path, megabytes: int) -> None:
    """Begins the training, or resumes it in one of the ways, and says how long its first step was in coming."""
    handle, parts = None, {}
    if variant in ("spool", "store"):
        handle = start(folder, "spool" if variant == "spool" else f"spool-{os.getpid()}")
        parts = follow_parts()
    model, began, ended = make_model(megabytes), time.perf_counter(), 0.0

    def step_ended(batch: int, logs: Any = None) -> None:
        nonlocal ended
        del logs
        ended = time.perf_counter()
        found: dict[str, Any] = {"seconds": ended - began, "resumed": resumed(variant, model, batch), **parts}
        found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if variant == "plain":
            found["read"] = read_seconds(newest_object(folder))
        print(json.dumps(found), flush=True)
        end(handle)

    callbacks: list[Any] = [keras.callbacks.LambdaCallback(on_train_batch_end=step_ended)]
    began = time.perf_counter()
    if variant == "manager":
        manager(folder, model).restore_or_initialize()
    elif variant == "backup":
        callbacks.append(backup(folder))
    fit(model, callbacks)


def resumed(variant: str, model: Any, batch: int) -> bool:
    """Whether the first step was the one that follows the saved one."""
    if variant in ("spool", "store"):
        return batch == SAVED_AT
    return int(model.optimizer.iterations.numpy()) == SAVED_AT + 1


def follow_parts() -> dict[str, float]:
    """Has the parts of a restore add up their seconds, in what is returned."""
    from holdfast.hooks import assigning
    from holdfast.hooks.past import Past
    from holdfast.runtime.restore import Checkpoint

    seconds: dict[str, float] = {}

    def followed(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        seconds[name] = 0.0

        @functools.wraps(original)
        def call(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            try:
                return original(*arguments, **named)
            finally:
                seconds[name] += time.perf_counter() - begin

        return call

    Checkpoint.fetch = followed("fetch", Checkpoint.fetch)  # type: ignore[method-assign]
    Past._build = followed("build", Past._build)  # type: ignore[method-assign]
    assigning.assign = followed("assign", assigning.assign)
    return seconds


def newest_object(folder: Path) -> Path:
    """The file of the state in the spool."""
    return max(folder.glob("spool/spools/*/objects/*.safetensors"))


def read_seconds(path: Path) -> float:
    """Seconds that it takes to read a file into fresh memory, and to do nothing with it."""
    begin = time.perf_counter()
    size = path.stat().st_size
    memory = memoryview(np.empty(size, np.uint8))  # type: ignore[arg-type]
    with path.open("rb") as file, ThreadPoolExecutor(READERS) as pool:
        starts = range(0, size, READ_BYTES)
        jobs = [pool.submit(os.preadv, file.fileno(), [memory[one : one + READ_BYTES]], one) for one in starts]
        read = sum(job.result() for job in jobs)
    assert read == size
    return time.perf_counter() - begin


def end(handle: Any) -> None:
    """Ends at once; of the daemon nothing is wanted any more."""
    if handle is not None:
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):
            psutil.Process(handle._session.status().pid).kill()
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "save":
        save(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        begin(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
