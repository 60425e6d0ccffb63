"""What may go wrong between Drive and its client; each fault is named after what it does."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from helpers.drive_wire import Refused, Reply, Request, refusal

if TYPE_CHECKING:
    from helpers.drive_server import DriveServer, Handler

GIVE_UP_SECONDS = 60.0


class Exchange:
    """A request, and what becomes of it."""

    def __init__(self, server: DriveServer, handler: Handler, request: Request) -> None:
        self.server, self.handler, self.request = server, handler, request

    def perform(self) -> Reply:
        """Does what is asked."""
        try:
            return self.server.perform(self.request)
        except Refused as refused:
            return refused.reply

    def send(self, reply: Reply, *, of_body: float = 1.0) -> None:
        """Sends an answer, or a share of its body under the header of the whole."""
        self.handler.reply(reply, of_body)

    def hang_up(self, *, reset: bool = False) -> None:
        """Closes the connection, in order or with a reset."""
        self.handler.close_connection = True
        connection = self.handler.connection
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        else:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


Fault = Callable[[Exchange], None]


def answers(status: int, reason: str = "") -> Fault:
    """Refuses, and does nothing."""
    return lambda exchange: exchange.send(refusal(status, reason))


def answers_later(status: int, reason: str = "") -> Fault:
    """Does what is asked, and says it has not."""

    def fault(exchange: Exchange) -> None:
        exchange.perform()
        exchange.send(refusal(status, reason))

    return fault


def resets(exchange: Exchange) -> None:
    """Breaks the connection off, and does nothing."""
    exchange.hang_up(reset=True)


def loses_reply(exchange: Exchange) -> None:
    """Does what is asked, and closes the connection without an answer."""
    exchange.perform()
    exchange.hang_up()


def resets_after(exchange: Exchange) -> None:
    """Does what is asked, and breaks the connection off."""
    exchange.perform()
    exchange.hang_up(reset=True)


def truncates_reply(exchange: Exchange) -> None:
    """Does what is asked, and sends half of the answer."""
    exchange.send(exchange.perform(), of_body=0.5)
    exchange.hang_up()


def cuts_json(exchange: Exchange) -> None:
    """Does what is asked, and sends half of the answer as if it were all."""
    reply = exchange.perform()
    exchange.send(Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers))


def sends_half(exchange: Exchange) -> None:
    """Sends half of the bytes asked for, as if there were no more to say."""
    reply = exchange.perform()
    exchange.send(Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers))


def ignores_range(exchange: Exchange) -> None:
    """Sends the whole file."""
    plain = {name: value for name, value in exchange.request.headers.items() if name != "range"}
    request = exchange.request
    whole = Request(request.operation, request.method, request.path, request.query, plain, request.body)
    exchange.send(exchange.server.perform(whole))


def stalls(until: threading.Event, *, then_performs: bool = False) -> Fault:
    """Says nothing until told to, and then nothing either."""

    def fault(exchange: Exchange) -> None:
        until.wait(GIVE_UP_SECONDS)
        if then_performs:
            exchange.perform()
        exchange.hang_up()

    return fault


def flips_a_bit(exchange: Exchange) -> None:
    """Stores other bytes than it was sent."""
    with exchange.server.lock:
        exchange.server.flipping = True
        try:
            exchange.send(exchange.perform())
        finally:
            exchange.server.flipping = False


def forgets_upload(status: int) -> Fault:
    """Knows nothing of the upload any more."""

    def fault(exchange: Exchange) -> None:
        exchange.server.sessions.clear()
        exchange.send(refusal(status, "notFound"))

    return fault


def keeps_only(count: int) -> Fault:
    """Keeps the first bytes of a piece, and says so."""

    def fault(exchange: Exchange) -> None:
        exchange.send(exchange.server.receive(exchange.request, keep=count))

    return fault
