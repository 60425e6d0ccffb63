"""What trainings come to, in plain JSON: hashes of variables, attributes of callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xxhash


def hashes(groups: Mapping[str, Iterable[Any]]) -> dict[str, Any]:
    """The hashes of variables, by the names of their groups and their places there."""
    return {
        f"{group}/{place}": xxhash.xxh3_64_hexdigest(np.ascontiguousarray(variable.numpy()).tobytes())
        for group, variables in groups.items()
        for place, variable in enumerate(variables)
    }


def attributes(callbacks: Iterable[Any]) -> dict[str, Any]:
    """The callbacks' plain attributes."""
    return {
        f"callback {place} {type(callback).__name__}": {
            key: repr(value)
            for key, value in vars(callback).items()
            if isinstance(value, (int, float, list, np.ndarray)) and key != "append_header"
        }
        for place, callback in enumerate(callbacks)
    }
