"""The results of the blocks as sections: in short, beside each peer, by the number of variables, in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from costs import Cost, Result
from goals import bytes_goals, cost_goals, growth_goals, stall_goals
from plan import ASYNC, BACKUP, HOLDFAST, NONE, PEERS, REGIME_TITLES, TITLES, UPLOADED, WHOLE, Regime
from sections import Section

SHORT: Final = (
    "state",
    "step",
    "noise",
    "stall",
    "both",
    "with upload",
    "best peer",
    "of it",
    "of async",
    "one copy",
)
FULL: Final = (
    "variant",
    "stall ms",
    "excess ms",
    "both ms",
    "of best peer",
    "CPU s",
    "daemon CPU s",
    "written MB",
    "stored MB",
)
NOTE: Final = (
    "In ms, medians ± median absolute deviation. Noise: stall and excess of no checkpoint at all. Stall, both: "
    "of Holdfast's snapshot, which survives the process; *both* is stall and excess. With upload: both, until "
    "the store has it, synced to disk, which the peers' files are not. Best peer: of those that save a Keras "
    "model as it is. Of it, of async: both, as a share of that peer's and of the asynchronous "
    "CheckpointManager's over the bare variables. One copy: of the state, in memory."
)
PEERS_NOTE: Final = (
    "Stall and excess in ms, the stall in brackets. `enable_async` saves the bare variables, since of a "
    "Keras 3 model the second asynchronous save raises; it holds a second state in memory all the time."
)
BYTES_NOTE: Final = (
    "MB written for one checkpoint. Fine-tuning: 95 % of the state's bytes are frozen weights, the rest "
    "are trained ones with Adam's two moments."
)


def sections(results: Sequence[Result], missing: dict[str, str]) -> list[Section]:
    """All sections that the results give."""
    blocks = [result for result in results if not result.block.variables]
    growth = [result for result in results if result.block.variables]
    found = [
        _in_short(regime, same)
        for regime in REGIME_TITLES
        if (same := [result for result in blocks if result.block.regime == regime])
    ]
    if blocks:
        found.append(_beside_peers(blocks, missing))
        found.append(_bytes(blocks))
    if growth:
        found.append(_growth(growth))
    return found


def _in_short(regime: Regime, results: Sequence[Result]) -> Section:
    rows = []
    for result in results:
        cost, best = result.costs, result.best(WHOLE)
        rows.append(
            (
                result.block.title,
                _ms(result.step.median),
                cost[NONE].both.text(1e3, 1),
                cost[HOLDFAST].stall.text(1e3, 1),
                cost[HOLDFAST].both.text(1e3, 1),
                cost[UPLOADED].both.text(1e3, 1) if UPLOADED in cost else "-",
                f"{_ms(cost[best].both.median)}, {TITLES[best]}" if best else "-",
                _share(result, best),
                _share(result, ASYNC),
                _ms(result.state.copy),
            )
        )
    goals = [*stall_goals(results), *cost_goals(results)]
    return Section(f"What a checkpoint costs: {REGIME_TITLES[regime]}", SHORT, rows, goals, (NOTE,))


def _beside_peers(results: Sequence[Result], missing: dict[str, str]) -> Section:
    names = [name for name in (HOLDFAST, UPLOADED, *PEERS) if any(name in one.costs for one in results)]
    rows = [
        (_where(one), *(_both(one.costs[name]) if name in one.costs else "-" for name in names))
        for one in results
    ]
    notes = [PEERS_NOTE, *(f"{TITLES[name]} is left out: {why}." for name, why in missing.items())]
    heads = ("state", *(TITLES[name] for name in names))
    return Section("Each of the peers", heads, rows, notes=notes)


def _bytes(results: Sequence[Result]) -> Section:
    chosen = _one_of_each(results)
    names = [name for name in PEERS if any(name in one.costs for one in chosen)]
    rows = []
    for one in chosen:
        spool, store = one.costs[HOLDFAST].written, one.costs.get(UPLOADED)
        cells = [_mb(one.state.nbytes), _mb(spool.median), "-" if store is None else _mb(store.stored.median)]
        cells += [_mb(one.costs[name].written.median) if name in one.costs else "-" for name in names]
        rows.append((_where(one), *cells))
    heads = ("state", "MB", "into the spool", "into the store", *(TITLES[name] for name in names))
    return Section("Bytes of a checkpoint", heads, rows, bytes_goals(results), (BYTES_NOTE,))


def _one_of_each(results: Iterable[Result]) -> list[Result]:
    """The largest block of each subject that has the most variants."""
    best: dict[str, Result] = {}
    for one in results:
        there = best.get(one.block.subject)
        size = len(one.costs), one.block.megabytes
        if there is None or size > (len(there.costs), there.block.megabytes):
            best[one.block.subject] = one
    return list(best.values())


def _growth(results: Sequence[Result]) -> Section:
    rows = [
        (
            f"{one.state.variables:,}",
            _ms(one.step.median),
            one.costs[NONE].both.text(1e3, 1),
            one.costs[HOLDFAST].stall.text(1e3, 1),
            one.costs[HOLDFAST].both.text(1e3, 1),
            one.costs[BACKUP].both.text(1e3, 1),
        )
        for one in results
    ]
    heads = ("variables", "step", "noise", "stall", "both", TITLES[BACKUP])
    note = f"In ms; {results[0].block.megabytes} MB of state, divided into so many variables."
    return Section("Growth with the number of variables", heads, rows, growth_goals(results), (note,))


def details(results: Sequence[Result]) -> list[Section]:
    """Every figure of every block."""
    return [_detail(result) for result in results]


def _detail(result: Result) -> Section:
    rows = []
    for name, cost in result.costs.items():
        ratio = result.ratio(name, result.best(WHOLE))
        rows.append(
            (
                TITLES[name],
                cost.stall.text(1e3, 1),
                cost.excess.text(1e3, 1),
                cost.both.text(1e3, 1),
                "-" if ratio is None or name == NONE else f"{ratio:.2f}",
                cost.cpu.text(digits=2),
                cost.daemon_cpu.text(digits=2),
                _mb(cost.written.median),
                _mb(cost.stored.median),
            )
        )
    where = f"{result.block.title}, {REGIME_TITLES[result.block.regime]}"
    return Section(f"{where}; a step takes {result.step.text(1e3, 1)} ms", FULL, rows)


def _where(result: Result) -> str:
    return result.block.title + (", a core free" if result.block.regime == "free" else "")


def _share(result: Result, peer: str) -> str:
    if peer not in result.costs:
        return "-"
    ratio = result.ratio(HOLDFAST, peer)
    return "in the noise" if ratio is None else f"{ratio:.2f}"


def _both(cost: Cost) -> str:
    return f"{_ms(cost.both.median)} ({_ms(cost.stall.median)})"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}" if abs(seconds) < 0.1 else f"{seconds * 1e3:.0f}"


def _mb(nbytes: float) -> str:
    return f"{nbytes / 1e6:.1f}"
