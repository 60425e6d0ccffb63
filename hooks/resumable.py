"""`resumable`: an iterable whose place is saved and restored."""

from __future__ import annotations

import contextlib
import dis
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from holdfast.hooks.patching import guarded

if TYPE_CHECKING:
    from holdfast.hooks.loop_level import Level
    from holdfast.hooks.loops import Loops

T = TypeVar("T")

ASIDE: Final = ("evaluate", "predict", "test_on_batch", "predict_on_batch", "set_weights", "load_weights")
"""Keras' methods that move a model's counters, metrics or weights, and are no step of a loop."""

DROPS: Final = frozenset({"POP_TOP", "POP_ITER", "END_FOR", "POP_BLOCK"})
"""Instructions that let go of a loop's iterator where the code leaves the loop: `break`, `return`. An exception
lets go of it at the instruction that raised."""

_current: Loops | None = None


def follow(loops: Loops | None) -> None:
    """Has loops that begin from now on followed by these; None for by none."""
    global _current
    _current = loops


def followed_by() -> Loops | None:
    """What follows the loops that begin from now on."""
    return _current


@contextlib.contextmanager
def unobserved() -> Iterator[None]:
    """Within it, a loop without `resumable` takes no notice of what is moved in this thread."""
    running = _current.running if _current is not None and not _current.levels else None
    if running is not None:
        running.ours += 1
    try:
        yield
    finally:
        if running is not None:
            running.ours -= 1


def aside(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps what a loop without `resumable` takes no notice of, which would take it for a step."""

    def wrapper(thing: Any, /, *args: Any, **kwargs: Any) -> Any:
        # As `unobserved`, whose context manager would take longer than all else that is ours in a `predict`.
        running = _current.running if _current is not None and not _current.levels else None
        if running is None:
            return original(thing, *args, **kwargs)
        running.ours += 1
        try:
            return original(thing, *args, **kwargs)
        finally:
            running.ours -= 1

    return wrapper


class Resumable(Generic[T]):
    """An iterable whose place is saved and restored."""

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[T]:
        return ResumableIterator(self._iterable)

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"resumable({self._iterable!r})"


class ResumableIterator(Iterator[T]):
    """One pass over it. What is ours goes through the guard; without a runtime it is a plain iterator."""

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterable = iterable
        self._level: Level | None = None
        self._plain: Iterator[T] | None = None
        self._code: CodeType | None = None
        self._loops = _current
        self._around = _current.levels[-1] if _current is not None and _current.levels else None

    def __next__(self) -> T:
        if self._level is None and self._plain is None:
            around, self._around = self._around, None
            self._level = (
                guarded(self._loops.begin)(self._iterable, around) if self._loops is not None else None
            )
            self._code = sys._getframe(1).f_code
            if self._level is None:
                self._plain = iter(self._iterable)
        if self._plain is not None:
            return next(self._plain)
        assert self._level is not None and self._loops is not None
        return self._loops.next_item(self._level, self)  # type: ignore[no-any-return]

    def __del__(self) -> None:
        level, self._level = getattr(self, "_level", None), None
        if level is not None and self._loops is not None:
            code = self._code
            guarded(self._loops.dropped)(level, lambda: _left_by_code(code))


def _left_by_code(code: CodeType | None) -> bool:
    """Whether the code itself lets go of an iterator just now, as `break` and `return` do.

    Args:
        code: What the loop is in; other code lets go of it together with an error's traceback.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not ResumableIterator.__del__.__code__:
        frame = frame.f_back
    frame = frame.f_back if frame is not None else None
    if frame is None or frame.f_code is not code:
        return False
    while frame is not None:
        if dis.opname[frame.f_code.co_code[frame.f_lasti]] in DROPS:
            return True
        if not frame.f_code.co_flags & inspect.CO_GENERATOR:
            return False
        frame = frame.f_back  # such as a bar's own loop, which ends with the one over it
    return False
