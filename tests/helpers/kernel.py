"""A kernel: a process that opens a session and does what it is told, one JSON line at a time.

``python -m helpers.kernel '{"store": ..., "run": ..., "spool": ..., ...}'`` prints what it found, then answers
each line of its standard input. It ends, without closing its session, when that input ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from helpers.snapshots import contents, snapshot
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.session import Session
from holdfast.runtime.settings import Settings


def found(session: Session) -> dict[str, Any]:
    """What the session's start found."""
    checkpoint = session.found.checkpoint
    return {
        "situation": session.found.situation,
        "incarnation": session.claim.incarnation,
        "spool": str(session.spool.folder),
        "checkpoint": str(checkpoint.stem) if checkpoint else None,
        "origin": checkpoint.shelf.origin if checkpoint else None,
    }


def answer(session: Session, order: dict[str, Any]) -> dict[str, Any]:
    """Does one thing and tells how it went."""
    match order.pop("do"):
        case "submit":
            kind, slots = order.pop("kind", "scheduled"), tuple(order.pop("slots", ["slot-0000"]))
            name = session.next_stem()
            submitted = session.submit(snapshot(contents(**order), kind=kind, slots=slots))
            session.flush()
            committed = session.last_committed
            return {"submitted": submitted, "stem": str(name), "committed": committed is not None}
        case "wait":
            return {"confirmed": session.wait(order["timeout"], progress=False)}
        case "state":
            return {
                "fenced": session.fenced,
                "daemon": session.status().pid,
                "starts": session.daemon.starts,
                "alive": session.daemon.is_alive(),
            }
        case "close":
            session.close()
            return {"closed": True}
        case "change settings":
            session.change_settings(lambda settings: settings)
            return {"changed": True}
        case "reopen":
            again = Session.open(session.settings)
            again.close()
            return found(again)
        case "fork":
            return forked(session)
        case other:
            raise ValueError(other)


def forked(session: Session) -> dict[str, Any]:
    """Whether the session is active in a forked child, and here."""
    child = os.fork()
    if child == 0:
        os._exit(1 if session.active else 0)
    return {"active in child": os.waitpid(child, 0)[1] != 0, "active here": session.active}


def main(settings: dict[str, Any]) -> None:
    """Opens the session and answers until there is no more to answer."""
    session = Session.open(Settings(**settings))
    print(json.dumps(found(session)), flush=True)
    for line in sys.stdin:
        try:
            result = answer(session, json.loads(line))
        except HoldfastError as error:
            result = {"error": type(error).__name__, "text": str(error)}
        print(json.dumps(result), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
