"""The arithmetic of the checkpoints' benchmark."""

from __future__ import annotations

from dataclasses import replace

import pytest

import table
from costs import Result, evaluate
from goals import bytes_goals, cost_goals, stall_goals
from plan import ASYNC, BACKUP, HOLDFAST, NONE, UPLOADED, WHOLE, Block, Sample, State

STATE = State(100_000_000, 20, copy=0.030)
STEP = 0.1
COSTS = {NONE: (0.0, 0.0), HOLDFAST: (0.004, 0.020), UPLOADED: (0.005, 0.040), BACKUP: (0.200, 0.0)}
"""Seconds of stall and of excess."""


def sample(name: str, number: int, stall: float, excess: float, *, step: float = STEP) -> Sample:
    return Sample(
        variant=name,
        round=number,
        quiet=(step,) * 4,
        quiet_gap=0.001,
        quiet_cpu=0.15,
        gap=0.001 + stall,
        following=(step + excess, step, step),
        cpu=0.45,
        daemon_cpu=0.0,
        written=100_000_000,
        stored=5_000_000 if name == UPLOADED else 0,
    )


def result(costs: dict[str, tuple[float, float]] = COSTS, block: Block | None = None) -> Result:
    block = replace(block or Block("dense", "saturated", 100, 3), variants=tuple(costs))
    samples = [sample(name, number, *costs.get(name, (9.0, 9.0))) for number, name in block.turns()]
    return evaluate(block, STATE, samples)


def test_a_checkpoint_costs_its_stall_and_what_the_steps_after_it_take_longer() -> None:
    cost = result().costs[HOLDFAST]
    assert cost.stall.median == pytest.approx(0.004)
    assert cost.excess.median == pytest.approx(0.020)
    assert cost.both.median == pytest.approx(0.024)


def test_every_turn_is_compared_with_the_steps_around_it() -> None:
    drifting = [
        sample(name, place, *COSTS[name], step=STEP * (1 + 0.01 * place))
        for place, name in enumerate((NONE, HOLDFAST, UPLOADED, BACKUP))
    ]
    block = Block("dense", "saturated", 100, 1, tuple(COSTS))
    assert evaluate(block, STATE, drifting).costs[HOLDFAST].excess.median == pytest.approx(0.020)


def test_steps_that_scatter_are_no_excess() -> None:
    uneven = (0.05, 0.05, 0.05, 0.25)
    turns = [
        replace(sample(NONE, number, 0.0, 0.0), quiet=uneven, following=uneven, gap=0.001)
        for number in range(3)
    ]
    cost = evaluate(Block("dense", "saturated", 1, 3, (NONE,)), STATE, turns).costs[NONE]
    assert cost.excess.median == pytest.approx(0.0)


def test_rounds_for_warming_up_do_not_count() -> None:
    block = Block("dense", "saturated", 100, 2, tuple(COSTS))
    samples = [
        sample(name, number, *(COSTS[name] if number >= 0 else (5.0, 5.0))) for number, name in block.turns()
    ]
    assert evaluate(block, STATE, samples).costs[HOLDFAST].stall.median == pytest.approx(0.004)


def test_a_block_that_ended_early_is_told() -> None:
    block = Block("dense", "saturated", 100, 1, tuple(COSTS))
    with pytest.raises(ValueError, match="dense:saturated:100 ended"):
        evaluate(block, STATE, [sample(NONE, 0, 0.0, 0.0)])


def test_every_variant_has_its_turn_in_each_round_and_none_always_follows_the_same() -> None:
    block = Block("dense", "saturated", 100, 4, tuple(COSTS))
    turns = block.turns()
    for number in range(4):
        assert sorted(name for one, name in turns if one == number) == sorted(COSTS)
    followed = {after for (_, before), (_, after) in zip(turns, turns[1:], strict=False) if before == BACKUP}
    assert len(followed) > 1


def test_a_peer_within_the_noise_gives_no_ratio() -> None:
    noisy = result({**COSTS, NONE: (0.0, 0.3)})
    assert noisy.ratio(HOLDFAST, BACKUP) is None
    assert cost_goals([noisy]) == []
    assert result().ratio(HOLDFAST, BACKUP) == pytest.approx(0.024 / 0.2)


def test_the_goal_is_judged_beside_the_best_of_all_peers() -> None:
    one = result({**COSTS, ASYNC: (0.004, 0.026)})
    assert (one.best(), one.best(WHOLE)) == (ASYNC, BACKUP)
    assert [goal.reached for goal in cost_goals([one])] == [False]
    assert [goal.reached for goal in cost_goals([result()])] == [True]


def test_beside_an_accelerator_one_copy_of_the_state_will_do() -> None:
    block = Block("dense", "free", 100, 3)
    assert [goal.reached for goal in cost_goals([result(block=block)])] == [True]
    dear = {**COSTS, HOLDFAST: (0.004, 0.040)}
    assert [goal.reached for goal in cost_goals([result(dear, block)])] == [False]


def test_the_longest_stall_is_what_counts() -> None:
    short, long = result(), result({**COSTS, HOLDFAST: (0.030, 0.0)}, Block("dense", "saturated", 300, 3))
    snapshot, upload, growth = stall_goals([short, long])
    assert "30.0 ms" in snapshot.text and "300 MB" in snapshot.text and not snapshot.reached
    assert upload.reached
    assert not growth.reached


def test_frozen_variables_are_judged_in_spool_and_store() -> None:
    frozen = result(block=Block("frozen", "saturated", 100, 3))
    spool, store = bytes_goals([frozen, result()])
    assert (spool.reached, store.reached) == (False, True)


def test_tables_have_a_cell_for_every_head() -> None:
    some = {name: value for name, value in COSTS.items() if name != UPLOADED}
    several = [
        result(),
        result({**COSTS, ASYNC: (0.1, 0.1)}, Block("dense", "free", 30, 3)),
        result(some, Block("deep", "saturated", 50, 3, variables=100)),
    ]
    for section in (*table.sections(several, {ASYNC: "gone"}), *table.details(several)):
        assert section.rows
        assert {len(row) for row in section.rows} == {len(section.heads)}
        assert section.markdown()
