"""How a session begins: what is known of the run's past, and the claim to it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.runtime import claims, report
from holdfast.runtime.budget import NO_PAST, Past
from holdfast.runtime.claims import Claim
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.holder import left_by
from holdfast.runtime.journal import Journal
from holdfast.runtime.last_step import LastStep
from holdfast.runtime.machine import ProcessId, machine_id
from holdfast.runtime.names import check_run_name
from holdfast.runtime.patience import open_patiently
from holdfast.runtime.restore import Checkpoint, newest
from holdfast.runtime.service import Service
from holdfast.runtime.settings import Settings
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.spool import Spool, spool_folder
from holdfast.runtime.startup import Evidence, Situation, failures, situation
from holdfast.runtime.stores import Store, normalise


@dataclass(frozen=True, slots=True)
class Found:
    """What a start found of the run's past."""

    situation: Situation
    checkpoint: Checkpoint | None
    claimed_before: Claim | None
    last_step: LastStep = field(default_factory=LastStep)
    failures: Past = NO_PAST


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that is claimed.

    Attributes:
        settings: The settings, with the store's URL and the run's name as they are used.
        store: The run's folder in the store.
        spool: Its spool.
        claim: The claim that was made.
        found: The run's past.
        journal: The newest checkpoint's journal, or an empty one.
    """

    settings: Settings
    store: Store
    spool: Spool
    claim: Claim
    found: Found
    journal: Journal


def open_run(settings: Settings, choose_run: Callable[[frozenset[str]], str] | None) -> Opened:
    """Claims the run and finds its newest checkpoint; raises as `Session.open` does."""
    settings = replace(settings, store=normalise(settings.store), run=check_run_name(settings.run))
    top = open_patiently(settings.store)
    top.check()
    if choose_run is not None:
        settings = replace(settings, run=check_run_name(choose_run(top.list("").folders)))
    store = top.under(settings.run)
    base = Path(settings.spool).expanduser().absolute()
    machine, process = machine_id(base), ProcessId.own()
    spool = Spool(spool_folder(base, settings.store, settings.run))
    spool.make_folders()
    before = claims.read_highest(store)
    last, last_step = Service.load(spool.folder), LastStep.load(spool.folder)
    reach("start.evidence")
    name = secrets.token_hex(4)
    claim = claims.make_claim(store, name, machine, process, time.time(), before=left_by(last))
    reach("start.claimed")
    shelves = (Shelf("spool", spool), Shelf("store", store))
    pair = newest(shelves, set(), lambda error: report.say(str(error)))
    evidence = Evidence(
        same_process=before is not None and before.machine == machine and before.process.is_same(process),
        claimed=before is not None,
        same_machine=before is not None and before.machine == machine,
        claimant_alive=before is not None and before.machine == machine and before.process.is_alive(),
        claimant_ended=before is not None
        and last is not None
        and last.session == before.session
        and last.ended,
        has_checkpoint=pair is not None,
    )
    checkpoint, journal = pair or (None, Journal())
    what = situation(evidence)
    past = failures(what, ended=evidence.claimant_ended, seconds=ran_for(before, last_step, checkpoint))
    return Opened(settings, store, spool, claim, Found(what, checkpoint, before, last_step, past), journal)


def ran_for(before: Claim | None, last_step: LastStep, checkpoint: Checkpoint | None) -> float:
    """For how many seconds the session before is known to have run; 0 where that is not known."""
    if before is None or before.by != "session":
        return 0.0
    seen = last_step.at if last_step.session == before.session else 0.0
    if checkpoint is not None and checkpoint.stem.session == before.session:
        seen = max(seen, checkpoint.manifest.taken_at)
    return max(0.0, seen - before.claimed_at)
