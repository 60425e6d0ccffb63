"""Claims: who may write to a run. The highest incarnation wins; it is a fencing token."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import fastjsonschema

from holdfast.runtime.errors import ClaimLost, FormatInvalid, ObjectExists, ObjectNotFound
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.stores.base import Content, Store

FOLDER: Final = "claims"
ATTEMPTS: Final = 20
"""Sessions that may start in one instant before one of them gives up claiming."""

BACKOFF_SECONDS: Final = 0.02
"""The longest wait before a second try; each further one may be longer by as much."""

KEPT: Final = 20
"""Claims kept for people to look at; only the highest one counts."""

_NAME: Final = re.compile(r"(\d{8,12})-([0-9a-f]{8})\.json", re.ASCII)
_SESSION: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)
_MAX_BYTES: Final = 10_000


Ending = Literal["ended", "killed", "alive"]
"""``ended``: it said so; ``killed``: its process is gone, and it did not; ``alive``: it ran on."""


class Before(NamedTuple):
    """The session that a claimant found on its machine, and how."""

    session: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class Claim:
    """One session's right to write to a run.

    Attributes:
        incarnation: One higher than any claim before it.
        session: Eight hexadecimal digits, drawn at random.
        machine: Where it was made, by `machine.machine_id`.
        process: The kernel's process there.
        claimed_at: Unix time in seconds by that machine's clock; for people, never compared.
        before: What was on that machine; None where there was nothing, or where it is not known. For people.
        by: ``tool`` for a command, which trains nothing.
    """

    incarnation: int
    session: str
    machine: str
    process: ProcessId
    claimed_at: float
    before: Before | None = None
    by: Literal["session", "tool"] = "session"

    @property
    def name(self) -> str:
        """Its name in the store."""
        return f"{FOLDER}/{self.incarnation:08d}-{self.session}.json"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "format": 1,
            "incarnation": self.incarnation,
            "session": self.session,
            "machine": self.machine,
            "pid": self.process.pid,
            "started": self.process.started,
            "claimed_at": self.claimed_at,
            **({"before": list(self.before)} if self.before else {}),
            **({"by": self.by} if self.by != "session" else {}),
        }


_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["format", "incarnation", "session", "machine", "pid", "started", "claimed_at"],
    "properties": {
        "format": {"const": 1},
        "incarnation": {"type": "integer", "minimum": 1, "maximum": 999_999_999_999},
        "session": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
        "machine": {"type": "string", "maxLength": 200},
        "pid": {"type": "integer", "minimum": 0},
        "started": {"type": "number"},
        "claimed_at": {"type": "number"},
    },
}


@cache
def _check() -> Callable[[Any], Any]:
    """Made when the first claim is read: it takes some milliseconds."""
    made: Callable[[Any], Any] = fastjsonschema.compile(_SCHEMA)
    return made


def claim_from_bytes(data: bytes, *, name: str) -> Claim:
    """Reads a claim.

    Raises:
        FormatInvalid: It is none, or not of that name.
    """
    try:
        value = json.loads(data)
        _check()(value)
    except (ValueError, RecursionError, fastjsonschema.JsonSchemaException) as error:
        raise FormatInvalid(f"Not a claim: {str(error)[:200]}", where=name) from None
    try:
        process = ProcessId(int(value["pid"]), float(value["started"]))
        claim = Claim(
            int(value["incarnation"]),
            value["session"],
            value["machine"],
            process,
            float(value["claimed_at"]),
            _before(value.get("before")),
            "tool" if value.get("by") == "tool" else "session",
        )
    except (OverflowError, ValueError) as error:  # infinities, which JSON has in Python
        raise FormatInvalid(f"Not a claim: {error}", where=name) from None
    if claim.name != f"{FOLDER}/{name}":
        raise FormatInvalid(f"A claim that calls itself {claim.name}", where=name)
    return claim


def _before(value: Any) -> Before | None:
    match value:
        case [str(session), ("ended" | "killed" | "alive") as ending] if _SESSION.fullmatch(session):
            return Before(session, ending)
    return None  # a claim is no less one for it


def read_claim(store: Store, name: str, size: int) -> Claim:
    """Reads the claim of that name and size from a run's folder; of a longer file no more than a claim has.

    Raises:
        FormatInvalid: It is none.
        ObjectNotFound: It is gone.
    """
    return claim_from_bytes(store.read(f"{FOLDER}/{name}", min(size, _MAX_BYTES)), name=name)


def highest(store: Store) -> tuple[int, str]:
    """Incarnation and session of the newest claim in a run, by the names alone; (0, "") if none."""
    matches = (_NAME.fullmatch(name) for name in store.sizes(FOLDER))
    return max(((int(match[1]), match[2]) for match in matches if match), default=(0, ""))


def read_highest(store: Store) -> Claim | None:
    """The newest claim of a run that can be read; None where there is none at all."""
    sizes = store.sizes(FOLDER)
    matches = [match for name in sizes if (match := _NAME.fullmatch(name))]
    for match in sorted(matches, key=lambda match: (int(match[1]), match[2]), reverse=True):
        name = match[0]
        try:
            return read_claim(store, name, sizes[name])
        except (FormatInvalid, ObjectNotFound):
            continue
    return None


def make_claim(
    store: Store,
    session: str,
    machine: str,
    process: ProcessId,
    now: float,
    *,
    before: Before | None = None,
    by: Literal["session", "tool"] = "session",
) -> Claim:
    """Claims a run under an incarnation higher than any other.

    The name holds the session, so a store without create-if-absent loses nothing; whoever then
    sees a rival at its own number moves on to the next, and so one of two is always higher.

    Raises:
        ClaimLost: Others kept claiming at the same instant.
    """
    for attempt in range(ATTEMPTS):
        if attempt:  # not in step with the others that claim just now
            time.sleep(secrets.randbelow(1000) / 1000 * BACKOFF_SECONDS * attempt)
        claim = Claim(highest(store)[0] + 1, session, machine, process, now, before, by)
        try:
            store.create(claim.name, Content.of(to_json(claim.to_dict())))
        except ObjectExists:
            continue
        if highest(store) == (claim.incarnation, session) and not _has_rival(store, claim):
            return claim
    raise ClaimLost(
        "Other sessions kept claiming this run at the same time",
        where=store.url,
        hint="Start again, or give this one another run name",
    )


def prune(store: Store, incarnation: int) -> None:
    """Deletes all but the newest claims up to ``incarnation``, so that a listing of them stays short."""
    matches = [match for name in store.sizes(FOLDER) if (match := _NAME.fullmatch(name))]
    older = sorted((match for match in matches if int(match[1]) < incarnation), key=lambda match: int(match[1]))
    for match in older[:-KEPT]:
        store.delete(f"{FOLDER}/{match[0]}")


def _has_rival(store: Store, claim: Claim) -> bool:
    prefix = f"{claim.incarnation:08d}-"
    return any(name.startswith(prefix) and name != claim.name.split("/")[1] for name in store.sizes(FOLDER))
