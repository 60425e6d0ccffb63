"""What the daemon is asked to do: the session's own words, in one small JSON file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.files import read_json, replace_atomically
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.names import Stem, parse_stem
from holdfast.runtime.retention import Policy

FILE_NAME: Final = "session.json"


@dataclass(frozen=True, slots=True)
class Service:
    """Whom the daemon serves, and how.

    Attributes:
        session: Name of the session.
        incarnation: Of its claim.
        kernel: Its process.
        ended: It has ended by itself: the spool is drained, then the daemon ends.
        run: Name of the run.
        store: URL of the store.
        persist_seconds: Seconds between two checkpoints.
        policy: What the store keeps.
        rejected: Checkpoints in the store that a restore found damaged.
    """

    session: str
    incarnation: int
    kernel: ProcessId
    ended: bool
    run: str
    store: str
    persist_seconds: float
    policy: Policy
    rejected: frozenset[Stem]

    def save(self, folder: Path) -> None:
        """Writes it into the spool; a reader sees the old or the new one, never half of it."""
        value: dict[str, Any] = {
            "session": self.session,
            "incarnation": self.incarnation,
            "pid": self.kernel.pid,
            "started": self.kernel.started,
            "ended": self.ended,
            "run": self.run,
            "store": self.store,
            "persist_seconds": self.persist_seconds,
            "keep": asdict(self.policy),
            "rejected": sorted(str(stem) for stem in self.rejected),
        }
        replace_atomically(folder / FILE_NAME, to_json(value), durable=False)

    @classmethod
    def load(cls, folder: Path) -> Service | None:
        """Reads it; None where there is no session yet."""
        value = read_json(folder / FILE_NAME)
        if value is None:
            return None
        try:
            return cls(
                session=str(value["session"]),
                incarnation=int(value["incarnation"]),
                kernel=ProcessId(int(value["pid"]), float(value["started"])),
                ended=bool(value["ended"]),
                run=str(value["run"]),
                store=str(value["store"]),
                persist_seconds=float(value["persist_seconds"]),
                policy=Policy(**{key: int(value["keep"][key]) for key in asdict(Policy())}),
                rejected=frozenset(parse_stem(text) for text in value["rejected"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, FormatInvalid):
            return None
