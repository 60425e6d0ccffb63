"""One block in a process of its own: prints a line of JSON for the state, and one for each turn."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

import ours
from measure import Clock, Meter
from peers import Nothing, Variant, make_peer
from plan import HOLDFAST, NONE, UPLOADED, Block, State
from subject import make_data, make_model, prepare

PIECE: Final = 256 << 20
"""Bytes: what is larger is copied in pieces, each of which is larger than the processor's cache."""

COPIES: Final = 5


def main(block: Block) -> None:
    """Trains one model, the variants taking turns, and leaves nothing behind."""
    prepare(block)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name:
        handle, daemon = ours.start(name, **ours.FORCED)
        try:
            model = make_model(block)
            hand_on(asdict(about(model)))
            variants = {one: make_variant(one, Path(name), handle) for one in block.variants}
            clock = Clock(variants, block, Meter(daemon), lambda sample: hand_on(sample.to_dict()))
            callbacks: list[keras.callbacks.Callback] = [clock]
            callbacks += [one.callback for one in variants.values() if one.callback is not None]
            model.fit(make_data(model), steps_per_epoch=1_000_000, callbacks=callbacks, verbose=0)
        finally:
            handle.stop()
            daemon.kill()  # what it has still to upload, nobody wants
            daemon.wait(30)


def make_variant(name: str, folder: Path, handle: Any) -> Variant:
    """One of them."""
    if name == NONE:
        return Nothing()
    if name == HOLDFAST:
        return ours.Holdfast(handle)
    return ours.HoldfastUploaded(handle) if name == UPLOADED else make_peer(name, folder)


def about(model: Any) -> State:
    """The state's size, and what a copy of it within memory takes."""
    found = [*model.variables, *model.optimizer.variables]
    nbytes = sum(one.value.dtype.size * int(np.prod(one.shape)) for one in found)
    piece = min(nbytes, PIECE)
    source, target = np.ones(piece, np.uint8), np.ones(piece, np.uint8)
    took = []
    for _ in range(COPIES):
        began = time.perf_counter()
        np.copyto(target, source)
        took.append(time.perf_counter() - began)
    return State(nbytes, len(found), sorted(took)[COPIES // 2] * nbytes / piece)


def hand_on(line: dict[str, Any]) -> None:
    """To the driver."""
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Block.from_dict(json.loads(sys.argv[1])))
