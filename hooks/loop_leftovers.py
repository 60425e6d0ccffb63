"""Metrics that still hold an earlier run's values when a cell is run again: pointed out, not changed."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from holdfast.hooks.loop_objects import Touched, variables_of
from holdfast.hooks.objects import Objects
from holdfast.hooks.variables import underlying
from holdfast.runtime import report


class Leftovers:
    """What the metrics of each cell held when it was over."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._held: dict[str, dict[int, tuple[weakref.ref[Any], str]]] = {}
        self._watched: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._cell = ""

    def cell_ended(self, cell: str, touched: Iterable[Touched]) -> None:
        """Notes what the metrics hold that the cell has moved."""
        moved = {key for one in touched for key in one.live()}
        self._watched, self._cell = {}, ""
        held: dict[int, tuple[weakref.ref[Any], str]] = {}
        for metric, _ in self._objects.live("metric"):
            for variable in map(underlying, variables_of("metric", metric)):
                if id(variable) in moved and np.any(variable.numpy()):
                    held[id(variable)] = (weakref.ref(variable), str(getattr(metric, "name", "")))
        if moved:
            self._held[cell] = held

    def forget(self) -> None:
        """The metrics were restored to where they were."""
        self._watched = {}

    def _begin(self) -> None:
        cell = self._objects.cell
        if cell != self._cell:
            self._cell, self._watched = cell, self._held.pop(cell, {})

    def assigned(self, variable: Any, args: tuple[Any, ...]) -> None:
        """A variable is assigned to for the first time in a cell, or while a function is traced."""
        self._begin()
        reference, name = self._watched.pop(id(variable), (None, ""))
        if reference is None or reference() is not variable:
            return
        value = getattr(args[0], "numpy", None) if args else None
        if value is not None and not np.any(value()):
            self._clear(name)  # reset
            return
        self._say(variable, name)

    def called(self, known: Touched) -> None:
        """A function that moves these is called for the first time in a cell."""
        self._begin()
        if not self._watched:
            return
        for key, variable in known.live().items():
            reference, name = self._watched.pop(key, (None, ""))
            if reference is not None and reference() is variable:
                self._say(variable, name)

    def _clear(self, name: str) -> None:
        self._watched = {key: one for key, one in self._watched.items() if one[1] != name}

    def _say(self, variable: Any, name: str) -> None:
        import tensorflow as tf

        with tf.init_scope():
            if not np.any(variable.numpy()):
                return
        self._clear(name)
        report.say_once(
            f"metric {name}",
            f"the metric {name!r} still holds values of this cell's earlier run; to begin at nought, call its "
            "reset_state() before the loop",
        )
