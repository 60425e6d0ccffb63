"""Each row of the resume table, and programs of several trainings, ended in each way: equal bits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from helpers.processes import environment, eventually
from holdfast.runtime.restore import open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import FolderStore
from resuming.cases import CASES, KINDS, Kind, Work

SITUATIONS: Final = {"interrupt": "first run", "kill": "kernel restart", "reset": "runtime reset"}
ORIGINS: Final = {"interrupt": {"spool", "store"}, "kill": {"spool", "store"}, "reset": {"store"}}
RESTORES: Final = re.compile(r"\(\S+ from the (spool|store), ")
"""A line that names the checkpoint which is restored. Milestones leave the spool once the store has them."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What the cases came to."""

    base: Path

    def came(self, name: str, kind: Kind, place: int) -> dict[str, Any]:
        """What the n-th work after the end came to."""
        folder = self.base / f"{name}-{kind}"
        path = folder / f"then-{place}.json"
        if not path.exists() or (folder / "failed").exists():
            logs = [log.read_text(encoding="utf-8")[-3000:] for log in sorted(folder.glob("*.log"))]
            raise AssertionError("\n".join([*(one.read_text() for one in folder.glob("failed")), *logs]))
        return _read(path)

    def plain(self, work: Work) -> dict[str, Any]:
        """What it comes to without Holdfast."""
        return _read(self.base / "plain" / f"{work.reference}.json")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Runs those cases that are asked for, all by one worker."""
    base = tmp_path_factory.mktemp("rows")
    words = [
        f"{item.callspec.params['name']}:{item.callspec.params['kind']}"
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]
    worker = Path(__file__).with_name("worker.py")
    log = base / "worker.log"
    with log.open("wb") as file:
        subprocess.run(
            [sys.executable, str(worker), str(base), *words],
            stdout=file,
            stderr=file,
            env=environment({"TF_CPP_MIN_LOG_LEVEL": "3"}),
            check=True,
        )
    assert not log.read_bytes(), log.read_text(encoding="utf-8")[-4000:]
    return Ran(base)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_after_an_end_the_row_holds(ran: Ran, name: str, kind: Kind) -> None:
    case = CASES[name]
    for place, work in enumerate(case.after(kind)):
        came, alone = ran.came(name, kind, place), ran.plain(work)
        said = came["said"]
        assert came["situation"] == SITUATIONS[kind]
        for texts in work.says:
            assert any(all(text in line for text in texts) for line in said), (texts, said)
        for text in (*work.unsaid, "an error of Holdfast's own", "no sound checkpoint", "does not fit"):
            assert not [line for line in said if text in line]
        origins = {match[1] for line in said if (match := RESTORES.search(line))}
        assert origins <= ORIGINS[kind], said
        trains = alone["steps"] - (case.first.at or 0) if work.trains is None else work.trains
        assert came["steps"] == trains, said
        # Run again in part, it has only the last of them.
        assert came["came"], said
        assert came["came"] == alone["came"][-len(came["came"]) :], said
    if case.kept:
        eventually(lambda: not missing(ran, name, kind), f"all of {name} in the store")


def missing(ran: Ran, name: str, kind: Kind) -> list[Any]:
    """The ends of trainings of which the store has no checkpoint that opens."""
    case = CASES[name]
    found = [ran.came(name, kind, place) for place in range(len(case.after(kind)))]
    if case.first.at is None:
        found.append(ran.plain(case.first))
    ends = [set(fit["variables"].values()) for one in found for fit in one["came"] if "history" in fit]
    shelf = Shelf("store", FolderStore(ran.base / f"{name}-{kind}" / "store" / "run"))
    kept = [open_checkpoint(shelf, stem)[0].manifest for stem in shelf.stems()]
    hashes = [{record.hash for record in manifest.tensors} for manifest in kept]
    return [end for end in ends if not any(end <= one for one in hashes)]
