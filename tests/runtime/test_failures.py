"""The failures of a store and of the processes around it, on each kind of store, with real daemons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.places import PLACES, Place
from helpers.processes import Kernel, Machine, daemon_process, eventually, machine
from helpers.snapshots import contents, stored
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.names import Stem, object_path, parse_stem
from holdfast.runtime.restore import newest
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.status import DaemonStatus


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with PLACES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, place: Place) -> Iterator[Machine]:
    with machine(tmp_path, place.url) as made:
        yield made


def status(kernel: Kernel) -> DaemonStatus:
    return DaemonStatus.load(kernel.spool)


def submitted(kernel: Kernel, seed: int) -> Stem:
    """Has a kernel take a snapshot that is to be uploaded at once."""
    return parse_stem(kernel.tell("submit", seed=seed, kind="requested")["stem"])


def written(kernel: Kernel, seed: int) -> Stem:
    """The same, and waits until it is in the store."""
    name = submitted(kernel, seed)
    eventually(lambda: status(kernel).written == str(name), "the checkpoint")
    return name


def newest_in(place: Place) -> tuple[Stem, dict[str, bytes], list[str]]:
    """What a restore on another machine would take, and what it would say."""
    said: list[str] = []
    damaged: set[tuple[str, Stem]] = set()
    while True:
        found = newest([Shelf("store", place.store)], damaged, lambda error: said.append(str(error)))
        assert found is not None, said
        try:
            return found[0].stem, stored(place.store, found[0].stem), said
        except HoldfastError as error:
            said.append(str(error))
            damaged.add(("store", found[0].stem))


def test_what_was_written_is_confirmed_and_found_by_another_machine(place: Place, here: Machine) -> None:
    kernel = here.open()
    name = written(kernel, 1)
    place.confirm()
    eventually(lambda: status(kernel).confirmed == str(name), "the confirmation")
    kernel.kill()
    other = here.open(base=here.folder / "elsewhere")
    assert (other.found["checkpoint"], other.found["origin"]) == (str(name), "store")
    assert newest_in(place) == (name, contents(1), [])


def test_a_killed_kernel_leaves_a_daemon_that_brings_its_last_snapshot_to_the_store(
    place: Place, here: Machine
) -> None:
    kernel = here.open()
    name = parse_stem(kernel.tell("submit", seed=1)["stem"])
    kernel.kill()
    eventually(lambda: status(kernel).written == str(name), "the checkpoint")
    place.confirm()
    eventually(lambda: not here.daemons(), "the daemon's end")
    assert newest_in(place) == (name, contents(1), [])


@pytest.mark.parametrize("step", ["store.object.middle", "store.object.written", "store.manifest.written"])
def test_a_daemon_killed_in_an_upload_is_started_again_and_nothing_is_lost(
    place: Place, here: Machine, step: str
) -> None:
    kernel = here.open(crash_at=step)
    name = submitted(kernel, 1)
    eventually(lambda: kernel.tell("state")["starts"] == 2, "the daemon's new start")
    eventually(lambda: status(kernel).written == str(name), "the checkpoint")
    assert newest_in(place) == (name, contents(1), [])
    assert "started again" in kernel.said


def test_a_store_that_fails_is_said_the_training_goes_on_and_it_recovers_by_itself(
    place: Place, here: Machine
) -> None:
    kernel = here.open()
    first = written(kernel, 1)
    place.fail()
    submitted(kernel, 2)
    eventually(lambda: "do not reach the store" in kernel.said, "the line that says so")
    assert status(kernel).error
    later = kernel.tell("submit", seed=3, kind="requested")
    assert later["submitted"]
    assert later["committed"]
    assert status(kernel).written == str(first)
    place.heal()
    eventually(lambda: status(kernel).written == later["stem"], "the checkpoint")
    eventually(lambda: not status(kernel).error, "the end of the trouble")
    assert kernel.said.count("do not reach the store") == 1
    assert newest_in(place)[:2] == (parse_stem(later["stem"]), contents(3))


@pytest.mark.parametrize("what", ["object", "manifest"])
def test_a_damaged_checkpoint_is_named_and_the_next_older_one_is_taken(
    place: Place, here: Machine, what: str
) -> None:
    kernel = here.open()
    older = written(kernel, 1)
    name = written(kernel, 2)
    path = object_path(name.object_name()) if what == "object" else name.manifest_path
    place.spoil(path)
    found, tensors, said = newest_in(place)
    assert (found, tensors) == (older, contents(1))
    assert len(said) == 1
    assert name.object_name().removesuffix(".safetensors") in said[0]
    assert name in Shelf("store", place.store).stems()


def test_of_two_sessions_the_newer_wins_and_the_older_stops_writing_and_says_so(
    place: Place, here: Machine
) -> None:
    older = here.open(persist_seconds=0.05)
    written(older, 1)
    newer = here.open(base=here.folder / "elsewhere")
    older.tell("submit", seed=2)
    eventually(lambda: older.tell("state")["fenced"], "the older one's notice")
    eventually(lambda: "writes no more" in older.said, "the line that says so")
    name = written(newer, 3)
    assert newest_in(place) == (name, contents(3), [])
    assert not daemon_process(older.spool).is_alive() or status(older).fenced


def test_a_start_while_the_store_fails_says_so_and_waits_for_it(
    place: Place, here: Machine, tmp_path: Path
) -> None:
    kernel = here.open()
    name = written(kernel, 1)
    kernel.kill()
    place.fail()
    starting = here.start(base=tmp_path / "elsewhere")
    eventually(lambda: "tried again" in starting.said or starting.gone, "the line that says so")
    place.heal()
    if starting.gone:  # a folder that cannot be written, or no mount, is said at once, and final
        assert "StoreUnusable" in starting.said
        starting = here.start(base=tmp_path / "elsewhere")
    starting.opened()
    assert starting.found["checkpoint"] == str(name)
