"""Wrapping the user's libraries, taking it back, and the guard: our bug never breaks a training."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from holdfast.runtime import report

log = logging.getLogger("holdfast.hooks")

P = ParamSpec("P")
T = TypeVar("T")
Wrapper = Callable[..., Any]

_patched: list[tuple[type, str, Any, Any]] = []


def patch(owner: type, name: str, make: Callable[[Callable[..., Any]], Wrapper]) -> None:
    """Replaces a method that ``owner`` itself defines.

    The wrapper calls the original exactly once and returns its value unchanged. Patching what is
    patched already does nothing.

    Args:
        owner: The class, best a base class, so that subclasses' signatures stay as they are.
        name: The method.
        make: Gives the wrapper for the original.
    """
    if any(entry[0] is owner and entry[1] == name for entry in _patched):
        return
    original = vars(owner)[name]
    wrapper = functools.wraps(original)(make(original))
    setattr(owner, name, wrapper)
    _patched.append((owner, name, original, wrapper))


def unpatch_all() -> None:
    """Takes every patch back, unless somebody else has patched over it since."""
    while _patched:
        owner, name, original, wrapper = _patched.pop()
        if vars(owner).get(name) is wrapper:
            setattr(owner, name, original)
        else:
            log.warning("%s.%s was patched by somebody else; left", owner.__name__, name)


def guarded(function: Callable[P, T]) -> Callable[P, T | None]:
    """Makes a function of ours harmless: what goes wrong in it is logged and said once.

    KeyboardInterrupt and SystemExit pass: they are the user's.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            name = getattr(function, "__qualname__", repr(function))
            log.exception("in %s", name)
            report.say_once(
                f"guard {name}",
                f"an error of Holdfast's own in {name} ({error!r}); your code goes on as if it were not "
                "there. The traceback is in the log 'holdfast.hooks'",
            )
            return None

    return call
