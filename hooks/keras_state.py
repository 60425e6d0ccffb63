"""The attributes of callbacks and data objects: what changed in training, taken and put back.

Only what changed since the call began is restored, so what a user edited before a rerun (a patience,
a file name) stays edited; what had not changed goes back to what it was as this call began.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from holdfast.hooks import plain
from holdfast.hooks.baseline import Copies, First, set_attribute
from holdfast.hooks.process_values import ProcessValues
from holdfast.runtime import report
from holdfast.runtime.exactness_notes import say_inexact

log = logging.getLogger("holdfast.hooks")

SKIPPED_CLASSES: Final = frozenset({"ProgbarLogger"})
"""Callbacks that only display: they begin anew."""

SKIPPED_ATTRIBUTES: Final = frozenset({"model", "_model", "params", "validation_data"})

FILE_STATE: Final = {"CSVLogger": ("append", "append_header", "writer", "csv_file")}
"""Attributes of callbacks whose state is in a file; that file is handled apart."""

CSV_MAX_BYTES: Final = 4 << 20
"""Largest log of a CSVLogger that a snapshot carries, so that it survives with the VM lost."""


class Watched:
    """An object whose attributes are followed from the beginning of a call."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.kind = type(thing).__qualname__
        self._skipped = SKIPPED_ATTRIBUTES | set(FILE_STATE.get(self.kind, ()))
        self._ours = type(thing).__module__.startswith(("keras.", "tf_keras."))
        self._process = ProcessValues()
        self._given = {
            name: First(value, may_be_data=True, is_shared=not self._ours) for name, value in self._attributes()
        }
        self._first = self._given
        self._renewed: set[str] = set()
        self._restored: set[str] = set()

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for name, value in list(vars(self.thing).items()):
            if name not in self._skipped:
                yield name, value

    def begun(self) -> None:
        """After `on_train_begin`. A time or a path that it has set belongs to this process: it is not saved,
        and another process keeps what its own `on_train_begin` sets.
        """
        self._first = {}
        for name, value in self._attributes():
            given = self._given.get(name)
            if given is not None and _is_unchanged(given, value):
                self._first[name] = given
                continue
            first = self._first[name] = First(value, may_be_data=False, is_shared=not self._ours)
            if first.is_plain and self._process.holds(value):
                self._renewed.add(name)

    def capture(self, arrays: plain.Arrays) -> dict[str, Any]:
        """The attributes that differ from the beginning, as JSON; arrays go into ``arrays``."""
        changed, in_place, opaque = {}, [], []
        arrays.copying = not self._ours  # Keras replaces its arrays (best_weights), never writes into them
        for name, value in self._attributes():
            first = self._first.get(name)
            try:
                if name not in self._restored and self._is_as_begun(name, first, value):
                    continue
                changed[name] = plain.encode(value, arrays)
                if first is not None and first.is_shared_object(value):
                    in_place.append(name)
            except plain.TooLarge as error:
                opaque.append(name)
                say_inexact(
                    f"too large {self.kind}.{name}",
                    "callbacks and data",
                    f"{self.kind}.{name} is too large to be kept ({error}); a resume begins it anew",
                )
            except plain.NotPlain:
                opaque.append(name)  # such as TensorBoard's stack of writers: this process's own
                self._point_out(name, first, value)
        found: dict[str, Any] = {
            "class": self.kind,
            "attributes": changed,
            "in_place": in_place,
            "opaque": opaque,
        }
        if self.kind == "CSVLogger":
            found["file"] = _read_small(Path(self.thing.filename))
        return found

    def _is_as_begun(self, name: str, first: First | None, value: Any) -> bool:
        """Whether another process has the same value once its own call has begun.

        Raises:
            NotPlain: The value has no plain form.
        """
        if first is None:
            return False
        if first.is_data_in(value):
            return True
        given = self._given.get(name)
        if name not in self._renewed and (given is None or given.digest != first.digest):
            return False
        return plain.digest(value) == first.digest

    def _point_out(self, name: str, first: First | None, value: Any) -> None:
        """Says once of what has been replaced since the beginning that it cannot be saved."""
        if self._ours or (first is not None and not first.is_plain and first.is_same_object(value)):
            return
        if callable(value) or isinstance(value, io.IOBase):
            return  # of the process
        report.say_once(
            f"opaque {self.kind}",
            f"{self.kind}.{name} changed, and what it is ({type(value).__qualname__}) cannot be saved; a "
            "resume begins it anew",
        )

    def restore(self, saved: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Puts the attributes where they were; what others hold too is filled in place, as it was then."""
        changed, in_place = saved["attributes"], saved.get("in_place", ())
        for name, first in self._first.items():
            if name not in changed and name not in saved["opaque"]:
                first.put_back(self.thing, name)
        handed = arrays if self._ours else Copies(arrays)
        for name, form in changed.items():
            if name in self._skipped:
                continue
            self._restored.add(name)  # it differs from what another process begins with
            value = plain.decode(form, handed)
            if name in in_place and name in self._first:
                value = self._first[name].filled(value, vars(self.thing).get(name))
            set_attribute(self.thing, name, value)


def _is_unchanged(given: First, value: Any) -> bool:
    if not given.is_plain:
        return given.is_same_object(value)
    if given.is_data_in(value):
        return True
    try:
        return plain.digest(value) == given.digest and given.is_same_object(value)
    except plain.NotPlain:
        return False


class WatchedCallbacks:
    """The callbacks of one training call."""

    def __init__(self, callbacks: list[Any]) -> None:
        self._watched = [Watched(one) for one in callbacks if type(one).__name__ not in SKIPPED_CLASSES]

    def capture(self, arrays: plain.Arrays) -> list[dict[str, Any]]:
        """Their states as JSON."""
        return [one.capture(arrays) for one in self._watched]

    def begun(self) -> None:
        """After every callback's `on_train_begin`."""
        for one in self._watched:
            one.begun()

    def pairs(self, saved: list[dict[str, Any]]) -> Iterator[tuple[Watched, dict[str, Any]]]:
        """Each callback with its saved state: the n-th of a class with the n-th of that class."""
        left = list(saved)
        for one in self._watched:
            state = next((state for state in left if state["class"] == one.kind), None)
            if state is not None:
                left.remove(state)
                yield one, state

    def prepare(self, saved: list[dict[str, Any]]) -> list[Any]:
        """Before `on_train_begin`: puts log files back, and keeps them from being begun anew.

        Returns:
            The loggers whose ``append`` is to be reset after `on_train_begin`.
        """
        appending = []
        for one, state in self.pairs(saved):
            if one.kind == "CSVLogger" and state.get("file") is not None:
                Path(one.thing.filename).parent.mkdir(parents=True, exist_ok=True)
                Path(one.thing.filename).write_text(state["file"], encoding="utf-8")
                if not one.thing.append:
                    one.thing.append = True
                    appending.append(one.thing)
        return appending

    def restore(self, saved: list[dict[str, Any]], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Puts their attributes where they were."""
        for one, state in self.pairs(saved):
            one.restore(state, arrays)


def _read_small(path: Path) -> str | None:
    try:
        if path.stat().st_size > CSV_MAX_BYTES:
            return None
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None
