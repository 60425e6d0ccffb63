"""One block in a process of its own: prints a line of JSON for each turn."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

import keras
import psutil

import colab_bootstrap
from measure import Clock, Meter
from peers import NEVER, daemon_of, make_variants
from plan import Block, Regime, Sample
from subject import limit_cores, make_data, make_model


def main(block: Block) -> None:
    """Trains one model, the variants taking turns, and leaves nothing behind."""
    limit_cores(block.regime)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        handle = colab_bootstrap.start(
            str(folder / "store"),
            run="bench",
            spool=str(folder / "spool"),
            snapshot_seconds=NEVER,
            persist_seconds=NEVER,
            overhead_percent=0,
        )
        daemon = _wait_for_daemon(handle)
        try:
            _train(block, folder, handle, daemon)
        finally:
            handle.stop()
            daemon.kill()  # what it has still to upload, nobody wants
            daemon.wait(30)


def _train(block: Block, folder: Path, handle: colab_bootstrap.Handle, daemon: psutil.Process) -> None:
    model = make_model(block.regime, block.megabytes)
    variants = make_variants(folder, handle)
    clock = Clock(variants, block.rounds, Meter(daemon), _hand_on)
    callbacks: list[keras.callbacks.Callback] = [clock]
    callbacks += [one.callback for one in variants.values() if one.callback is not None]
    model.fit(make_data(model), steps_per_epoch=1_000_000, callbacks=callbacks, verbose=0)


def _hand_on(sample: Sample) -> None:
    print(json.dumps(sample.to_dict()), flush=True)


def _wait_for_daemon(handle: colab_bootstrap.Handle) -> psutil.Process:
    for _ in range(100):
        try:
            return daemon_of(handle)
        except (psutil.NoSuchProcess, ValueError):
            time.sleep(0.1)
    raise TimeoutError("the daemon did not start")


if __name__ == "__main__":
    main(Block(cast("Regime", sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
