"""JSON as Holdfast writes it: compact, sorted, UTF-8."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: dict[str, Any]) -> bytes:
    """The JSON text of ``value``, the same bytes for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
