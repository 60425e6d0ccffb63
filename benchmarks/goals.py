"""What a checkpoint may cost, and whether it does. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from costs import Result
from plan import HOLDFAST, REGIME_TITLES, TITLES, UPLOADED
from sections import Goal

STALL_SECONDS: Final = 0.010
STALL_GROWTH: Final = 2.0
"""The longest stall; and how much longer it may be with the largest state than with the smallest."""

SHARE_OF_PEER: Final = {"saturated": 0.5, "free": 0.1}
"""The largest share of the best peer's stall and excess."""

FROZEN_SHARE: Final = 0.06
"""The largest share of the state that is written where 95 % of it is frozen."""

SPARSE_REASON: Final = (
    "TensorFlow updates single rows of a table in place, and copies the whole table whenever it is read"
)

READ_REASON: Final = (
    "TensorFlow's read takes about 5 µs a variable, and Python about as long to find it, name it and hold it"
)


def stall_goals(results: Sequence[Result]) -> list[Goal]:
    """At most so long, at every size, and about as long at all."""
    found = []
    sparse = [one for one in results if one.block.subject == "sparse"]
    for group, reason in (([one for one in results if one not in sparse], ""), (sparse, SPARSE_REASON)):
        found += [_longest_stall(group, name, reason) for name in (HOLDFAST, UPLOADED) if group]
    dense = sorted(
        (one for one in results if one.block.subject == "dense"), key=lambda one: one.block.megabytes
    )
    if len(dense) > 1:
        small, large = dense[0], dense[-1]
        before, after = (one.costs[HOLDFAST].stall.median for one in (small, large))
        text = f"{_where(large)}: stall {after / before:.1f} times that at {small.block.megabytes} MB"
        found.append(Goal(f"{text}, at most {STALL_GROWTH:.0f}", after <= STALL_GROWTH * before))
    return found


def _longest_stall(results: Sequence[Result], name: str, reason: str) -> Goal:
    stalls = [(one.costs[name].stall.median, one.block.title) for one in results if name in one.costs]
    longest, where = max(stalls)
    each = f" of {len(stalls)}, {where}" if len(stalls) > 1 else f", {where}"
    text = f"{TITLES[name]}, {REGIME_TITLES[results[0].block.regime]}: stall {longest * 1e3:.1f} ms"
    text += f" (the longest{each}), at most {STALL_SECONDS * 1e3:.0f} ms"
    return Goal(text, longest <= STALL_SECONDS, reason)


def cost_goals(results: Sequence[Result]) -> list[Goal]:
    """At most a share of the best peer's stall and excess; beside an accelerator one copy will do too."""
    found = []
    for result in results:
        best = result.best()
        ratio = result.ratio(HOLDFAST, best)
        if ratio is None:
            continue  # the best peer's is within the noise
        share = SHARE_OF_PEER[result.block.regime]
        text = f"{_where(result)}: stall and excess {ratio:.2f} of {TITLES[best]}'s, at most {share}"
        reached = ratio <= share
        if result.block.regime == "free":
            both, copy = result.costs[HOLDFAST].both.median, result.state.copy
            text += f" or one copy of the state ({both * 1e3:.0f} ms, a copy takes {copy * 1e3:.0f} ms)"
            reached = reached or both <= copy
        found.append(Goal(text, reached))
    return found


def growth_goals(results: Sequence[Result]) -> list[Goal]:
    """The stall's bound holds for many variables too."""
    return [
        Goal(
            f"{one.state.variables:,} variables: stall {one.costs[HOLDFAST].stall.median * 1e3:.1f} ms, "
            f"at most {STALL_SECONDS * 1e3:.0f} ms",
            one.costs[HOLDFAST].stall.median <= STALL_SECONDS,
            READ_REASON,
        )
        for one in results
    ]


def bytes_goals(results: Sequence[Result]) -> list[Goal]:
    """What is frozen is not written again."""
    found = []
    for one in results:
        if one.block.subject != "frozen":
            continue
        spool = one.costs[HOLDFAST].written.median / one.state.nbytes
        written = [("into the spool", spool)]
        if UPLOADED in one.costs:
            written.append(("into the store", one.costs[UPLOADED].stored.median / one.state.nbytes))
        for where, share in written:
            text = f"{_where(one)}: {share:.1%} of the state written {where}, at most {FROZEN_SHARE:.0%}"
            found.append(Goal(text, share <= FROZEN_SHARE))
    return found


def _where(result: Result) -> str:
    return f"{result.block.title}, {REGIME_TITLES[result.block.regime]}"
