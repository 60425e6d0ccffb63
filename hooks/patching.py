"""Wrapping the user's libraries, taking it back, and the guard: our bug never breaks a training."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from holdfast.hooks.lookalike import lookalike
from holdfast.runtime import report

log = logging.getLogger("holdfast.hooks")

P = ParamSpec("P")
T = TypeVar("T")
Wrapper = Callable[..., Any]

_patched: list[tuple[Any, str, str, Any, Any]] = []
"""Owner, name, who made the wrapper, what was there before, what is there since."""

_failures: Counter[tuple[str, type[Exception]]] = Counter()
"""How often what has gone wrong where, since the runtime started."""


def patch(owner: Any, name: str, make: Callable[[Callable[..., Any]], Wrapper]) -> None:
    """Replaces a method or function by one that looks like it.

    The wrapper calls the original exactly once and returns its value unchanged. Patching with what it
    is patched with already does nothing. A method that is inherited is replaced where it is defined, since
    another place would be seen; the wrapper is called for objects of the owner alone.

    Args:
        owner: The class, best a base class, so that subclasses' signatures stay as they are; or a module.
        name: The method.
        make: Gives the wrapper for the original.
    """
    maker = getattr(make, "__qualname__", repr(make))
    only = None
    if isinstance(owner, type) and name not in vars(owner):
        only, owner = owner, next(one for one in owner.__mro__ if name in vars(one))
    if any(entry[0] is owner and entry[1:3] == (name, maker) for entry in _patched):
        return
    original = vars(owner)[name]
    made = lookalike(original, make(original), only=only, method=isinstance(owner, type))
    setattr(owner, name, made)
    _patched.append((owner, name, maker, original, made))


def unpatch_all() -> None:
    """Takes every patch back, unless somebody else has patched over it since."""
    _failures.clear()
    while _patched:
        owner, name, _, before, wrapper = _patched.pop()
        if vars(owner).get(name) is not wrapper:
            log.warning("%s.%s was patched by somebody else; left", owner.__name__, name)
        else:
            setattr(owner, name, before)


def guarded(function: Callable[P, T]) -> Callable[P, T | None]:
    """Makes a function of ours harmless: what goes wrong in it is logged and said once.

    What goes wrong at every step is logged at the first time, the second, the fourth and so on: the log
    lies on the user's disk. KeyboardInterrupt and SystemExit pass: they are the user's.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            name = getattr(function, "__qualname__", repr(function))
            failure = name, type(error)
            _failures[failure] += 1
            if _failures[failure].bit_count() == 1:
                log.exception("in %s, time %d", name, _failures[failure])
            report.say_once(
                f"guard {name}",
                f"an error of Holdfast's own in {name} ({error!r}); your code goes on as if it were not "
                "there. The traceback is in the log 'holdfast.hooks'",
            )
            return None

    return call
