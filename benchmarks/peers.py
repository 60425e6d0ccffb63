"""The peers' ways to checkpoint, each asked for a checkpoint at a given step."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final, Protocol

import keras
import tensorflow as tf

from plan import ASYNC, BACKUP, MANAGER, MODEL, ORBAX

KEPT: Final = 2
"""Checkpoints that those keep which can keep several: the disk is filled, and file names are used, in turns."""


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

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.inner.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.open:
            self.inner.on_train_batch_end(batch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.inner.on_train_end(logs)


class Manager(keras.callbacks.Callback):
    """`tf.train.CheckpointManager` as its guide has it: model and optimizer."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.saves = folder, 0
        self.checkpoint: Any = None
        self.manager: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        del logs
        self.checkpoint = self.contents()
        self.manager = tf.train.CheckpointManager(self.checkpoint, str(self.folder), max_to_keep=KEPT)

    def contents(self) -> Any:
        """What is saved."""
        return tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del batch, logs
        self.saves += 1
        self.manager.save(checkpoint_number=self.saves)


class AsyncManager(Manager):
    """The same with `enable_async`, over the bare variables: of a Keras 3 model the second save raises."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._options = tf.train.CheckpointOptions(enable_async=True)
        self.written = threading.Event()

    def contents(self) -> Any:
        found = [*self.model.variables, *self.model.optimizer.variables]
        return tf.train.Checkpoint(variables=[one.value for one in found])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del batch, logs
        self.saves += 1
        self.written.clear()
        self.manager.save(checkpoint_number=self.saves, options=self._options)
        threading.Thread(target=self._wait, name="bench-async-manager", daemon=True).start()

    def _wait(self) -> None:
        self.checkpoint.sync()
        self.written.set()


class AsyncManagerPeer(Peer):
    """Its checkpoint is written when TensorFlow says so."""

    def __init__(self, callback: AsyncManager) -> None:
        super().__init__(callback)
        self._event = callback.written

    def written(self) -> bool:
        return self._event.is_set()


class OrbaxPeer(Peer):
    """Its checkpoint is written when Orbax says so."""

    def __init__(self, callback: Any) -> None:
        super().__init__(callback)
        self._checkpointer = callback.checkpointer

    def written(self) -> bool:
        return not self._checkpointer.is_saving_in_progress()


def make_peer(name: str, folder: Path) -> Variant:
    """One of them, writing below ``folder``."""
    folder = folder / name
    if name == BACKUP:
        return Peer(keras.callbacks.BackupAndRestore(str(folder), save_freq=1))
    if name == MODEL:
        folder.mkdir()
        return Peer(keras.callbacks.ModelCheckpoint(str(folder / "model.keras"), save_freq=1))
    if name == MANAGER:
        return Peer(Manager(folder))
    if name == ASYNC:
        return AsyncManagerPeer(AsyncManager(folder))
    if name == ORBAX:
        from keras.src.callbacks.orbax_checkpoint import OrbaxCheckpoint

        return OrbaxPeer(OrbaxCheckpoint(str(folder), save_freq=1, max_to_keep=KEPT))
    raise ValueError(f"no peer is called {name!r}")
