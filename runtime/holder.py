"""Who may be writing to a run, as far as that can be seen from here, and how a tool takes its place."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.runtime import claims, report
from holdfast.runtime.claims import Before, Claim
from holdfast.runtime.errors import ClaimLost
from holdfast.runtime.machine import ProcessId, machine_id
from holdfast.runtime.service import Service
from holdfast.runtime.spool import spool_folder
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores.base import Store

Life = Literal["none", "ended", "alive", "unknown"]
"""``unknown``: it was on another machine, or on this one before its disk was lost."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that made a run's newest claim.

    Attributes:
        life: Whether it, or its daemon, may still write.
        claim: Its claim; None where there is none that can be read.
    """

    life: Life
    claim: Claim | None = None

    def __str__(self) -> str:
        if self.claim is None:
            return "no session"
        age = report.ago(time.time() - self.claim.claimed_at)
        where = {
            "alive": f"which runs on this machine as process {self.claim.process.pid}",
            "ended": "which has ended",
        }.get(self.life, "which is on another machine and may still run")
        return f"session {self.claim.session}, begun {age} ago, {where}"


@dataclass(frozen=True, slots=True)
class Here:
    """A run as this machine knows it.

    Attributes:
        spools: The local folder for spools.
        url: URL of the store.
        run: Name of the run.
    """

    spools: Path
    url: str
    run: str

    def holder_of(self, store: Store) -> Holder:
        """Who made the newest claim in the run's folder."""
        claim = claims.read_highest(store)
        return Holder("none") if claim is None else Holder(self.life_of(claim), claim)

    def life_of(self, claim: Claim) -> Life:
        """Whether the session of a claim may still write. Changes nothing."""
        if not (self.spools / "machine").is_file() or machine_id(self.spools) != claim.machine:
            return "unknown"
        folder = spool_folder(self.spools, self.url, self.run)
        service, daemon = Service.load(folder), DaemonStatus.load(folder)
        if daemon.session == claim.session and ProcessId(daemon.pid, daemon.started).is_alive():
            return "alive"  # what is left in the spool is on its way
        ended = service is not None and service.session == claim.session and service.ended
        return "alive" if claim.process.is_alive() and not ended else "ended"

    def last(self) -> Before | None:
        """The session that had the run's spool on this machine last."""
        return left_by(Service.load(spool_folder(self.spools, self.url, self.run)))

    def claim(self, store: Store) -> Claim:
        """Claims the run, so that whoever held it writes no more.

        Raises:
            ClaimLost: Others kept claiming at the same instant.
        """
        return claims.make_claim(
            store, secrets.token_hex(4), machine_id(self.spools), ProcessId.own(), time.time(), by="tool"
        )


def left_by(service: Service | None) -> Before | None:
    """What became of the session that a spool served last."""
    if service is None or not service.session:
        return None
    if service.ended:
        return Before(service.session, "ended")
    return Before(service.session, "alive" if service.kernel.is_alive() else "killed")


def ensure_claim(store: Store, claim: Claim) -> None:
    """Makes sure that nobody has claimed the run since.

    Raises:
        ClaimLost: Somebody did.
    """
    highest, session = claims.highest(store)
    if (highest, session) != (claim.incarnation, claim.session):
        raise ClaimLost(
            f"Session {session} has claimed the run meanwhile; nothing more is changed", where=store.url
        )
