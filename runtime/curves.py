"""What the Python state of a checkpoint says of losses and places. Pure; the state may be anything."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 10**7
"""Above every true number of epochs and batches that a picture can show."""

MAX_METRICS: Final = 64
"""Metrics read of one epoch."""

MAX_NAME: Final = 100
MAX_VALUE: Final = 1e30

_TAG: Final = "__holdfast__"
"""Marks what stands for something else than a dict, as `hooks.plain` writes it."""

Values = dict[str, float]
"""The loss and the metrics of one epoch, by their names in Keras' History."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a training call a checkpoint was taken.

    Attributes:
        call: Number of the call.
        epoch: Whole epochs, or items of a loop, that were done.
        executions: Executions of the training function after these.
        batches: Batches of an epoch, where that is known.
        tail: The epoch's last batch is done, its validation is not.
        logs: The running means at it, within an epoch.
    """

    call: int
    epoch: int
    executions: int
    batches: int | None
    tail: bool
    logs: Values


def place_of(state: dict[str, Any]) -> Place | None:
    """Where a checkpoint was taken; None where its state does not say."""
    call, position = count(state.get("call")), state.get("position")
    if call is None or not isinstance(position, dict) or (epoch := count(position.get("epoch"))) is None:
        return None
    data, logs = position.get("data"), state.get("logs")
    return Place(
        call=call,
        epoch=epoch,
        executions=count(position.get("executions")) or 0,
        batches=count(data.get("num_batches")) if isinstance(data, dict) else None,
        tail=position.get("phase") == "tail",
        logs=_values(logs.items()) if isinstance(logs, dict) else {},
    )


def history_of(state: dict[str, Any]) -> dict[int, Values]:
    """What Keras' History has at a checkpoint, by epoch from 0; nothing where there is none."""
    callbacks = state.get("callbacks")
    for one in callbacks if isinstance(callbacks, list) else ():
        if isinstance(one, dict) and one.get("class") == "History" and isinstance(one.get("attributes"), dict):
            attributes = one["attributes"]
            return by_epoch(_pairs(attributes.get("history")), attributes.get("epoch"))
    return {}


def by_epoch(lists: Iterator[tuple[Any, Any]], epochs: Any) -> dict[int, Values]:
    """Lists of values, each of one metric, as the values of each epoch.

    Args:
        lists: Each with its metric's name.
        epochs: The number of each epoch.
    """
    numbers = [count(epoch) for epoch in epochs] if isinstance(epochs, list) else []
    found: dict[int, Values] = {}
    for name, values in lists:
        if not isinstance(name, str) or not isinstance(values, list):
            continue
        # A metric that is not computed in every epoch has fewer values: nobody knows of which epochs.
        if len(values) != len(numbers):
            continue
        for epoch, value in zip(numbers, values, strict=True):
            known = number(value)
            if epoch is not None and known is not None:
                row = found.setdefault(epoch, {})
                if len(row) < MAX_METRICS:
                    row[name[:MAX_NAME]] = known
    return found


def _pairs(form: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(form, dict) and form.get(_TAG) == "dict" and isinstance(form.get("items"), list):
        for item in form["items"]:
            if isinstance(item, list) and len(item) == 2:
                yield item[0], item[1]


def _values(items: Any) -> Values:
    found: Values = {}
    for name, value in items:
        known = number(value)
        if isinstance(name, str) and known is not None and len(found) < MAX_METRICS:
            found[name[:MAX_NAME]] = known
    return found


def number(value: Any) -> float | None:
    """A finite number that can be drawn, also where NumPy's scalar stands for it; else None."""
    if isinstance(value, dict) and value.get(_TAG) == "scalar":
        value = value.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= MAX_VALUE else None  # neither infinite nor NaN


def count(value: Any) -> int | None:
    """A number of things; None where it is none, or beyond all measure."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST:
        return None
    return int(value)


def moment(value: Any) -> float | None:
    """A Unix time in seconds between 1970 and the year 5138; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e11:
        return None
    return float(value) if math.isfinite(value) else None
