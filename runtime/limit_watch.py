"""Before a machine's time is up: a checkpoint is asked for, and the user is told, once for each limit."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.runtime import report
from holdfast.runtime.machine import up_seconds
from holdfast.runtime.names import Stem
from holdfast.runtime.stores.credentials import in_colab
from holdfast.runtime.time_limits import Limit, limits, near


class LimitWatch:
    """Looks at the time now and then, for one session."""

    def __init__(self) -> None:
        self._told: set[Limit] = set()
        self._awaited: Stem | None = None

    def look(self, hours: float, ask: Callable[[], None], following: Stem, confirmed: Stem | None) -> None:
        """Does what is to be done now.

        Args:
            hours: The setting ``time_limit_hours``.
            ask: Asks for a checkpoint.
            following: The name of the snapshot to come.
            confirmed: The newest checkpoint that is confirmed.
        """
        up = up_seconds()
        limit = near(up, limits(hours, in_colab=in_colab()))
        if limit is not None and limit not in self._told:
            self._told.add(limit)
            self._awaited = following
            report.say(
                f"this machine has been up for {report.ago(up)}; {limit.known}. A running training is asked "
                "for a checkpoint now; what it trains after its last confirmed one is lost with the machine"
            )
            ask()
        if self._awaited is not None and confirmed is not None and confirmed >= self._awaited:
            self._awaited = None
            report.say(f"checkpoint {confirmed}, taken since then, is confirmed")
