"""Waiting until a snapshot is confirmed in the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, ClaimLost, DaemonUnavailable
from holdfast.runtime.manifest import Manifest
from holdfast.runtime.names import parse_stem

if TYPE_CHECKING:
    from holdfast.runtime.session import Session

LOOK_SECONDS: Final = 0.05


def until_confirmed(session: Session, target: Manifest, timeout: float | None, *, progress: bool) -> bool:
    """Waits until the daemon has a session's snapshot confirmed.

    Args:
        session: The session.
        target: The snapshot's manifest.
        timeout: Seconds to wait at the longest; None for as long as it takes.
        progress: Whether to show a bar of the bytes uploaded.

    Returns:
        Whether it is confirmed.

    Raises:
        ClaimLost: Another session has taken the run over.
        CheckpointDamaged: The local disk damaged the snapshot.
        DaemonUnavailable: The daemon does not live and could not be started.
    """
    from holdfast.runtime.bar import Bar  # here, since tqdm would take 20 ms of every start

    deadline = None if timeout is None else time.monotonic() + timeout
    with Bar(total=target.nbytes, unit="B", unit_scale=True, disable=not progress, leave=False) as bar:
        while True:
            status = session.status()
            if status.confirmed and parse_stem(status.confirmed) >= target.stem:
                return True
            if status.unusable and parse_stem(status.unusable) >= target.stem:
                raise CheckpointDamaged(
                    "The snapshot was damaged on the local disk and cannot be uploaded",
                    stem=status.unusable,
                    origin="spool",
                )
            if status.fenced or session.fenced:
                raise ClaimLost(status.fenced or "Another session has taken this run over")
            if status.unconfirmed and parse_stem(status.written) >= target.stem:
                report.say_once(
                    "cannot confirm", f"written, but not confirmed: {status.unconfirmed}. See docs/stores.md"
                )
                return False
            if status.uploading:
                bar.reached(status.uploading_bytes, status.uploading_total)
            if not session.daemon.is_alive() and session.closed:
                raise DaemonUnavailable("The daemon is gone", where=str(session.spool.folder / "daemon.log"))
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
