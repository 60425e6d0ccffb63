"""What a training has to show: an epoch's logs so far, and a History short enough for the journal."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from holdfast.hooks import plain

SHORT_HISTORY: Final = 16
"""Numbers of a History that the journal keeps of a call, for want of a milestone."""


def capture_logs(logs: Any, arrays: plain.Arrays) -> dict[str, Any] | None:
    """An epoch's logs as JSON, None for none; vectors, as some metrics give them, go into ``arrays``."""
    if not isinstance(logs, dict) or not logs:
        return None
    try:
        return {str(key): _form(value, arrays) for key, value in logs.items()}
    except (plain.NotPlain, TypeError, ValueError):
        return None


def _form(value: Any, arrays: plain.Arrays) -> Any:
    return plain.encode(value, arrays) if np.ndim(value) or isinstance(value, dict) else float(value)


def restored_logs(saved: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any] | None:
    """The logs that were saved so."""
    return None if saved is None else {key: plain.decode(form, arrays) for key, form in saved.items()}


def short_history(model: Any) -> dict[str, list[float]]:
    """What `fit` returns, where it is short enough for the journal, and nothing but numbers."""
    history = getattr(getattr(model, "history", None), "history", None)
    if not isinstance(history, dict) or sum(map(len, history.values())) > SHORT_HISTORY:
        return {}
    if any(np.ndim(value) or isinstance(value, dict) for values in history.values() for value in values):
        return {}
    return {str(key): [float(value) for value in values] for key, values in history.items()}
