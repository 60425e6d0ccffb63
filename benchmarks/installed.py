"""Which peers are there to be measured. Imports none of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from plan import ORBAX

ORBAX_SOURCE: Final = "src/callbacks/orbax_checkpoint.py"
"""Keras 3.13 has the callback and does not export it yet."""


def missing() -> dict[str, str]:
    """Those that are not, each with what to say of it."""
    keras = importlib.util.find_spec("keras")
    if keras is None or not (Path(keras.origin or "").parent / ORBAX_SOURCE).exists():
        return {ORBAX: "this Keras has no OrbaxCheckpoint"}
    if importlib.util.find_spec("orbax") is None:
        return {ORBAX: "orbax-checkpoint is not installed (`pip install 'holdfast[bench]'`)"}
    return {}
