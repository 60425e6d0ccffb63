"""Runs programs with the runtime and without it, each in a process of its own, and compares."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers.processes import environment

ROLES = ("alone", "followed")
NOTHING = "nothing"
OWN_ERRORS = "errors of Holdfast's own"

Outcome = dict[str, dict[str, Any]]
"""By role and program: what the program let be seen, and what the runtime said."""


def outcome(base: Path, names: list[str]) -> Outcome:
    """What the programs let be seen, in both roles."""
    processes = {role: begin(role, base, names) for role in ROLES}
    try:
        statuses = {role: process.wait() for role, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    for role, status in statuses.items():
        assert status == 0, (base / f"{role}.log").read_text(encoding="utf-8", errors="replace")[-4000:]
    return {role: json.loads((base / f"{role}.json").read_text(encoding="utf-8")) for role in ROLES}


def begin(role: str, base: Path, names: list[str]) -> subprocess.Popen[bytes]:
    """Starts the process of one role."""
    fixed = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "0", "MANNERS_PROGRAMS": json.dumps(names)}
    with open(base / f"{role}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "manners.worker", role, str(base), str(base / f"{role}.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=base,
            env={**environment(), **fixed},
        )


def differences(seen: Outcome, name: str) -> dict[str, Any]:
    """What a program lets be seen otherwise with the runtime than without it, by key."""
    alone, followed = (seen[role][name]["seen"] for role in ROLES)
    found: dict[str, Any] = {
        key: {"alone": alone.get(key, NOTHING), "followed": followed.get(key, NOTHING)}
        for key in sorted({*alone, *followed})
        if alone.get(key, NOTHING) != followed.get(key, NOTHING)
    }
    own = [line for line in seen["followed"][name]["said"] if "an error of Holdfast's own" in line]
    if own:
        found[OWN_ERRORS] = own
    return found
