"""One session from inside its process: its schedule, its failures, its restores, its end."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.faults import flip_bit, full_disk, truncate
from helpers.processes import eventually
from helpers.snapshots import Contents, contents, object_file, read_back, snapshot
from holdfast.hooks.saving import Piece, Saving
from holdfast.runtime.budget import Past
from holdfast.runtime.errors import CheckpointDamaged, StoreUnusable
from holdfast.runtime.journal import Place, Slot
from holdfast.runtime.last_step import LastStep
from holdfast.runtime.manifest import Kind
from holdfast.runtime.names import Stem
from holdfast.runtime.opening import ran_for
from holdfast.runtime.pace import Pace, Window
from holdfast.runtime.pace_samples import Sample
from holdfast.runtime.scheduler import Scheduler
from holdfast.runtime.service import Service
from holdfast.runtime.session import Session
from holdfast.runtime.settings import Settings
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.unchanged import HELD_BYTES

Opener = Callable[..., Session]


@pytest.fixture
def start(tmp_path: Path, said: list[str]) -> Iterator[Opener]:
    """Opens sessions of one run; they are closed in the end."""
    opened: list[Session] = []

    def open_session(**changes: Any) -> Session:
        settings: dict[str, Any] = {
            "store": str(tmp_path / "store"),
            "run": "run",
            "spool": str(tmp_path / "local"),
            "persist_seconds": 86_400.0,
            "overhead_percent": 0.0,
        }
        opened.append(Session.open(Settings(**(settings | changes))))
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()
    assert said is not None


def submit(session: Session, seed: int, **rest: Any) -> Stem:
    name = session.next_stem()
    assert session.submit(snapshot(contents(seed), **rest))
    session.flush()
    return name


def restored(session: Session) -> tuple[Stem, Contents] | None:
    """What a hook does at a slot's first use."""
    while (found := session.newest_of("slot-0000")) is not None:
        try:
            return found.stem, read_back(found)
        except CheckpointDamaged as error:
            session.reject(error)
    return None


def test_a_snapshot_is_due_when_its_interval_has_passed_and_none_is_in_the_making(start: Opener) -> None:
    session = start(snapshot_seconds=0.05)
    eventually(session.due, "its being due")
    submit(session, 1)
    eventually(session.due, "its being due again")
    session.close()
    assert not session.due()
    assert not start(snapshot_seconds=86_400.0).due()


def test_a_kept_milestone_that_is_saved_at_a_step_that_was_due_is_measured(start: Opener) -> None:
    session = start(overhead_percent=1.0)
    saving = Saving(session)
    saving._burst.left, saving._burst.at = 0.0, time.monotonic()

    def piece(name: str) -> Piece:
        sources = snapshot(contents(1)).sources
        return Piece(Slot(name, "", (), Place("", 0)), list(sources), {"call": 0})

    kinds: tuple[tuple[Kind, bool], ...] = (("scheduled", True), ("milestone", False))
    for kind, measured in kinds:
        saving.milestone(piece("slot-0001"), 0.0)
        assert saving._kept
        session.step_ended()
        assert saving.save(kind, piece("slot-0000"))
        window = session._timing.scheduler.pace._window
        assert window is not None and (window.ended is not None) == measured
        session.flush()
        assert session.last_committed is not None and session.last_committed.kind == "milestone"


def test_each_snapshot_is_over_at_its_own_end_for_the_schedule(
    start: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start()
    told: list[Window] = []
    begun: list[Window] = []
    begin, over = Scheduler.snapshot_begun, Pace.snapshot_over

    def noted_begin(*arguments: Any) -> Window:
        begun.append(begin(*arguments))
        return begun[-1]

    def noted_over(pace: Pace, window: Window, now: float, *, written: bool) -> None:
        told.append(window)
        over(pace, window, now, written=written)

    monkeypatch.setattr(Scheduler, "snapshot_begun", noted_begin)
    monkeypatch.setattr(Pace, "snapshot_over", noted_over)
    for seed in (1, 2, 3):
        assert session.submit(snapshot(contents(seed)))  # without waiting for the one before
    session.flush()
    assert [id(one) for one in told] == [id(one) for one in begun]
    assert not session._timing._windows


def test_the_interval_that_was_chosen_reaches_the_daemon_and_a_wait_goes_before_it(
    start: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start(persist_seconds=100.0, overhead_percent=1.0)

    def told() -> float:
        service = Service.load(session.spool.folder)
        assert service is not None
        return service.persist_seconds

    assert told() == 100.0
    costs = session._timing.scheduler.pace.costs
    costs.add_snapshot(Sample(stall=1.0, excess=0.0, nbytes=1, took=1.0, noise=0.0))
    for _ in range(3):  # a single one would be a guess
        costs.add_upload(5.0, 1.0, 0.0)
    session._look_once()
    assert told() == session.schedule.plan.persist_seconds > 200.0
    during: list[float] = []

    def waiting(*arguments: Any, **others: Any) -> bool:
        for _ in range(4):
            costs.add_upload(50.0, 1.0, 0.0)
        session._look_once()
        during.append(told())
        return True

    monkeypatch.setattr("holdfast.runtime.session.until_confirmed", waiting)
    submit(session, 1)
    assert session.wait(progress=False)
    assert during == [0.0]
    assert told() == session.schedule.plan.persist_seconds


def test_when_an_upload_began_and_ended_is_told_to_the_schedule(start: Opener) -> None:
    session = start()
    submit(session, 1)
    assert session.wait(timeout=60, progress=False)
    status = session.status()
    assert session.began_at <= status.uploaded_from <= status.uploaded_to <= time.time()
    session._look_once()
    upload = session._timing.scheduler.pace._uploads[-1]
    assert upload.over is not None
    assert upload.over - upload.begun == pytest.approx(status.uploaded_to - status.uploaded_from, abs=0.01)
    assert upload.over <= time.monotonic()


def test_how_the_session_before_ended_counts_for_the_failures_to_be_expected(start: Opener) -> None:
    first = start()
    before = first.claim
    assert first.found.failures == Past()
    assert start().found.failures == Past()  # a rerun in the same process is no failure
    assert ran_for(before, LastStep(before.session, before.claimed_at + 600.0), None) == 600.0
    assert ran_for(before, LastStep("other", before.claimed_at + 600.0), None) == 0.0
    assert ran_for(None, LastStep(), None) == 0.0


def test_between_calls_and_cells_no_reference_of_an_unchanged_tensor_is_held(start: Opener) -> None:
    session = start()

    def held_after() -> Callable[[], object]:
        taken = snapshot({"tensor": bytes(HELD_BYTES)})
        buffer = taken.sources[0].buffer
        taken.sources[0].address = lambda: 1000
        assert session.submit(taken)
        session.flush()
        assert buffer is not None
        return weakref.ref(buffer)

    held_after()
    reference = held_after()
    gc.collect()
    assert reference() is not None
    session.paused()
    gc.collect()
    assert reference() is None


def test_a_closed_session_takes_no_snapshots_and_closes_again(start: Opener) -> None:
    session = start()
    session.close()
    session.close()
    assert not session.submit(snapshot(contents(1)))


def test_waiting_without_a_snapshot_is_done_at_once_and_a_wait_may_run_out(
    start: Opener, tmp_path: Path
) -> None:
    session = start()
    assert session.wait(timeout=0.0, progress=False)
    (tmp_path / "store" / "run" / "objects").write_bytes(b"no folder")
    submit(session, 1)
    assert not session.wait(timeout=0.3, progress=False)
    (tmp_path / "store" / "run" / "objects").unlink()
    assert session.wait(timeout=60, progress=False)


def test_what_fenced_the_session_before_does_not_concern_this_one(
    start: Opener, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start()
    submit(session, 1)
    load = DaemonStatus.load

    def seldom_new(folder: Path) -> DaemonStatus:
        status = load(folder)
        if reads.pop():
            status.session, status.fenced = "0badcafe", "Session bbbbbbbb has claimed this run"
        return status

    reads = [False] * 1000 + [True] * 3
    monkeypatch.setattr(DaemonStatus, "load", seldom_new)
    assert session.wait(timeout=60, progress=False)
    assert not session.fenced
    assert not any("bbbbbbbb" in line for line in said)


def test_a_full_disk_is_said_once_and_the_snapshots_after_it_are_written(
    start: Opener, said: list[str]
) -> None:
    session = start()
    first = submit(session, 1)
    with full_disk():
        submit(session, 2)
        submit(session, 3)
    assert [line for line in said if "no room" in line and "Training goes on" in line] != []
    assert sum("no room" in line for line in said) == 1
    assert restored(session) == (first, contents(1))
    last = submit(session, 4)
    assert restored(session) == (last, contents(4))
    with full_disk():
        submit(session, 5)
    assert sum("no room" in line for line in said) == 2


def test_a_snapshot_that_raises_is_said_once_and_training_goes_on(start: Opener, said: list[str]) -> None:
    session = start()
    broken = snapshot(contents(1))
    broken.sources[1].buffer = lambda: [memoryview(bytes(1 // 0))]
    assert session.submit(broken)
    session.flush()
    assert sum("could not be written" in line for line in said) == 1
    last = submit(session, 2)
    assert restored(session) == (last, contents(2))


def test_a_damaged_snapshot_gives_way_to_the_one_before(start: Opener, said: list[str]) -> None:
    session = start()
    names = [submit(session, seed) for seed in (1, 2)]
    flip_bit(session.spool.objects / names[1].object_name())
    assert restored(session) == (names[0], contents(1))
    assert sum(str(names[1]) in line or "tensor-2" in line for line in said) == 1


@pytest.mark.parametrize("damage", [flip_bit, truncate], ids=lambda damage: damage.__name__)
def test_a_snapshot_damaged_in_the_spool_is_restored_from_the_store(
    start: Opener, damage: Callable[[Path], None]
) -> None:
    session = start()
    submit(session, 1)
    name = submit(session, 2)
    assert session.wait(timeout=60, progress=False)
    damage(session.spool.objects / name.object_name())
    assert restored(session) == (name, contents(2))


def test_a_checkpoint_damaged_in_both_places_is_passed_over_for_good(
    start: Opener, said: list[str], tmp_path: Path
) -> None:
    session = start()
    older = submit(session, 1, kind="milestone")
    name = submit(session, 2)
    assert session.wait(timeout=60, progress=False)
    truncate(session.spool.objects / name.object_name())
    truncate(object_file(tmp_path / "store" / "run", name.object_name()))
    assert restored(session) == restored(session) == (older, contents(1))
    assert sum(str(name) in line for line in said) <= 2
    assert session.checkpoint(name) is None


def test_a_store_that_fails_is_said_once_with_what_to_do_and_recovers_by_itself(
    start: Opener, said: list[str], tmp_path: Path
) -> None:
    session = start(persist_seconds=0.05)
    (tmp_path / "store" / "run" / "objects").write_bytes(b"no folder")
    name = submit(session, 1)
    eventually(lambda: any("do not reach the store" in line for line in said), "the line that says so")
    (tmp_path / "store" / "run" / "objects").unlink()
    eventually(lambda: session.status().confirmed == str(name), "the checkpoint")
    eventually(lambda: session.status().error == "", "the end of the round, which takes the error back")
    assert sum("do not reach the store" in line for line in said) == 1


def test_a_store_that_cannot_be_written_stops_the_start_and_leaves_no_claim(
    start: Opener, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnusable, match="file"):
        start(store=str(tmp_path / "file"))


def test_changed_settings_are_in_force_but_for_store_run_and_spool(start: Opener) -> None:
    session = start()
    session.change_settings(lambda one: Settings("elsewhere", "other", "nowhere", 7.0, 8.0, 1.0, 9))
    assert (session.settings.run, session.settings.snapshot_seconds, session.settings.keep_last) == (
        "run",
        7.0,
        9,
    )
    assert session.settings.store.endswith("/store")


def test_a_second_session_of_the_process_says_its_takeover_too(
    start: Opener, said: list[str], tmp_path: Path
) -> None:
    for base in ("one", "two"):
        older = start(spool=str(tmp_path / base))
        start(spool=str(tmp_path / base))
        assert not older.submit(snapshot(contents(1)))
    assert sum("writes no more" in line for line in said) == 2


def test_on_a_store_that_cannot_confirm_waiting_ends_when_it_is_written_and_says_so(
    start: Opener, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start()
    name = submit(session, 1)
    told = DaemonStatus(written=str(name), unconfirmed="this store does not tell")
    monkeypatch.setattr(session, "status", lambda: told)
    assert not session.wait(timeout=60, progress=False)
    assert any("written, but not confirmed: this store does not tell" in line for line in said)


def test_a_claim_says_what_became_of_the_session_before(start: Opener) -> None:
    first = start()
    assert first.claim.before is None
    first.close()
    second = start()
    assert second.claim.before == (first.claim.session, "ended")
    assert start().claim.before == (second.claim.session, "alive")


def test_where_a_call_went_on_from_is_in_the_next_snapshot(start: Opener) -> None:
    first = start()
    came_from = submit(first, 1, kind="requested")
    first.close()
    second = start()
    found = second.newest_of("slot-0000")
    assert found is not None
    second.resumed(found.part(), "resume", 3, 40)
    assert submit(second, 2, journal=second.journal.to_dict()) > came_from
    second.close()
    [note] = start().journal.resumptions
    assert (note.stem, note.kind, note.incarnation) == (came_from, "requested", 2)
    assert (note.epoch, note.batch, note.action) == (3, 40, "resume")


def test_a_damaged_checkpoint_takes_no_notes_with_it(start: Opener, tmp_path: Path) -> None:
    first = start()
    submit(first, 1)
    newest = submit(first, 2)
    found = first.newest_of("slot-0000")
    assert found is not None
    first.resumed(found.part(), "resume", 1, 0)
    first.reject(CheckpointDamaged("x", stem=str(newest), origin="spool"))
    assert [note.stem for note in first.journal.resumptions] == [newest]
