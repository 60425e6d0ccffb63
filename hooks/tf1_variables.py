"""The variables of TF1 graphs: their values out and in. Adds no op to a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from holdfast.runtime.crashpoints import reach

KIND: Final = "tf1 graph"
"""First line of a graph's structure; no model's has it."""

Variables = dict[str, Any]
"""Variables by the names of the ops that hold them."""


def global_variables(graph: Any) -> Variables:
    """A graph's global variables, in the order of their creation; those of text are left out."""
    found = {}
    for variable in graph.get_collection("variables"):
        initializer = getattr(variable, "initializer", None)
        if initializer is not None and len(initializer.inputs) == 2 and _dtype(variable).name != "string":
            found[str(variable.op.name)] = variable
    return found


def global_step(graph: Any) -> str:
    """The graph's own global step; empty where it has none."""
    return next((str(one.op.name) for one in graph.get_collection("global_step")), "")


def lines(variables: Variables) -> tuple[str, ...]:
    """The structure: never names, which drift when a cell is rerun."""
    return (KIND, *(f"variable {_dtype(one).name} {one.get_shape()}" for one in variables.values()))


def dtype_of(variable: Any) -> Any:
    """NumPy's dtype of a variable."""
    return np.dtype(_dtype(variable).as_numpy_dtype)


def _dtype(variable: Any) -> Any:
    return variable.dtype.base_dtype


def read(session: Any, variables: Variables) -> list[np.ndarray[Any, Any]]:
    """The values of variables, all read in one run, through the ops with which they were created."""
    from tensorflow.python.client.session import BaseSession

    values = BaseSession.run(session, [one._as_graph_element() for one in variables.values()])
    return [np.asarray(value) for value in values]


def write(session: Any, variables: Variables, values: Sequence[np.ndarray[Any, Any]]) -> None:
    """Gives variables values, through their initializers; should one fail, all get their old ones back."""
    before = read(session, variables)
    reach("restore.assign.begin")
    try:
        _write(session, variables, values)
    except BaseException:
        _write(session, variables, before)
        raise
    reach("restore.assigned")


def _write(session: Any, variables: Variables, values: Sequence[np.ndarray[Any, Any]]) -> None:
    from tensorflow.python.client.session import BaseSession

    waiting = list(zip(variables.values(), values, strict=True))
    while waiting:
        feeds: dict[str, Any] = {}
        now, later = [], []
        for variable, value in waiting:
            name = variable.initializer.inputs[1].name
            if name in feeds:  # several variables begin with one tensor
                later.append((variable, value))
                continue
            feeds[name] = value
            now.append(variable.initializer)
        BaseSession.run(session, now, feeds)
        reach("restore.assign.middle")
        waiting = later
