"""Values that belong to a process and not to its training: times that its clocks show, paths on its disk."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

YEAR: Final = 366 * 86400.0
DAY: Final = 86400.0
"""Seconds: how far off a time may lie, such as one to stop at: by the date, and by the clock since the
machine's start, whose times are small numbers that may as well be something else."""

NANO: Final = 1e9

ITEMS: Final = 100
"""Items of a container that are looked at."""

PATH_MAX: Final = 4096


class ProcessValues:
    """Tells what a callback's `on_train_begin` took from the process; made before it runs."""

    def __init__(self) -> None:
        self._date, self._up, self._cpu = time.time(), time.monotonic(), time.process_time()

    def holds(self, value: Any) -> bool:
        """Whether a value that was set since is such a one, or holds one."""
        return any(map(self._is_one, itertools.islice(_leaves(value), ITEMS)))

    def _is_one(self, value: Any) -> bool:
        match value:
            case bool():
                return False
            case str():
                return 0 < len(value) < PATH_MAX and _exists(value)
            case int():
                return (
                    int(self._date) <= value <= self._date + YEAR
                    or self._date * NANO <= value <= (self._date + YEAR) * NANO
                    or self._up * NANO <= value <= time.monotonic() * NANO
                )
            case float() | np.floating():
                at = float(value)
                return (
                    abs(at - self._date) <= YEAR
                    or self._up <= at <= self._up + DAY
                    or self._cpu <= at <= time.process_time()
                )
        return False


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _leaves(value: Any) -> Iterator[Any]:
    """A value, or what the container that it is holds."""
    match value:
        case dict():
            yield from itertools.chain.from_iterable(map(_leaves, value.values()))
        case list() | tuple():
            yield from itertools.chain.from_iterable(map(_leaves, value))
        case _:
            yield value
