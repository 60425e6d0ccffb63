"""A kernel for the benchmark of the footprint: started, told what to do by lines, and asked what it takes.

``footprint_kernel.py FOLDER MEGABYTES``: with MEGABYTES a light process without TensorFlow, which hands one
state of so many MB to the spool when it is told ``snapshot``; with 0 a real one with TensorFlow, Keras and
the runtime. Answers are lines of JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from holdfast.runtime.names import Stem
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.snapshot import Snapshot, TensorSource

TENSOR_MB = 8


def answer(value: dict[str, Any]) -> None:
    """Writes a line."""
    sys.stdout.write("\n" + json.dumps(value) + "\n")
    sys.stdout.flush()


def large_snapshot(megabytes: int, seed: int) -> Snapshot:
    """A snapshot of that size, made tensor by tensor while it is written, so that this process stays small."""
    blob = random.Random(seed).randbytes(TENSOR_MB << 20)

    def source(number: int) -> TensorSource:
        def buffer() -> list[memoryview]:
            data = bytearray(blob)
            data[:8] = (seed << 32 | number).to_bytes(8, "little")
            return [memoryview(data)]

        return TensorSource(TensorSpec(f"model/{number}", "U8", (len(blob),)), buffer)

    count = max(1, megabytes // TENSOR_MB)
    return Snapshot("requested", ("slot",), [source(one) for one in range(count)], time.time(), {"slots": []})


def light(folder: Path, megabytes: int) -> None:
    """A session without anything to train."""
    from holdfast.runtime.session import Session
    from holdfast.runtime.settings import Settings

    settings = replace(Settings(), store=str(folder / "store"), run="run", spool=str(folder / "spool"))
    session = Session.open(replace(settings, persist_seconds=0.05))
    answer(about(session, set()))
    for line in sys.stdin:
        if line.strip() == "snapshot":
            stem: Stem = session.next_stem()
            session.submit(large_snapshot(megabytes, stem.sequence))
            answer({"confirmed": session.wait(600, progress=False)})
    session.close()


def real(folder: Path) -> None:
    """A kernel as a notebook has it, before the runtime, with it, and while it trains."""
    import keras
    import numpy as np
    import tensorflow as tf

    import colab_bootstrap

    tf.config.threading.set_intra_op_parallelism_threads(1)
    process = psutil.Process()
    earlier = {one.native_id for one in threading.enumerate()}
    before = {"rss": process.memory_info().rss, "threads": process.num_threads(), "fds": process.num_fds()}
    handle = colab_bootstrap.start(str(folder / "store"), run="run", spool=str(folder / "spool"))
    ours = {one.native_id for one in threading.enumerate()} - earlier
    answer(about(handle._session, ours) | {"before": before})
    for line in sys.stdin:
        match line.split():
            case ["look"]:
                answer(about(handle._session, ours))
            case ["train", seconds]:
                model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(64), keras.layers.Dense(1)])
                model.compile("adam", "mse")
                data = tf.data.Dataset.from_tensors((np.ones((8, 32), "f4"), np.ones((8, 1), "f4"))).repeat()
                begun = time.monotonic()

                def until(batch: int, logs: Any, end: float = begun + float(seconds)) -> None:
                    del batch, logs
                    time.sleep(0.02)  # as beside an accelerator: the host mostly waits
                    if time.monotonic() >= end:
                        model.stop_training = True  # noqa: B023

                stop = keras.callbacks.LambdaCallback(on_train_batch_end=until)
                model.fit(data, epochs=1000, steps_per_epoch=200, callbacks=[stop], verbose=0)
                answer(about(handle._session, ours))
    colab_bootstrap.stop()


def about(session: Any, ours: set[int | None]) -> dict[str, Any]:
    """What this process takes, and the CPU seconds of those of its threads."""
    process = psutil.Process()
    started = session.daemon._started
    return {
        "daemon": started.pid if started else 0,
        "rss": process.memory_info().rss,
        "threads": process.num_threads(),
        "fds": process.num_fds(),
        "ours": sorted(one.name for one in threading.enumerate() if one.native_id in ours),
        "cpu": sum(one.user_time + one.system_time for one in process.threads() if one.id in ours),
    }


def main() -> None:
    """Does what the command line says."""
    folder, megabytes = Path(sys.argv[1]), int(sys.argv[2])
    if megabytes:
        light(folder, megabytes)
    else:
        real(folder)


if __name__ == "__main__":
    main()
