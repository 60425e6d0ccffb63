"""What happened before this start: decided from evidence. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.runtime.budget import Past

Situation = Literal["first run", "rerun", "kernel restart", "runtime reset", "takeover"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What can be seen at a start.

    Attributes:
        same_process: The newest claim is this very process's.
        claimed: The run has a claim at all.
        same_machine: The newest claim was made on this machine.
        claimant_alive: Its process runs; known only on the same machine.
        claimant_ended: Its session ended in good order; known only on the same machine.
        has_checkpoint: A checkpoint was found, in the spool or the store.
    """

    same_process: bool = False
    claimed: bool = False
    same_machine: bool = False
    claimant_alive: bool = False
    claimant_ended: bool = False
    has_checkpoint: bool = False


def situation(evidence: Evidence) -> Situation:
    """Names what happened between the last session and this one.

    A claimant on another machine cannot be seen; it is taken for gone, which is what a reclaimed
    VM looks like. Should it live, it finds this session's higher claim and stops writing.
    """
    if not evidence.claimed:
        return "first run"
    if evidence.same_process:
        return "rerun"
    if not evidence.same_machine:
        return "runtime reset"
    if evidence.claimant_alive and not evidence.claimant_ended:
        return "takeover"
    return "kernel restart"


def failures(what: Situation, *, ended: bool, seconds: float) -> Past:
    """The failure that lies between the last session and this one, if any.

    Args:
        what: What happened.
        ended: Whether the last session ended in good order; known only on the same machine.
        seconds: For how long it is known to have run; 0 where that is not known, and nothing follows then.
    """
    if seconds <= 0 or what in ("first run", "rerun", "takeover"):
        return Past()
    return Past(
        kernel_deaths=int(what == "kernel restart" and not ended),
        vm_losses=int(what == "runtime reset"),
        seconds=seconds,
    )
