"""Requests and answers of the Drive that tests use, and the shape of its errors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An answer that is an error, of the shape that Google's servers give it."""

    def __init__(self, status: int, reason: str = "") -> None:
        self.reply = refusal(status, reason)
        super().__init__(status, reason)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in. ``operation`` is what Drive calls it, or a step of an upload."""

    operation: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def refusal(status: int, reason: str = "") -> Reply:
    """An error as Google's servers word it: of the newer kind where the reason is in capitals."""
    message = f"Told to refuse: {reason or status}."
    error: dict[str, Any] = {"code": status, "message": message}
    if reason.isupper():
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["status"] = "PERMISSION_DENIED"
        error["errors"] = [{"message": message, "domain": "global", "reason": "forbidden"}]
        error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"}]
    elif reason:
        domain = "usageLimits" if "Exceeded" in reason else "global"
        error["errors"] = [{"message": message, "domain": domain, "reason": reason}]
    else:
        return Reply(status, b"<html>told to refuse</html>", {"Content-Type": "text/html"})
    return as_json({"error": error}, status)


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8"})
