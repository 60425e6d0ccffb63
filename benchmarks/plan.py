"""What is measured: subjects, regimes, state sizes and variants, and the record of one checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal

Regime = Literal["saturated", "free"]
Subject = Literal["dense", "conv", "embedding", "sparse", "frozen", "deep"]

HOLDFAST: Final = "holdfast"
UPLOADED: Final = "holdfast_store"
NONE: Final = "none"
BACKUP: Final = "backup_and_restore"
MODEL: Final = "model_checkpoint"
MANAGER: Final = "checkpoint_manager"
ASYNC: Final = "checkpoint_manager_async"
ORBAX: Final = "orbax"
PEERS: Final = (BACKUP, MODEL, MANAGER, ASYNC, ORBAX)
WHOLE: Final = tuple(name for name in PEERS if name != ASYNC)
"""Those that save a Keras model as it is; of that an asynchronous manager's second save raises."""

OURS: Final = (NONE, HOLDFAST, UPLOADED)
VARIANTS: Final = (*OURS, *PEERS)

TITLES: Final = {
    NONE: "no checkpoint",
    HOLDFAST: "Holdfast, snapshot",
    UPLOADED: "Holdfast, snapshot and upload",
    BACKUP: "keras BackupAndRestore",
    MODEL: "keras ModelCheckpoint",
    MANAGER: "tf.train.CheckpointManager",
    ASYNC: "CheckpointManager, async",
    ORBAX: "keras OrbaxCheckpoint",
}
REGIME_TITLES: Final[dict[Regime, str]] = {
    "saturated": "CPU saturated by the training",
    "free": "a core free, the step waits for an accelerator",
}
SUBJECT_TITLES: Final[dict[Subject, str]] = {
    "dense": "dense, Adam",
    "conv": "convolutional, BatchNorm, Adam",
    "embedding": "embedding, Adam",
    "sparse": "embedding, SGD",
    "frozen": "fine-tuning, Adam",
    "deep": "dense, Adam",
}


@dataclass(frozen=True, slots=True)
class Block:
    """One process's share: one model in one regime, the variants taking turns.

    Attributes:
        subject: What kind of model.
        regime: What the training leaves of the CPU.
        megabytes: Size of weights and optimizer state together, in 10^6 bytes.
        rounds: Measured checkpoints of each variant.
        variants: Those that take turns.
        variables: Into how many variables that state is divided, about; 0 for as many as the subject has.
    """

    subject: Subject
    regime: Regime
    megabytes: int
    rounds: int
    variants: tuple[str, ...] = VARIANTS
    variables: int = 0

    @property
    def name(self) -> str:
        """Tells it from all others of a plan."""
        parts = (self.subject, self.regime, self.megabytes, *([self.variables] if self.variables else []))
        return ":".join(map(str, parts))

    @property
    def title(self) -> str:
        """For people; without the regime."""
        many = f", {self.variables} variables" if self.variables else ""
        return f"{SUBJECT_TITLES[self.subject]}, {self.megabytes} MB{many}"

    def without(self, missing: Collection[str]) -> Block:
        """The block without some variants."""
        return replace(self, variants=tuple(one for one in self.variants if one not in missing))

    def turns(self) -> list[tuple[int, str]]:
        """Round and variant of every turn, the order rotated so that nobody always follows the same one."""
        plan = [(WARMING, name) for name in self.variants for _ in range(WARM.get(name, 1))]
        for number in range(self.rounds):
            shift = number % len(self.variants)
            plan += [(number, name) for name in (*self.variants[shift:], *self.variants[:shift])]
        return plan

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Block:
        """From plain JSON."""
        return cls(**(value | {"variants": tuple(value["variants"])}))


WARMING: Final = -1
"""The round of turns that do not count."""

WARM: Final = {NONE: 0, HOLDFAST: 3, ASYNC: 2}
"""Turns that do not count, where that is not one. After some snapshots Holdfast writes over old files of the
spool, as it does from then on; the second asynchronous save traces a function."""

SHORT: Final = (*OURS, BACKUP, ASYNC, ORBAX)
"""Where a turn takes long, or the peers are no news: those that are ever the best of them."""

GROWTH: Final = tuple(
    Block("deep", "saturated", 50, 3, (NONE, HOLDFAST, BACKUP), variables)
    for variables in (10, 100, 1000, 5000)
)
FULL: Final = (
    Block("dense", "saturated", 1, 6, SHORT),
    Block("dense", "saturated", 30, 6),
    Block("dense", "saturated", 300, 4),
    Block("dense", "saturated", 800, 3),
    Block("dense", "saturated", 2000, 3, (*OURS, ASYNC)),
    Block("dense", "free", 30, 4, SHORT),
    Block("dense", "free", 300, 3, SHORT),
    Block("dense", "free", 800, 3, (*OURS, BACKUP, ASYNC)),
    Block("conv", "saturated", 10, 4, SHORT),
    Block("embedding", "saturated", 100, 3, SHORT),
    Block("sparse", "saturated", 100, 3, SHORT),
    Block("frozen", "saturated", 300, 4, SHORT),
    *GROWTH,
)
QUICK: Final = (
    Block("dense", "saturated", 30, 2),
    Block("dense", "free", 30, 2, (*OURS, ASYNC)),
    Block("frozen", "saturated", 100, 2, (*OURS, BACKUP)),
    replace(GROWTH[1], megabytes=10, rounds=2),
)
"""About ten seconds of each go into starting TensorFlow."""


@dataclass(frozen=True, slots=True)
class State:
    """What a block's process says of the state before it trains.

    Attributes:
        nbytes: Bytes of weights, optimizer state and what else there is.
        variables: How many variables that is.
        copy: Seconds that one copy of it within memory takes, onto pages that are there.
    """

    nbytes: int
    variables: int
    copy: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn of one variant. Times in seconds.

    Attributes:
        variant: Whose turn it was.
        round: Which round; `WARMING` for none that counts.
        quiet: Times of the steps just before, of one end to the next, with no checkpoint about.
        quiet_gap: Median time between two of those steps, in which a checkpoint would hold the training.
        quiet_cpu: CPU time of this process for one of those steps.
        gap: Time between the checkpoint's step and the next one.
        following: Times of the steps from there on until the checkpoint was written, the gap not counted.
        cpu: CPU time of this process from the checkpoint's step to the end of those.
        daemon_cpu: CPU time of the daemon in that time.
        written: Bytes that this process wrote in that time: a peer's file, Holdfast's into the spool.
        stored: Bytes that the daemon wrote in that time.
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
    stored: int

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
