"""Which intervals are chosen, within a budget and bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.runtime.budget import SNAPSHOT_FLOOR, UPLOAD_FLOOR, Plan, Tier, choose, mean_time

SNAPSHOT = Tier(0.05, 0.2, 15.0, 4 * 3600.0, SNAPSHOT_FLOOR)
UPLOAD = Tier(0.2, 2.0, 120.0, 12 * 3600.0, UPLOAD_FLOOR)

bounds = st.floats(0.05, 86_400)
times = st.floats(0, 1e5) | st.sampled_from([0.0, 1e-9, 1e9])
failures = st.floats(60, 1e7)
tiers = st.tuples(
    st.builds(Tier, times, times, bounds, failures, st.just(SNAPSHOT_FLOOR)),
    st.builds(Tier, times, times, bounds, failures, st.just(UPLOAD_FLOOR)),
)
budgets = st.floats(0.001, 1.0)


def test_without_a_budget_or_a_known_cost_the_bounds_are_the_intervals() -> None:
    assert choose(SNAPSHOT, UPLOAD, 0.0) == Plan(15.0, 120.0)
    assert choose(replace(SNAPSHOT, cost=None), UPLOAD, 0.01) == Plan(15.0, 120.0)


def test_where_nothing_forbids_it_the_intervals_are_youngs() -> None:
    plan = choose(replace(SNAPSHOT, bound=900.0), replace(UPLOAD, bound=9000.0), 0.9)
    assert plan.snapshot_seconds == pytest.approx(math.sqrt(2 * 0.05 * 4 * 3600))
    assert plan.persist_seconds == pytest.approx(math.sqrt(2 * 0.2 * 12 * 3600))
    assert not plan.clashes


def test_a_bound_shortens_an_interval_by_what_is_lost_beside_it() -> None:
    plan = choose(SNAPSHOT, UPLOAD, 0.02, step=0.3)
    assert plan.snapshot_seconds == pytest.approx(15.0 - 0.2 - 0.3)
    assert plan.persist_seconds == pytest.approx(120.0 - 2.0 - 15.0)
    assert not plan.clashes


def test_a_budget_stretches_both_intervals_by_one_factor() -> None:
    wide = replace(SNAPSHOT, bound=900.0), replace(UPLOAD, bound=9000.0)
    free, tight = choose(*wide, 0.9), choose(*wide, 0.001)
    assert tight.overhead == pytest.approx(0.001)
    assert tight.snapshot_seconds / free.snapshot_seconds == pytest.approx(
        tight.persist_seconds / free.persist_seconds
    )


def test_the_budget_wins_over_a_bound_which_is_named_with_what_would_keep_it() -> None:
    plan = choose(replace(SNAPSHOT, cost=0.9), replace(UPLOAD, cost=0.0), 0.01)
    assert plan.overhead == pytest.approx(0.01)
    clash = next(one for one in plan.clashes if one.tier == "snapshot")
    assert clash.loses == pytest.approx(plan.snapshot_seconds + 0.2)
    assert clash.needed is not None
    kept = choose(replace(SNAPSHOT, cost=0.9), replace(UPLOAD, cost=0.0), clash.needed)
    assert not kept.clashes
    assert choose(replace(SNAPSHOT, cost=0.9), replace(UPLOAD, cost=0.0), clash.needed * 0.99).clashes


def test_a_bound_that_can_be_kept_is_kept_where_the_other_cannot() -> None:
    plan = choose(replace(SNAPSHOT, cost=0.5), UPLOAD, 0.01)
    assert plan.persist_seconds == pytest.approx(120.0 - 2.0 - 15.0)
    assert [clash.tier for clash in plan.clashes][:1] == ["snapshot"]
    assert plan.overhead == pytest.approx(0.01)


def test_so_is_that_of_snapshots_where_uploads_are_dear() -> None:
    plan = choose(replace(SNAPSHOT, cost=0.005), replace(UPLOAD, cost=5.0), 0.01)
    assert plan.snapshot_seconds == pytest.approx(15.0 - 0.2)
    assert [clash.tier for clash in plan.clashes] == ["upload"]
    assert plan.overhead == pytest.approx(0.01)


def test_where_writing_takes_too_long_no_budget_keeps_the_bound() -> None:
    plan = choose(replace(SNAPSHOT, takes=20.0), UPLOAD, 1.0)
    assert [(clash.tier, clash.needed) for clash in plan.clashes][:1] == [("snapshot", None)]
    assert plan.snapshot_seconds >= 40.0


@given(tiers, budgets, st.floats(0, 1000))
def test_intervals_are_positive_and_finite_and_the_budget_is_kept(
    both: tuple[Tier, Tier], budget: float, step: float
) -> None:
    plan = choose(*both, budget, step)
    for seconds in (plan.snapshot_seconds, plan.persist_seconds):
        assert 0 < seconds < math.inf
    assert plan.overhead <= budget * (1 + 1e-6)


@given(tiers, budgets, st.floats(0, 1000))
def test_no_more_than_the_bounds_is_lost_unless_that_is_said(
    both: tuple[Tier, Tier], budget: float, step: float
) -> None:
    snapshot, upload = both
    plan = choose(*both, budget, step)
    lost = plan.snapshot_seconds + snapshot.takes + step
    said = {clash.tier: clash for clash in plan.clashes}
    assert ("snapshot" in said) == (lost > snapshot.bound * (1 + 1e-9))
    lost += plan.persist_seconds + upload.takes
    assert ("upload" in said) == (lost > upload.bound * (1 + 1e-9))
    for clash in plan.clashes:
        assert clash.least <= clash.loses * (1 + 1e-9)


@given(tiers, budgets, st.floats(0, 1000))
def test_no_interval_is_longer_than_needed(both: tuple[Tier, Tier], budget: float, step: float) -> None:
    plan = choose(*both, budget, step)
    for tier, seconds in zip(both, (plan.snapshot_seconds, plan.persist_seconds), strict=True):
        assert tier.cost is not None
        young = math.sqrt(2 * max(tier.cost, 1e-4) * tier.failures)
        least = max(tier.floor, 2 * tier.takes, young, tier.bound)
        # Longer than Young's and the bound only where the whole budget is used.
        assert seconds <= least * (1 + 1e-9) or plan.overhead >= budget * (1 - 1e-6)


@given(tiers, budgets, st.floats(1.0, 10.0))
def test_what_costs_more_is_done_no_more_often(both: tuple[Tier, Tier], budget: float, factor: float) -> None:
    snapshot, upload = both
    assert snapshot.cost is not None
    dearer = replace(snapshot, cost=snapshot.cost * factor)
    before, after = choose(snapshot, upload, budget), choose(dearer, upload, budget)
    assert after.snapshot_seconds >= before.snapshot_seconds * (1 - 1e-6)


def test_failures_that_were_seen_move_the_mean_time_between_them() -> None:
    assert mean_time(4.0, 0, 0.0) == 4.0
    assert mean_time(4.0, 6, 0.0) == 1.0
    assert mean_time(4.0, 0, 8.0) == 8.0
