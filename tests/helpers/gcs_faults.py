"""Faults of the test server for Cloud Storage, each named after what it does to one request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace

from helpers.gcs_bucket import Bucket, Refusal, Reply, Request, as_json

Answer = Callable[[Request], Reply]
Fault = Callable[[Request, Answer], Reply]


class ConnectionBreaks(Exception):
    """Nothing is answered; the connection is reset."""


def refuses(status: int, reason: str = "backendError", message: str = "On purpose") -> Fault:
    """Answers with an error instead of doing anything."""

    def fault(request: Request, _answer: Answer) -> Reply:
        return Refusal(status, reason, message).reply(plain=request.query.get("alt") == "media")

    return fault


def resets_before_storing(_request: Request, _answer: Answer) -> Reply:
    """The connection breaks, and nothing was done."""
    raise ConnectionBreaks


def loses_the_reply(request: Request, answer: Answer) -> Reply:
    """All is done; the connection breaks before the answer."""
    answer(request)
    raise ConnectionBreaks


def truncates_the_reply(request: Request, answer: Answer) -> Reply:
    """All is done; the answer is half of its JSON, and claims to be whole."""
    reply = answer(request)
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def lies_about_the_checksum(request: Request, answer: Answer) -> Reply:
    """All is done; the answer names a checksum that is not the object's."""
    return as_json({**json.loads(answer(request).body), "crc32c": "AAAAAA=="})


def damages_the_body(request: Request, answer: Answer) -> Reply:
    """The last byte but 200 arrives with one bit changed."""
    body = bytearray(request.body)
    body[-200] ^= 0x10
    return answer(replace(request, body=bytes(body)))


def breaks_the_stream(count: int) -> Fault:
    """The connection breaks after ``count`` bytes of the answer's body."""
    return lambda request, answer: replace(answer(request), sent=count)


def ignores_the_range(request: Request, answer: Answer) -> Reply:
    """The whole object is sent, whatever was asked for."""
    return answer(replace(request, headers={**request.headers, "range": ""}))


def keeps_only(count: int) -> Fault:
    """Of a chunk only the first ``count`` bytes arrive, and the answer says so."""
    return lambda request, answer: answer(replace(request, body=request.body[:count]))


def forgets_the_session(bucket: Bucket, status: int = 410) -> Fault:
    """The upload's session is gone, with what it had received."""

    def fault(request: Request, _answer: Answer) -> Reply:
        bucket.sessions.pop(request.query["upload_id"], None)
        return Refusal(status, "gone" if status == 410 else "notFound", "On purpose").reply(plain=False)

    return fault


class Stalls:
    """Answers nothing until it is released, and then may still do what it was asked.

    Args:
        commits: Whether it does.

    Attributes:
        reached: Set when a request has come to stall.
        done: Set when all is over.
    """

    def __init__(self, *, commits: bool) -> None:
        self.commits = commits
        self.reached, self.released, self.done = threading.Event(), threading.Event(), threading.Event()
        self.status: int | None = None

    def __call__(self, request: Request, answer: Answer) -> Reply:
        self.reached.set()
        self.released.wait()
        if self.commits:
            self.status = answer(request).status
        self.done.set()
        raise ConnectionBreaks
