"""What is said of the schedule: the intervals, what they cost, and which bound they cannot keep."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from holdfast.runtime import report
from holdfast.runtime.budget import Clash, TierName
from holdfast.runtime.scheduler import Measured, Wishes

MUCH: Final = 1.25
"""A bound that is missed by less than this factor is not worth a line."""

NEWS: Final = 2.0
"""What was said is said again where what may be lost has changed by this factor."""

_WHO: Final = {"snapshot": "a killed kernel", "upload": "a lost VM"}


def problem(measured: Measured, wishes: Wishes) -> str:
    """Which bounds cannot be kept, why, and what would keep them; empty for none.

    Args:
        measured: What is known.
        wishes: What the user asks for.
    """
    clashes = _worth_saying(measured, wishes)
    dear = [clash for clash in clashes if clash.needed is not None]
    budget = f"with at most {_percent(wishes.share)} % overhead"
    parts = []
    if dear:
        parts.append(f"{_dear(measured)}: {budget} {_losses(dear)}; {_remedy(dear)}")
    slow: dict[str, list[Clash]] = {}
    for clash in clashes:
        if clash.needed is not None:
            continue
        why = _slow(measured, wishes, clash)
        if clash.loses <= clash.least * MUCH:
            slow.setdefault(why, []).append(clash)
        else:
            least = f"{_span(clash.least)} whatever the overhead"
            parts.append(f"{_dear(measured)}, and {why}: {budget} {_losses([clash])}, and {least}")
    parts += [f"{why}: {_losses(those)}, whatever the overhead" for why, those in slow.items()]
    return ". ".join(parts)


def intervals(measured: Measured) -> str:
    """The intervals in force, and what they cost so far."""
    plan = measured.plan
    cost = "" if measured.snapshot_cost is None else f" ({_short(measured.snapshot_cost)} each)"
    text = f"snapshots every {report.ago(plan.snapshot_seconds)}{cost}"
    text += f", uploads every {report.ago(plan.persist_seconds)}"
    if measured.overhead is not None:
        share = measured.overhead
        text += f"; {_percent(share) if share >= 0.01 else f'{100 * share:.1g}'} % of training time so far"
    return text


@dataclass(slots=True)
class News:
    """Decides when a problem of the schedule is said: once for each tier, again where it has changed much."""

    _said: dict[TierName, float] = field(default_factory=dict)

    def is_new(self, measured: Measured, wishes: Wishes) -> bool:
        """Whether to say what is the matter now. What comes back as it was has been said."""
        now = {clash.tier: clash.loses for clash in _worth_saying(measured, wishes)}
        if all(tier in self._said and 1 / NEWS < now[tier] / self._said[tier] < NEWS for tier in now):
            return False
        self._said |= now
        return True


def _worth_saying(measured: Measured, wishes: Wishes) -> list[Clash]:
    """Not what passes: while more than the budget is paid back, a bound is missed that it would keep."""
    if not measured.sure:
        return []
    return [
        clash
        for clash in measured.plan.clashes
        if clash.loses > clash.bound * MUCH and (clash.needed is None or clash.needed > wishes.share)
    ]


def _dear(measured: Measured) -> str:
    costs = [("a snapshot", measured.snapshot_cost), ("an upload", measured.upload_cost)]
    told = [f"{name} costs {_short(cost)}" for name, cost in costs if cost]
    return f"{' and '.join(told)} of training"


def _slow(measured: Measured, wishes: Wishes, clash: Clash) -> str:
    if clash.longest == "snapshots":
        setting = f"snapshot_seconds: {wishes.snapshot_seconds:g}"
        return f"snapshots are {_span(measured.plan.snapshot_seconds)} apart ({setting})"
    what, seconds = {
        "writing": ("writing a snapshot", measured.snapshot_takes),
        "step": ("a step", measured.step),
        "upload": ("an upload", measured.upload_takes),
    }[clash.longest]
    return f"{what} takes {report.ago(seconds)}"


def _short(seconds: float) -> str:
    return (
        report.ago(seconds)
        if seconds >= 0.995
        else f"{1000 * seconds:.2g} ms"
        if seconds < 0.0995
        else (f"{seconds:.2f} s")
    )


def _span(seconds: float) -> str:
    """Finer than `report.ago`: two spans of minutes are compared here."""
    whole = seconds >= 600 or (seconds >= 120 and seconds % 60 == 0)
    return report.ago(seconds) if whole or seconds < 10 else f"{math.ceil(seconds)} s"


def _losses(clashes: list[Clash]) -> str:
    told = [
        f"{_WHO[clash.tier]} may lose {_span(clash.loses)} of training rather than {_span(clash.bound)}"
        for clash in clashes
    ]
    return ", and ".join(told)


def _remedy(clashes: list[Clash]) -> str:
    needed = max(clash.needed or 0.0 for clash in clashes)
    kept = "both" if len(clashes) > 1 else _span(clashes[0].bound)
    if needed >= 1:
        return f"no overhead_percent would keep {kept}"
    return f"overhead_percent: {_rounded_up(100 * needed):g} would keep {kept}"


def _rounded_up(number: float) -> float:
    """To two digits, and never down: what is advised has to be enough."""
    digits = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(round(math.ceil(number / digits * (1 - 1e-9)) * digits, 9))


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.995 else f"{100 * share:.0f}"
