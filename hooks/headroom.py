"""Whether there is room for a second state, in the host's memory and in a GPU's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from holdfast.hooks import devices
from holdfast.hooks.patching import guarded
from holdfast.hooks.variables import NamedVariable
from holdfast.runtime import memory

SMALL_BYTES: Final = 16 << 20
"""Of a smaller state nobody asks: it is within the margin."""

_GPU: Final = re.compile(r"device:(GPU:\d+)$")
_limits: dict[str, int] = {}
"""Bytes of memory that TensorFlow may take on each GPU; that does not change in a process."""

_steps: dict[str, int] = {}
"""Bytes that a step takes on each GPU beside what is there between two steps. Asked once, before any reference
has been held: with one, the most that was ever taken has the copies in it."""


def shortage(variables: Sequence[NamedVariable]) -> str:
    """Why references of these variables cannot be held while the training goes on; empty where they can."""
    places: dict[str, int] = {}
    on_host = not any(device.startswith("GPU") for device in devices.accelerators())
    for one in variables:
        place = "" if on_host else _place(one.variable)
        places[place] = places.get(place, 0) + one.spec.nbytes
    if sum(places.values()) < SMALL_BYTES:
        return ""
    for gpu, state in places.items():
        if gpu:
            left = guarded(_left_on)(gpu)
            reason = "" if left is None else memory.shortage(state, left, f"{gpu}'s memory")
        else:
            reason = memory.shortage(state, memory.available())
        if reason:
            return reason
    return ""


def _place(variable: Any) -> str:
    """The GPU that a variable is on; empty for the host."""
    found = _GPU.search(str(variable.handle.device))
    return found[1] if found else ""


def _left_on(gpu: str) -> int | None:
    """Bytes that TensorFlow may still take on a GPU; None where it does not tell."""
    import tensorflow as tf
    from tensorflow.python.client import device_lib

    if gpu not in _limits:
        _limits.update(
            (name[1], int(one.memory_limit))
            for one in device_lib.list_local_devices()
            if (name := _GPU.search(one.name))
        )
    if gpu not in _limits:
        return None
    info = tf.config.experimental.get_memory_info(gpu)
    step = _steps.setdefault(gpu, max(0, info["peak"] - info["current"]))
    return int(_limits[gpu] - info["current"] - step)
