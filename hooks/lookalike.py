"""Functions that look like those that they stand for: their parameters, and no frame in a traceback.

`functools.wraps` alone leaves a wrapper its own parameters, which `inspect.getfullargspec` sees; with a
``__signature__`` those of what the wrapped function itself wraps would be hidden from `inspect.signature`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

FILE: Final = "<holdfast>"
"""What is given as the file of code that is made here."""

HERE: Final = str(Path(__file__).parent)

TEMPLATE: Final = """
def {name}({parameters}):
    try:{checks}
        return _ours_({passed})
    except BaseException as _error_:
        _leave_(_error_)
        raise
"""


def lookalike(
    original: Callable[..., Any], ours: Callable[..., Any], *, only: type | None = None, method: bool = True
) -> Callable[..., Any]:
    """A function with the very parameters of the original that calls ours.

    Ours gets what has a name by its place, but for what may be given by its name alone.

    Args:
        original: The function that it stands for.
        ours: What it calls.
        only: The class whose objects ours is called for; the original is called for all others. None for all.
        method: Whether the first argument is the object, which ours gets by its place.
    """
    if not isinstance(original, FunctionType):
        return functools.wraps(original)(ours)
    parameters, passed, first = _parameters(original.__code__)
    checks = ""
    if method and first is None:  # as a decorator of Keras' has it: the object is in *args, or in **kwargs
        first = "args[0]"
        parameters, passed = "*args, **kwargs", "*args, **kwargs"
        checks += "\n        if not args:"
        checks += "\n            if _first_ not in kwargs: return _original_(**kwargs)"
        checks += "\n            args = (kwargs.pop(_first_),)"
    if only is not None:
        checks += f"\n        if not isinstance({first}, _only_): return _original_({passed})"
    name = original.__name__ if original.__name__.isidentifier() else "wrapper"
    source = TEMPLATE.format(name=name, parameters=parameters, passed=passed, checks=checks)
    names = {"__name__": __name__, "_ours_": ours, "_original_": original, "_only_": only, "_leave_": leave}
    if method:
        names["_first_"] = next(iter(inspect.signature(original).parameters), "self")
    exec(compile(source, FILE, "exec", dont_inherit=True), names)  # noqa: S102 - of names that Python's own code has
    made = names[name]
    assert isinstance(made, FunctionType)
    made.__defaults__ = original.__defaults__
    made.__kwdefaults__ = None if original.__kwdefaults__ is None else dict(original.__kwdefaults__)
    return functools.wraps(original)(made)


def _parameters(code: CodeType) -> tuple[str, str, str | None]:
    """The parameters of a function as they are written, how they are passed on, and the first one's name."""
    names = list(code.co_varnames)
    by_place, rest = names[: code.co_argcount], names[code.co_argcount :]
    by_name, rest = rest[: code.co_kwonlyargcount], rest[code.co_kwonlyargcount :]
    written, passed = list(by_place), list(by_place)
    if code.co_posonlyargcount:
        written.insert(code.co_posonlyargcount, "/")
    if code.co_flags & inspect.CO_VARARGS:
        written.append(f"*{rest[0]}")
        passed.append(f"*{rest.pop(0)}")
    elif by_name:
        written.append("*")
    written += by_name
    passed += [f"{name}={name}" for name in by_name]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        written.append(f"**{rest[0]}")
        passed.append(f"**{rest[0]}")
    return ", ".join(written), ", ".join(passed), by_place[0] if by_place else None


def leave(error: BaseException) -> None:
    """Takes our outermost frames out of an error's traceback, which then is as it is without us.

    Keras shows users the innermost frame that is neither its own nor TensorFlow's, and so would show ours.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((FILE, HERE)):
        trace = trace.tb_next
    BaseException.with_traceback(error, trace)
