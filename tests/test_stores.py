"""A training that loses its kernel and its machine comes back through every kind of store, with equal bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.killed_training import Training
from helpers.places import PLACES
from helpers.processes import eventually
from holdfast.runtime.restore import read_manifest
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import open_store


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program ends with when nothing happens to it."""
    reference = Training(tmp_path_factory.mktemp("reference"), seconds_per_step=0)
    reference.begin(followed=False).communicate()
    assert reference.outcome is not None
    return reference.outcome


@pytest.mark.parametrize("kind", [kind for kind in PLACES if kind != "folder"])
def test_a_training_whose_machine_is_lost_ends_with_equal_bits(
    kind: str, tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    with PLACES[kind](tmp_path) as place:
        training = Training(tmp_path / "training", seconds_per_step=0.1, store=place.url)
        process = training.begin()
        shelf = Shelf("store", open_store(place.url).under("training"))
        eventually(lambda: _has_checkpoint_in_mid_training(shelf), "a checkpoint in mid-training")
        process.kill()
        output, _ = process.communicate()
        training.lose_machine()
        assert not training.outcome, output
        process = training.begin()
        output, _ = process.communicate()
        assert process.returncode == 0, output
        assert "runtime reset; found checkpoint" in output
        assert "in the store" in output
        assert "resuming at epoch" in output
        assert training.outcome == uninterrupted
        for daemon in training.daemons():
            place.confirm()
            daemon.wait()


def _has_checkpoint_in_mid_training(shelf: Shelf) -> bool:
    for stem, size in shelf.newest_first():
        state = json.loads(read_manifest(shelf, stem, size).to_bytes())["state"]
        return bool(state["position"]["executions"] or state["position"]["epoch"])
    return False
