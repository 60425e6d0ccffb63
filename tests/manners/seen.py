"""What a program is seen to do: its values as plain JSON that tells types and bits apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ADDRESS = re.compile(r" at 0x[0-9a-f]+|(?<=keras_tensor)_\d+|(?<=Dataset):\d+|\d+ out of the last \d+")
"""What differs from one process or program to the next: addresses, and numbers counted through."""


class Seen:
    """What one program lets be seen, by name.

    Attributes:
        folder: The program's own working directory.
        settle: Waits until nothing goes on behind the program's back.
        notes: The values as plain JSON.
    """

    def __init__(self, folder: Path, settle: Callable[[], object] = lambda: None) -> None:
        self.folder, self.settle = folder, settle
        self.notes: dict[str, Any] = {}

    def note(self, key: str, value: Any) -> None:
        """Lets a value be seen."""
        assert key not in self.notes, key
        self.notes[key] = plain(value)

    def model(self, model: Any, history: Any = None, key: str = "model") -> None:
        """Lets everything of a model be seen that a training changes, and the attributes that it has."""
        self.note(f"{key} variables", [one.numpy() for one in model.variables])
        self.note(f"{key} paths", [one.path for one in model.variables])
        self.note(f"{key} attributes", sorted(vars(model)))
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            self.note(f"{key} optimizer", [one.numpy() for one in optimizer.variables])
            self.note(f"{key} optimizer paths", [one.path for one in optimizer.variables])
            self.note(f"{key} optimizer attributes", sorted(vars(optimizer)))
            self.note(f"{key} metrics", [one.numpy() for one in model.metrics_variables])
        function = getattr(model, "train_function", None)
        if function is not None and hasattr(function, "experimental_get_tracing_count"):
            self.note(f"{key} traces", function.experimental_get_tracing_count())
        if history is not None:
            self.note(f"{key} history", history.history)
            self.note(f"{key} epochs", history.epoch)
            self.note(f"{key} history attributes", sorted(vars(history)))
            self.note(f"{key} history is the model's", history is model.history)
            self.note(f"{key} history's model", history.model is model)

    def raising(self, key: str, action: Callable[[], Any]) -> None:
        """Lets the exception of an action be seen."""
        try:
            action()
        except BaseException as error:
            self.error(key, error)
        else:
            self.note(key, "nothing raised")

    def error(self, key: str, error: BaseException) -> None:
        """Lets an exception be seen, and where in the program it passed."""
        self.note(key, describe(error))
        passed = [frame for frame in frames(error) if frame[0] == "programs"]
        self.note(f"{key}: frames", [list(frame) for frame in passed])


def plain(value: Any) -> Any:
    """A value as JSON; values of different types or bits never look alike."""
    if value is None or (isinstance(value, (bool, int, str)) and type(value) in (bool, int, str)):
        return value
    if type(value) is float:
        return f"float {value.hex()}"
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        if value.dtype.hasobject:
            return ["ndarray", *map(plain, value.ravel().tolist())]
        return f"ndarray {value.dtype} {value.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    if isinstance(value, np.generic):
        return f"{type(value).__name__} {value.tobytes().hex()}"
    if isinstance(value, dict):
        return {"type": kind(value), "items": [[plain(key), plain(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [kind(value), *map(plain, value)]
    if isinstance(value, (set, frozenset)):
        return [kind(value), *sorted(map(repr, value))]
    if hasattr(value, "numpy"):
        return [kind(value), plain(value.numpy())]
    if isinstance(value, Path):
        return value.name
    return f"{kind(value)} {ADDRESS.sub('', repr(value))[:2000]}"


def kind(value: Any) -> str:
    """A value's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def describe(error: BaseException) -> dict[str, Any]:
    """An exception: class, words, and what led to it."""
    return {
        "class": kind(error),
        "arguments": plain([ADDRESS.sub("", str(one)) for one in error.args]),
        "text": ADDRESS.sub("", str(error)),
        "notes": plain(getattr(error, "__notes__", None)),
        "cause": None if error.__cause__ is None else describe(error.__cause__),
        "context": None if error.__context__ is None else describe(error.__context__),
        "suppressed": error.__suppress_context__,
    }


def frames(error: BaseException) -> Iterator[tuple[str, str, str, int]]:
    """The frames of an exception's traceback: folder, file, function, line."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        path = Path(code.co_filename)
        yield path.parent.name, path.name, code.co_name, trace.tb_lineno
        trace = trace.tb_next
