"""What the panel says about a run, as plain texts: never more than is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal

from holdfast.runtime import report
from holdfast.runtime.panel_loss import if_kernel_died, if_vm_vanished, is_covered
from holdfast.runtime.run_status import Status
from holdfast.runtime.schedule_text import intervals

Level = Literal["safe", "waiting", "risk", "stopped"]

LATE_SECONDS: Final = 60.0
"""How long an upload may take before it counts as late, beside two persist intervals."""

RATE_SECONDS: Final = 1.0
"""An upload that has run for less has no rate yet."""

SAID_LINES: Final = 4
"""Of the lines that were said, as many as a small panel has room for."""


@dataclass(frozen=True, slots=True)
class View:
    """A panel, ready to be written as text or HTML.

    Attributes:
        level: How safe the work is.
        headline: The same in words.
        problems: What fails or will, and what to do.
        rows: Labels and their texts.
        inexact: Parts of the state that cannot be exact, each with why.
        said: What happened last: times and lines.
        as_of: When all this was so.
    """

    level: Level
    headline: str
    problems: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    inexact: tuple[tuple[str, str], ...]
    said: tuple[tuple[str, str], ...]
    as_of: str


def view(status: Status, now: float, zone: tzinfo | None = None) -> View:
    """What to show of a status.

    Args:
        status: Where the run stands.
        now: Unix time in seconds.
        zone: Of the times shown; by default the machine's own.
    """
    clock = Clock(now, zone)
    level, headline = headline_of(status, now)
    return View(
        level=level,
        headline=headline,
        problems=_problems(status, clock),
        rows=_rows(status, clock),
        inexact=status.inexact,
        said=tuple((clock.time(at), text) for at, text in status.said[-SAID_LINES:]),
        as_of=clock.time(now),
    )


class Clock:
    """Times for people, absolute and relative to a moment."""

    def __init__(self, now: float, zone: tzinfo | None = None) -> None:
        self.now, self.zone = now, zone

    def time(self, at: float) -> str:
        """``14:03:21``, with its date where that is another than the moment's."""
        then, today = self._local(at), self._local(self.now)
        return f"{then:%H:%M:%S}" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M:%S}"

    def ago(self, at: float) -> str:
        """``14:03:21 (40 s ago)``; without a time where none is known."""
        return f"{self.time(at)} ({report.ago(self.now - at)} ago)" if at else "at a time not known"

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(min(max(at, 0.0), _LAST), UTC).astimezone(self.zone)


_LAST: Final = 253_000_000_000.0
"""The year 9987: a file may say anything, and `datetime` ends soon after."""


def headline_of(status: Status, now: float) -> tuple[Level, str]:
    """The level, and what it means in words."""
    if status.fenced:
        return "stopped", "Training unsaved: another session took the run over"
    if status.ended:
        return _ended(status)
    if status.snapshot_problem:
        return "risk", "At risk: snapshots cannot be written"
    covered = is_covered(status)
    age = report.ago(now - status.confirmed_taken_at)
    if status.problem:
        if covered:
            return "risk", "The store fails now; all that was trained is confirmed there"
        nothing = "nothing of this session is confirmed"
        known = f"confirmed up to {age} ago" if status.confirmed_here else nothing
        return "risk", f"At risk: checkpoints do not reach the store; {known}"
    if not status.last_step_at:
        return "waiting", "Ready: no training step in this session yet"
    if covered:
        return "safe", "Safe: all that was trained is confirmed"
    if status.unconfirmed:
        return "risk", f"Written, not confirmed: {status.unconfirmed}"
    if not status.confirmed_here:
        return "waiting", "Not safe yet: nothing of this session is confirmed"
    if not status.confirmed_taken_at:
        return "waiting", "Confirmed, of a time that is not known"
    late = now - status.confirmed_taken_at > 2 * status.persist_seconds + LATE_SECONDS
    if late and status.snapshot != status.confirmed:
        return "risk", f"At risk: confirmed only up to {age} ago"
    return "safe", f"Safe: confirmed up to {age} ago"


def _ended(status: Status) -> tuple[Level, str]:
    if is_covered(status):
        return "safe", "Stopped: all that was trained is confirmed"
    if not status.last_step_at:
        return "waiting", "Stopped: no training step in this session"
    if not status.snapshot:
        return "risk", "Stopped: no snapshot of this session"
    if status.unconfirmed and status.written == status.snapshot:
        return "risk", f"Stopped: written, not confirmed: {status.unconfirmed}"
    if status.confirmed == status.snapshot:
        return "safe", "Stopped: the last snapshot is confirmed"
    return "waiting", "Stopped: the last snapshot was not confirmed yet when this was shown; the daemon goes on"


def _problems(status: Status, clock: Clock) -> tuple[str, ...]:
    found = []
    if status.problem:
        since = f" (since {clock.ago(status.problem_since)})" if status.problem_since else ""
        todo = ". To claim the run again: colab_bootstrap.start()" if status.fenced else ""
        found.append(f"{status.problem}{since}{todo}")
    if status.snapshot_problem:
        found.append(f"The last snapshot was not written: {status.snapshot_problem}. Training goes on")
    if status.memory_short:
        found.append(f"{status.memory_short}. The training waits while a snapshot is written")
    if status.warning:
        found.append(status.warning)
    return tuple(found)


def _rows(status: Status, clock: Clock) -> tuple[tuple[str, str], ...]:
    rows = [
        ("Lost with the kernel", if_kernel_died(status, clock.ago)),
        ("Lost with the machine", if_vm_vanished(status, clock.ago)),
        ("Snapshot", _checkpoint(status.snapshot, status.snapshot_at, clock)),
        ("Written", _checkpoint(status.written, status.written_at, clock)),
        ("Confirmed", _checkpoint(status.confirmed, status.confirmed_at, clock)),
    ]
    if status.unconfirmed:
        rows[-1] = ("Confirmed", f"{rows[-1][1]}: {status.unconfirmed}")
    if status.schedule is not None:
        rows.append(("Schedule", status.schedule_problem or intervals(status.schedule)))
    if status.uploading:
        rows.append(("Uploading", _upload(status, clock.now)))
    if status.space_used:
        free = "" if status.space_free < 0 else f"; {report.size(status.space_free)} free"
        rows.append(("Space", f"{report.size(status.space_used)} of this run in the store{free}"))
    rows += [("Run", f"{status.run} ({status.situation})"), ("Store", status.store)]
    if status.found:
        rows.append(("At the start", status.found))
    if status.cell in ("interrupted", "failed"):
        again = " when it was run again" if status.cell_again else ""
        rows.append(("Last cell", f"{status.cell}{again}"))
    return tuple(rows)


def _checkpoint(stem: str, at: float, clock: Clock) -> str:
    return f"{clock.ago(at)}, {stem}" if stem else "none yet"


def _upload(status: Status, now: float) -> str:
    done, total = status.uploading_bytes, status.uploading_total
    text = f"{report.size(done)} of {report.size(total)}" if total else report.size(done)
    if total:
        text += f" ({min(100, 100 * done // total)} %)"
    seconds = now - status.uploading_since
    if status.uploading_since and seconds >= RATE_SECONDS and done > 0:
        text += f", {report.size(done / seconds)}/s"
        if total > done and not status.problem:
            text += f", about {report.ago((total - done) * seconds / done)} left"
    return text
