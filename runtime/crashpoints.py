"""Named steps of the save and restore paths, at which a test may kill the process.

``HOLDFAST_CRASH_AT=name`` or ``name:n`` makes the n-th passage (1 is the first) of that step
end the process with SIGKILL, as the out-of-memory killer or a reclaimed VM would. With
``HOLDFAST_CRASH_SIGNAL=SIGSTOP`` it is frozen instead, as a laptop's lid or a paused VM does it.
"""

from __future__ import annotations

import os
import signal
from typing import Final, Literal, get_args

Step = Literal[
    "save.references",
    "spool.object.begin",
    "spool.object.middle",
    "spool.object.written",
    "spool.manifest.begin",
    "spool.manifest.written",
    "spool.committed",
    "daemon.noticed",
    "store.object.begin",
    "store.object.middle",
    "store.object.written",
    "store.manifest.begin",
    "store.manifest.written",
    "store.retention",
    "start.evidence",
    "start.claimed",
    "restore.chosen",
    "restore.read",
    "restore.assign.begin",
    "restore.assign.middle",
    "restore.assigned",
    "restore.position",
]
STEPS: Final[tuple[str, ...]] = get_args(Step)
VARIABLE: Final = "HOLDFAST_CRASH_AT"
SIGNAL_VARIABLE: Final = "HOLDFAST_CRASH_SIGNAL"

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)
_signal = signal.Signals[os.environ.get(SIGNAL_VARIABLE, "SIGKILL")]


def reach(step: Step) -> None:
    """Marks that the path has come to ``step``; kills or freezes the process where a test asked for it."""
    global _left
    if step != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), _signal)
