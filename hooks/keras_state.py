"""The attributes of callbacks and data objects: what changed in training, taken and put back.

Only what changed since the call began is restored, so what a user edited before a rerun (a patience,
a file name) stays edited; what had not changed goes back to what it was as this call began.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from holdfast.hooks import plain
from holdfast.runtime.exactness_notes import say_inexact

log = logging.getLogger("holdfast.hooks")

SKIPPED_CLASSES: Final = frozenset({"ProgbarLogger"})
"""Callbacks that only display: they begin anew."""

SKIPPED_ATTRIBUTES: Final = frozenset({"model", "_model", "params", "validation_data"})

FILE_STATE: Final = {"CSVLogger": ("append", "append_header", "writer", "csv_file")}
"""Attributes of callbacks whose state is in a file; that file is handled apart."""

CSV_MAX_BYTES: Final = 4 << 20
"""Largest log of a CSVLogger that a snapshot carries, so that it survives with the VM lost."""

ARRAY_MAX_BYTES: Final = 16 << 20
"""Arrays that were there at the beginning and are larger are taken for data, and let be."""


class Watched:
    """An object whose attributes are followed from the beginning of a call."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.kind = type(thing).__qualname__
        self._skipped = SKIPPED_ATTRIBUTES | set(FILE_STATE.get(self.kind, ()))
        self._ours = type(thing).__module__.startswith(("keras.", "tf_keras."))
        self._first: dict[str, str] = {}
        self._first_values: dict[str, Any] = {}
        self._let_be: set[str] = set()
        for name, value in self._attributes():
            if isinstance(value, np.ndarray) and value.nbytes > ARRAY_MAX_BYTES:
                self._let_be.add(name)
                continue
            with contextlib.suppress(plain.NotPlain):
                self._first[name] = plain.digest(value)
                arrays = plain.Arrays("first")
                self._first_values[name] = (plain.encode(value, arrays), arrays)

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self.thing).items():
            if name not in self._skipped:
                yield name, value

    def capture(self, arrays: plain.Arrays) -> dict[str, Any]:
        """The attributes that differ from the beginning, as JSON; arrays go into ``arrays``."""
        changed, opaque = {}, []
        arrays.copying = not self._ours  # Keras replaces its arrays (best_weights), never writes into them
        for name, value in self._attributes():
            if name in self._let_be:
                continue
            try:
                if name not in self._first or plain.digest(value) != self._first[name]:
                    changed[name] = plain.encode(value, arrays)
            except plain.TooLarge as error:
                opaque.append(name)
                say_inexact(
                    f"too large {self.kind}.{name}",
                    "callbacks and data",
                    f"{self.kind}.{name} is too large to be kept ({error}); a resume begins it anew",
                )
            except plain.NotPlain:
                opaque.append(name)  # such as TensorBoard's stack of writers: this process's own
        found: dict[str, Any] = {"class": self.kind, "attributes": changed, "opaque": opaque}
        if self.kind == "CSVLogger":
            found["file"] = _read_small(Path(self.thing.filename))
        return found

    def restore(self, saved: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Puts the attributes where they were."""
        changed = saved["attributes"]
        for name, (form, values) in self._first_values.items():
            if name not in changed and name not in saved["opaque"]:
                setattr(self.thing, name, plain.decode(form, values))
        for name, form in changed.items():
            if name in self._skipped:
                continue
            with contextlib.suppress(AttributeError):  # a property without a setter
                setattr(self.thing, name, plain.decode(form, arrays))


class WatchedCallbacks:
    """The callbacks of one training call."""

    def __init__(self, callbacks: list[Any]) -> None:
        self._watched = [Watched(one) for one in callbacks if type(one).__name__ not in SKIPPED_CLASSES]

    def capture(self, arrays: plain.Arrays) -> list[dict[str, Any]]:
        """Their states as JSON."""
        return [one.capture(arrays) for one in self._watched]

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
