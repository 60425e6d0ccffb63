"""Progress bars: only where somebody looks, only for what takes long, and with no thread of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast.runtime import report

if TYPE_CHECKING:
    from holdfast.runtime.bar import Bar

DELAY_SECONDS: Final = 1.0
"""What is done sooner needs no bar."""

LONG_BYTES: Final = 100_000_000
"""So many bytes have a bar from the start."""


def bytes_bar(what: str, total: int) -> Bar:
    """A bar of bytes, on standard error; none in a script whose output goes to a file.

    Args:
        what: What is done, in a word or two.
        total: Of how many bytes.
    """
    delay = 0.0 if total > LONG_BYTES else DELAY_SECONDS
    return _bar(what, total, unit="B", unit_scale=True, delay=delay)


def batches_bar(what: str, total: int) -> Bar:
    """The same of batches."""
    return _bar(what, total, unit="batch", delay=DELAY_SECONDS)


def _bar(what: str, total: int, **options: Any) -> Bar:
    from holdfast.runtime.bar import Bar  # tqdm takes 20 ms to import, and few look at a bar

    return Bar(desc=f"holdfast: {what}", total=total, leave=False, disable=not report.is_watched(), **options)
