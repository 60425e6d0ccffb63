"""How long a machine may live, and when its user is told that its end is near. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HOUR: Final = 3600.0

NOTICE_SECONDS: Final = 600.0
"""How long before a limit the user is told: a large checkpoint and a slow network want some minutes."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A time that a machine may not outlive.

    Attributes:
        hours: Since it was started.
        known: What is known of it, as a clause.
    """

    hours: float
    known: str


COLAB: Final = (
    Limit(12.0, "free Colab VMs end after 12 h at the latest"),
    Limit(24.0, "Colab VMs end after 24 h at the latest, paid ones too"),
)


def limits(setting_hours: float, *, in_colab: bool) -> tuple[Limit, ...]:
    """The limits that may hold here, the nearest first.

    Args:
        setting_hours: The setting ``time_limit_hours``, 0 where there is none.
        in_colab: Whether this is Colab.
    """
    if setting_hours > 0:
        return (Limit(setting_hours, f"its end after {setting_hours:g} h is what time_limit_hours says"),)
    return COLAB if in_colab else ()


def near(up_seconds: float, among: Sequence[Limit]) -> Limit | None:
    """The limit that is less than `NOTICE_SECONDS` away; None where none is. One that is past did not hold.

    Args:
        up_seconds: How long the machine has been up.
        among: Limits, the nearest first.
    """
    for limit in among:
        left = limit.hours * HOUR - up_seconds
        if 0 < left <= NOTICE_SECONDS:
            return limit
    return None
