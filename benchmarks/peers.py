"""The ways to checkpoint that are compared, each asked for a checkpoint at a given step."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

import keras
import psutil
import tensorflow as tf

from colab_bootstrap import Handle
from holdfast.runtime.names import parse_stem
from plan import HOLDFAST, NONE, UPLOADED

NEVER: Final = 86_400.0
ALWAYS: Final = 0.05
"""Seconds between two snapshots, so that none, or one at the next step, is due."""


class Variant(Protocol):
    """A way to checkpoint."""

    callback: keras.callbacks.Callback | None

    def ask(self) -> None:
        """A step has ended, and now a checkpoint is wanted."""

    def over(self) -> None:
        """The next step has ended; no further checkpoint is wanted."""

    def written(self) -> bool:
        """Whether that checkpoint is where it is to go."""


class Nothing:
    """The baseline."""

    callback: keras.callbacks.Callback | None = None

    def ask(self) -> None: ...

    def over(self) -> None: ...

    def written(self) -> bool:
        return True


class Peer(Nothing):
    """A callback that saves at the end of every step, let through when it is asked."""

    def __init__(self, callback: keras.callbacks.Callback) -> None:
        self._gate = Gate(callback)
        self.callback = self._gate

    def ask(self) -> None:
        self._gate.open = True

    def over(self) -> None:
        self._gate.open = False


class Gate(keras.callbacks.Callback):
    """Hands the end of a step on only while it is open."""

    def __init__(self, inner: keras.callbacks.Callback) -> None:
        super().__init__()
        self.inner = inner
        self.open = False

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.inner.set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        self.inner.on_train_begin(logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.open:
            self.inner.on_train_batch_end(batch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.inner.on_train_end(logs)


class ManagerCallback(keras.callbacks.Callback):
    """`tf.train.CheckpointManager` as its guide has it: model and optimizer, every n steps."""

    def __init__(self, folder: Path, every: int) -> None:
        super().__init__()
        self.folder, self.every, self.steps = folder, every, 0
        self.manager: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        del logs
        checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer)
        self.manager = tf.train.CheckpointManager(checkpoint, str(self.folder), max_to_keep=2)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del batch, logs
        self.steps += 1
        if self.steps % self.every == 0:
            self.manager.save(checkpoint_number=self.steps)


class Holdfast(Nothing):
    """A snapshot when the schedule wants one, until it is committed to the spool."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self._before = ""

    def ask(self) -> None:
        self._before = self.handle.status().snapshot
        self._interval(ALWAYS)

    def over(self) -> None:
        self._interval(NEVER)

    def written(self) -> bool:
        return self.handle.status().snapshot != self._before

    def _interval(self, seconds: float) -> None:
        # What the settings watch calls when holdfast.yaml was edited.
        self.handle._session.change_settings(
            lambda old: old.with_changes({"snapshot_seconds": seconds}, where="")
        )


class HoldfastUploaded(Holdfast):
    """`handle.checkpoint()`, until the daemon has it confirmed in the store."""

    def ask(self) -> None:
        self._before = self.handle.status().snapshot
        self.handle.checkpoint()

    def over(self) -> None: ...

    def written(self) -> bool:
        status = self.handle.status()
        if status.snapshot == self._before or not status.confirmed:
            return False
        return parse_stem(status.confirmed) >= parse_stem(status.snapshot)


def make_variants(folder: Path, handle: Handle) -> dict[str, Variant]:
    """All of them, writing below ``folder``."""
    backup = keras.callbacks.BackupAndRestore(str(folder / "backup"), save_freq=1)
    return {
        NONE: Nothing(),
        HOLDFAST: Holdfast(handle),
        UPLOADED: HoldfastUploaded(handle),
        "backup_and_restore": Peer(backup),
        "checkpoint_manager": Peer(ManagerCallback(folder / "manager", every=1)),
    }


def daemon_of(handle: Handle) -> psutil.Process:
    """The daemon's process."""
    return psutil.Process(handle._session.status().pid)
