"""What is measured: regimes, state sizes and variants, and the record of one checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

Regime = Literal["saturated", "free"]
REGIMES: Final[tuple[Regime, ...]] = ("saturated", "free")

HOLDFAST: Final = "holdfast"
UPLOADED: Final = "holdfast_store"
NONE: Final = "none"
PEERS: Final = ("backup_and_restore", "checkpoint_manager")
VARIANTS: Final = (NONE, HOLDFAST, UPLOADED, *PEERS)

TITLES: Final = {
    NONE: "no checkpoint",
    HOLDFAST: "Holdfast, snapshot",
    UPLOADED: "Holdfast, snapshot and upload",
    "backup_and_restore": "keras BackupAndRestore",
    "checkpoint_manager": "tf.train.CheckpointManager",
}
REGIME_TITLES: Final = {
    "saturated": "CPU saturated by the training",
    "free": "a core free, the step waits for an accelerator",
}


@dataclass(frozen=True, slots=True)
class Block:
    """One process's share: one model in one regime, the variants taking turns.

    Attributes:
        regime: What the training leaves of the CPU.
        megabytes: Size of weights and optimizer state together, in 10^6 bytes.
        rounds: Measured checkpoints of each variant.
    """

    regime: Regime
    megabytes: int
    rounds: int


FULL: Final = tuple(
    Block(regime, megabytes, rounds)
    for regime in REGIMES
    for megabytes, rounds in ((30, 9), (300, 6), (800, 4))
)
QUICK: Final = (Block("saturated", 30, 3), Block("saturated", 100, 3), Block("free", 100, 2))


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn of one variant. Times in seconds.

    Attributes:
        variant: Whose turn it was.
        round: Which round; negative ones are for warming up.
        quiet: Times of the steps just before, of one end to the next, with no checkpoint about.
        quiet_gap: Median time between two of those steps, in which a checkpoint would hold the training.
        quiet_cpu: CPU time of this process for one of those steps.
        gap: Time between the checkpoint's step and the next one.
        following: Times of the steps from there on until the checkpoint was written, the gap not counted.
        cpu: CPU time of this process from the checkpoint's step to the end of those.
        daemon_cpu: CPU time of the daemon in that time.
        written: Bytes that this process and the daemon wrote in that time.
    """

    variant: str
    round: int
    quiet: tuple[float, ...]
    quiet_gap: float
    quiet_cpu: float
    gap: float
    following: tuple[float, ...]
    cpu: float
    daemon_cpu: float
    written: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Sample:
        """From plain JSON."""
        known = {one.name: value[one.name] for one in fields(cls)}
        for name in ("quiet", "following"):
            known[name] = tuple(known[name])
        return cls(**known)


WARM_ROUNDS: Final = 1
SPOOL_FILLED: Final = 3
"""Snapshots after which Holdfast writes over old files of the spool, as it does from then on."""


def turns(rounds: int) -> list[tuple[int, str]]:
    """Round and variant of every turn, the order rotated so that nobody always follows the same one."""
    plan = [(-WARM_ROUNDS - 1, HOLDFAST)] * SPOOL_FILLED
    for number in range(-WARM_ROUNDS, rounds):
        shift = number % len(VARIANTS)
        plan += [(number, name) for name in (*VARIANTS[shift:], *VARIANTS[:shift])]
    return plan
