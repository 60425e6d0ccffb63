"""One process of the matrix of loops: ``reference``, ``killed`` or ``resumed``, over many cases."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xxhash
from loop_cases import CASES

import colab_bootstrap

SEED = 11

MOST_STEPS = 2
"""Steps in an item without a loop or a `fit` in it."""


class Killed(BaseException):
    """Ends a loop as a kill would: nothing of the runtime gets to act on it."""


def train(name: str, actions: dict[int, Callable[[], None]]) -> dict[str, Any]:
    """Builds a case anew and trains it; returns everything that must come out equal."""
    gc.collect()
    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    steps = 0

    def done() -> None:
        nonlocal steps
        steps += 1
        if steps in actions:
            actions[steps]()

    variables = CASES[name](done)
    found: dict[str, Any] = {
        str(place): xxhash.xxh3_64_hexdigest(np.ascontiguousarray(variable.numpy()).tobytes())
        for place, variable in enumerate(variables)
    }
    found["next numbers"] = [
        float(np.random.rand()),
        float(keras.random.normal(())),
        float(tf.random.uniform(())),
    ]
    return {"outcome": json.loads(json.dumps(found)), "steps": steps}


def killed(name: str, folder: Path, at: int) -> None:
    """Trains until a checkpoint was taken after step ``at``, goes on for a step, and is gone."""
    handle = colab_bootstrap.start(str(folder / "store"), run=name, spool=str(folder / "spool"))

    def die() -> None:
        handle._session.closed = True  # from here on as if the process were gone
        raise Killed

    try:
        train(name, {at: handle.checkpoint, at + 2: die})
        raise AssertionError(f"{name} was not interrupted")
    except Killed:
        handle._session.closed = False
    colab_bootstrap.stop()


def resumed(name: str, folder: Path, at: int) -> dict[str, Any]:
    """Resumes what was killed, is interrupted once more, and resumes to the end; then replays."""

    def start() -> None:
        colab_bootstrap.stop()
        colab_bootstrap.start(str(folder / "store"), run=name, spool=str(folder / "spool"))

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def too_late() -> None:
        raise AssertionError(f"{name} was not interrupted at the end of its item")

    start()
    try:
        train(name, {at: interrupt, at + MOST_STEPS: too_late})
        raise AssertionError(f"{name} was not interrupted")
    except KeyboardInterrupt:
        pass
    start()
    found = train(name, {})
    start()
    again = train(name, {})
    colab_bootstrap.stop()
    return {"resumed": found, "replayed": again}


def main() -> None:
    """``loop_worker.py ROLE FOLDER OUT NAME:STEP:STEP…``"""
    role, base, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    found: dict[str, Any] = {}
    for word in sys.argv[4:]:
        name, first, second = word.split(":")
        folder = base / word.replace(":", "-")
        if role == "reference" and name in found:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{role} {word}", file=sys.stderr, flush=True)
        if role == "reference":
            found[name] = train(name, {})
        elif role == "killed":
            killed(name, folder, int(first))
        else:
            found[word] = resumed(name, folder, int(second))
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
