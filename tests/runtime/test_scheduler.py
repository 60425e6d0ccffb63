"""When the next snapshot is due, and what is said of that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.runtime import schedule_text
from holdfast.runtime.budget import (
    KERNEL_SECONDS,
    SNAPSHOT_FLOOR,
    UPLOAD_FLOOR,
    VM_SECONDS,
    Clash,
    Past,
    Plan,
    Tier,
    choose,
)
from holdfast.runtime.schedule import NEARLY_DUE
from holdfast.runtime.scheduler import LEARNING, LEARNING_SHARE, Measured, Scheduler, Wishes
from holdfast.runtime.startup import failures

FREE = Wishes(10.0, 100.0, 0.0)
BUDGET = Wishes(15.0, 120.0, 0.01)


def train(scheduler: Scheduler, now: float, seconds: float, step: float = 0.1) -> tuple[float, bool]:
    """Makes steps for so long, or until a snapshot is due."""
    end = now + seconds
    while now < end:
        now += step
        if scheduler.step_ended(now):
            return now, True
    scheduler.look(now)
    return now, False


def snapshot(scheduler: Scheduler, now: float, stall: float, nbytes: int = 10**8) -> float:
    """One that stops the training for so long, and is written by then."""
    window = scheduler.snapshot_begun(now, now, nbytes)
    scheduler.pace.snapshot_over(window, now + stall, written=True)
    scheduler.pace.snapshot_handed(now + stall)
    return now + stall


def upload(scheduler: Scheduler, now: float, takes: float, cost: float, hiccup: float = 0.0) -> float:
    """One that takes so much from the steps, with one of them longer by a hiccup; then some steps without."""
    begun, slow = now, 0.1 * cost / takes
    scheduler.pace.upload(begun, None)
    while now < begun + takes:
        now += 0.1 + slow + hiccup
        hiccup = 0.0
        scheduler.step_ended(now)
    scheduler.pace.upload(begun, now)
    for _ in range(50):
        now += 0.1
        scheduler.step_ended(now)
    scheduler.look(now)
    return now


def warm(scheduler: Scheduler, stall: float = 0.01) -> float:
    """Steps, and snapshots until their cost is known."""
    now = 0.0
    for _ in range(4):
        due = False
        while not due:
            now, due = train(scheduler, now, 10.0)
        now = snapshot(scheduler, now, stall)
    for _ in range(50):
        now += 0.1
        scheduler.step_ended(now)
    scheduler.look(now)
    return now


def test_without_a_budget_a_snapshot_is_due_after_its_interval_and_sooner_at_the_end_of_an_epoch() -> None:
    scheduler = Scheduler(FREE, 0.0)
    assert not scheduler.step_ended(9.9)
    assert scheduler.step_ended(10.0)
    assert scheduler.step_ended(10.0 * NEARLY_DUE, epoch_ended=True)
    assert not scheduler.step_ended(10.0 * NEARLY_DUE - 0.1, epoch_ended=True)


def test_asking_whether_one_is_due_counts_no_step() -> None:
    scheduler = Scheduler(BUDGET, 0.0)
    assert not scheduler.due(1e6)
    scheduler.step_ended(1.0)
    assert scheduler.due(100.0)
    assert scheduler.pace.trained == 0.0


def test_the_first_one_is_taken_soon_after_the_first_step() -> None:
    scheduler = Scheduler(BUDGET, 0.0)
    now, due = train(scheduler, 1000.0, 60.0)
    assert due and now - 1000.0 == pytest.approx(5.0, abs=0.3)


def test_the_first_ones_short_interval_is_over_though_nothing_of_it_was_measured() -> None:
    scheduler, now, taken = Scheduler(BUDGET, 0.0), 0.0, 0
    while now < 600.0:
        now, due = train(scheduler, now, 0.5)
        if due:
            taken += 1
            window = scheduler.snapshot_begun(now, None, 10**8)
            scheduler.pace.snapshot_handed(now)
            scheduler.pace.snapshot_over(window, now + 0.2, written=True)
        scheduler.pace.paused()  # another short call
    assert taken <= 1 + 600.0 / BUDGET.snapshot_seconds


def test_the_first_ones_that_are_dear_do_not_stretch_the_interval_for_long() -> None:
    scheduler, now, gaps = Scheduler(BUDGET, 0.0), 0.0, []
    for cost in (2.0, 2.0, 0.1, 0.1):
        begun = now
        now, due = train(scheduler, now, 1e3)
        while not due:
            now, due = train(scheduler, now, 1e3)
        gaps.append(now - begun)
        now = snapshot(scheduler, now, cost)
        now, due = train(scheduler, now, 2.0)
        assert not due
    assert max(gaps) <= LEARNING * BUDGET.snapshot_seconds + 1.0
    assert scheduler.pace.costs.settled and scheduler.measured.sure
    assert scheduler.measured.plan.snapshot_seconds < 20.0


def test_a_larger_state_that_is_trained_later_is_learned_anew() -> None:
    scheduler = Scheduler(BUDGET, 0.0)
    now = warm(scheduler) + 60.0
    scheduler.pace.paused()  # and the first step of the next training finds a snapshot due
    assert scheduler.step_ended(now)
    window = scheduler.snapshot_begun(now, now, 3 * 10**8)
    scheduler.pace.snapshot_handed(now + 0.01)
    scheduler.pace.snapshot_over(window, now + 8.0, written=True)
    begun, now = now, now + 0.01
    due = False
    while not due:  # nothing is known of its steps: at worst they stood still for as long as it was written
        now, due = train(scheduler, now, 5.0)
    assert now - begun <= 8.1 / LEARNING_SHARE
    for _ in range(2):
        assert not scheduler.pace.costs.settled
        now = snapshot(scheduler, now, 0.01, 3 * 10**8)
        now, _ = train(scheduler, now, 2.0)
        assert scheduler.measured.plan.snapshot_seconds <= BUDGET.snapshot_seconds
    assert scheduler.pace.costs.settled


def test_a_dear_snapshot_stretches_the_interval_once_that_is_known() -> None:
    scheduler, now = Scheduler(BUDGET, 0.0), 0.0
    for _ in range(4):
        due = False
        while not due:
            now, due = train(scheduler, now, 10.0)
        now = snapshot(scheduler, now, 0.5)
    now, _ = train(scheduler, now, 2.0)
    measured = scheduler.measured
    assert measured.plan.snapshot_seconds >= 50.0
    assert measured.plan.clashes[0].tier == "snapshot"
    # What learning took above the budget is paid back.
    assert measured.overhead is not None and measured.overhead > BUDGET.share
    assert measured.plan.overhead < BUDGET.share


@pytest.mark.parametrize(("cost", "hiccup"), [(0.5, 50.0), (40.0, 0.0)], ids=["a hiccup", "the whole state"])
def test_one_upload_that_seems_dear_does_not_set_the_schedule(cost: float, hiccup: float) -> None:
    scheduler = Scheduler(BUDGET, 0.0)
    now = warm(scheduler)
    before = scheduler.measured.plan
    now = upload(scheduler, now, 60.0, cost, hiccup)
    first = scheduler.measured
    assert first.upload_cost is not None and first.upload_cost > 1.0
    assert first.plan.persist_seconds <= max(LEARNING * BUDGET.persist_seconds, cost / LEARNING_SHARE)
    assert first.plan.snapshot_seconds == pytest.approx(before.snapshot_seconds, rel=0.01)
    assert all(clash.tier != "upload" for clash in first.plan.clashes)
    for _ in range(2):
        now = upload(scheduler, now, 60.0, 0.5)
        assert scheduler.measured.plan.persist_seconds <= 1.1 * BUDGET.persist_seconds


def test_uploads_that_are_dear_stretch_the_intervals_once_that_is_known() -> None:
    scheduler = Scheduler(BUDGET, 0.0)
    now = warm(scheduler, 0.1)
    before = scheduler.measured.plan
    for _ in range(3):
        now = upload(scheduler, now, 60.0, 6.0)
    plan = scheduler.measured.plan
    assert plan.persist_seconds > 2 * LEARNING * BUDGET.persist_seconds
    assert plan.snapshot_seconds > before.snapshot_seconds * 1.2
    assert "upload" in {clash.tier for clash in plan.clashes}


def test_at_the_end_of_an_epoch_one_is_due_sooner_only_where_that_is_within_the_budget() -> None:
    for stall, sooner in ((0.01, True), (0.5, False)):
        scheduler, now = Scheduler(BUDGET, 0.0), 0.0
        for _ in range(4):
            due = False
            while not due:
                now, due = train(scheduler, now, 10.0)
            now = snapshot(scheduler, now, stall)
        begun = now - stall
        scheduler.look(now)
        nearly = begun + 0.9 * scheduler.measured.plan.snapshot_seconds
        assert scheduler.step_ended(nearly, epoch_ended=True) == sooner


def test_changed_wishes_are_in_force_at_once() -> None:
    scheduler = Scheduler(FREE, 0.0)
    scheduler.replan(0.5, replace(FREE, snapshot_seconds=1.0))
    assert scheduler.step_ended(1.0)


DEAR = Measured(
    Plan(90.0, 120.0, 0.01, (Clash("snapshot", 15.0, 91.0, 0.0555, 12.0, "writing"),)),
    stall=0.1,
    snapshot_cost=0.9,
    snapshot_takes=1.0,
    sure=True,
)


def test_a_bound_that_cannot_be_kept_is_told_with_why_and_what_would_keep_it() -> None:
    assert schedule_text.problem(DEAR, BUDGET) == (
        "a snapshot costs 0.90 s of training: with at most 1 % overhead a killed kernel may lose 91 s of "
        "training rather than 15 s; overhead_percent: 5.6 would keep 15 s"
    )
    never = Clash("snapshot", 15.0, 60.0, None, 60.0, "writing")
    slow = replace(DEAR, plan=Plan(40.0, 120.0, 0.01, (never,)), snapshot_takes=20.0)
    assert schedule_text.problem(slow, BUDGET) == (
        "writing a snapshot takes 20 s: a killed kernel may lose 60 s of training rather than 15 s, whatever "
        "the overhead"
    )
    both = replace(
        DEAR,
        plan=Plan(
            90.0, 900.0, 0.01, (*DEAR.plan.clashes, Clash("upload", 120.0, 990.0, 0.0555, 110.0, "upload"))
        ),
        upload_cost=2.0,
    )
    assert "a snapshot costs 0.90 s and an upload costs 2.0 s of training" in schedule_text.problem(
        both, BUDGET
    )
    assert schedule_text.problem(both, BUDGET).endswith("overhead_percent: 5.6 would keep both")
    assert schedule_text.problem(replace(DEAR, sure=False), BUDGET) == ""
    assert schedule_text.problem(replace(DEAR, plan=Plan(15.0, 120.0)), BUDGET) == ""


def told(snapshot: Tier, upload: Tier, wishes: Wishes, step: float = 0.1) -> str:
    """What is said where these costs are known."""
    plan = choose(snapshot, upload, wishes.share, step)
    measured = Measured(
        plan, 0.1, snapshot.cost, snapshot.takes, upload.cost, upload.takes, step, 0.01, sure=True
    )
    return schedule_text.problem(measured, wishes)


def tiers(wishes: Wishes, snapshot: tuple[float, float], upload: tuple[float, float]) -> tuple[Tier, Tier]:
    """Of a cost and the time that it takes, each."""
    return (
        Tier(*snapshot, wishes.snapshot_seconds, KERNEL_SECONDS, SNAPSHOT_FLOOR),
        Tier(*upload, wishes.persist_seconds, VM_SECONDS, UPLOAD_FLOOR),
    )


def test_where_the_overhead_decides_it_is_not_said_that_it_does_not() -> None:
    text = told(*tiers(BUDGET, (0.01, 0.1), (50.0, 60.0)), BUDGET)
    assert "an upload costs 50 s of training, and an upload takes 60 s: with at most 1 % overhead" in text
    assert "may lose 87 min of training rather than 2 min, and 195 s whatever the overhead" in text
    cheap = told(*tiers(BUDGET, (0.01, 0.1), (0.1, 60.0)), BUDGET)
    assert cheap == (
        "an upload takes 60 s: a lost VM may lose 195 s of training rather than 2 min, whatever the overhead"
    )


def test_the_longest_part_of_what_may_be_lost_is_named() -> None:
    wishes = Wishes(300.0, 120.0, 0.05)
    apart = told(*tiers(wishes, (2.0, 5.0), (0.2, 5.0)), wishes)
    assert apart.startswith("snapshots are 4 min apart (snapshot_seconds: 300): a lost VM may lose ")
    writing = told(*tiers(BUDGET, (0.01, 50.0), (0.01, 5.0)), BUDGET)
    assert writing.startswith("writing a snapshot takes 50 s: a killed kernel")
    assert "and a lost VM may lose 246 s of training rather than 2 min, whatever" in writing
    step = told(*tiers(BUDGET, (0.01, 1.0), (0.01, 5.0)), BUDGET, step=110.0)
    assert step.startswith("a step takes 2 min: ") and step.count("a step") == 1


def test_a_bound_that_the_budget_would_keep_is_no_problem_while_more_than_it_is_paid_back() -> None:
    wishes = BUDGET
    snapshot, upload = tiers(wishes, (0.1, 1.0), (0.1, 2.0))
    plan = choose(snapshot, upload, wishes.share / 2, 0.1)
    (clash,) = (one for one in plan.clashes if one.tier == "snapshot")
    assert clash.loses > 1.25 * clash.bound and clash.needed is not None and clash.needed < wishes.share
    measured = Measured(plan, 0.1, 0.1, 1.0, 0.1, 2.0, 0.1, 0.01, sure=True)
    assert schedule_text.problem(measured, wishes) == ""
    assert not schedule_text.News().is_new(measured, wishes)
    assert schedule_text.problem(measured, replace(wishes, share=wishes.share / 2))


def test_what_is_advised_is_enough() -> None:
    for needed in (0.0101, 0.0555, 0.06, 0.123, 0.999):
        plan = replace(DEAR.plan, clashes=(replace(DEAR.plan.clashes[0], needed=needed),))
        text = schedule_text.problem(replace(DEAR, plan=plan), BUDGET)
        advised = float(text.rpartition("overhead_percent: ")[2].split()[0])
        assert 100 * needed * (1 - 1e-6) <= advised <= 100 * needed * 1.1
    plan = replace(DEAR.plan, clashes=(replace(DEAR.plan.clashes[0], needed=1.5),))
    assert "no overhead_percent would" in schedule_text.problem(replace(DEAR, plan=plan), BUDGET)


def test_a_problem_is_news_once_and_again_when_it_has_changed_much() -> None:
    def losing(seconds: float) -> Measured:
        clash = replace(DEAR.plan.clashes[0], loses=seconds)
        return replace(DEAR, plan=replace(DEAR.plan, clashes=(clash,)))

    news = schedule_text.News()
    # At 15.1 s it is kept, nearly; what comes back as it was is no news.
    seconds = (90.0, 100.0, 170.0, 190.0, 190.0, 90.0, 15.1, 90.0)
    assert [news.is_new(losing(one), BUDGET) for one in seconds] == [
        True,
        False,
        False,
        True,
        False,
        True,
        False,
        False,
    ]


def test_a_problem_that_comes_and_goes_is_said_once() -> None:
    kernel = DEAR.plan.clashes[0]
    vm = Clash("upload", 120.0, 200.0, 0.0555, 110.0, "upload")
    news = schedule_text.News()
    seen = [
        news.is_new(replace(DEAR, plan=replace(DEAR.plan, clashes=clashes)), BUDGET)
        for clashes in ((kernel,), (vm,), (kernel,), (kernel, vm), (), (kernel, vm), (kernel,))
    ]
    assert seen == [True, True, False, False, False, False, False]


def test_the_intervals_are_told_with_what_they_cost() -> None:
    measured = Measured(Plan(13.2, 104.0), stall=0.008, snapshot_cost=0.012, overhead=0.0031)
    assert schedule_text.intervals(measured) == (
        "snapshots every 13 s (12 ms each), uploads every 2 min; 0.3 % of training time so far"
    )
    assert schedule_text.intervals(Measured(Plan(15.0, 120.0))) == "snapshots every 15 s, uploads every 2 min"


def test_a_failure_before_a_start_counts_where_it_is_known_how_long_the_session_ran() -> None:
    assert failures("kernel restart", ended=False, seconds=60.0) == Past(1, 0, 60.0)
    assert failures("kernel restart", ended=True, seconds=60.0) == Past(0, 0, 60.0)
    assert failures("runtime reset", ended=False, seconds=60.0) == Past(0, 1, 60.0)
    assert failures("runtime reset", ended=False, seconds=0.0) == Past()
    assert failures("rerun", ended=False, seconds=60.0) == Past()
