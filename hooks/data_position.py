"""Where in its data a training is, and getting there again.

Four ways: the saved state of the `tf.data` iterator, which is exact, shuffled or not; a
PyDataset's indices; and fast-forward, for what has no state to save (generators).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from holdfast.hooks import random_state
from holdfast.runtime import report
from holdfast.runtime.exactness_notes import note, say_inexact
from holdfast.runtime.progress import batches_bar

log = logging.getLogger("holdfast.hooks")

ITERATOR: Final = "data/iterator"
FRESH: Final = "data/fresh-iterator"
"""Names in an object: the state of the iterator in use, and its state when it was new."""

SHUFFLE: Final = re.compile(rb"Shuffle\w*:buffer@@num_elements")
"""What an iterator's state has for each shuffle that has not come to its end."""

IGNORE_EXTERNAL_STATE: Final = 1
"""`ExternalStatePolicy.IGNORE` as the op wants it: a random map's position is saved without its state."""

NO_STATE: Final = (
    "this pipeline's state cannot be saved; a resume runs it to its place, exact if its order is fixed"
)
RUN_AGAIN: Final = "a generator is run again up to its place: exact where it begins the same each time"


class Source:
    """Follows one `TFEpochIterator`: how many iterators it made, and the last of them."""

    def __init__(self, epoch_iterator: Any) -> None:
        self.epochs = epoch_iterator
        self.adapter = epoch_iterator.data_adapter
        self.created = 0
        self.iterator: Any = None
        self.owed = 0
        self._waiting: Callable[[], Any] | None = None
        self.host_at_creation: dict[str, Any] | None = None
        self._fresh: bytes | None = None
        self._no_state = False

    @property
    def kind(self) -> str:
        """``array``, ``dataset``, ``py_dataset`` or ``generator``."""
        name = type(self.adapter).__name__
        known = {
            "ArrayDataAdapter": "array",
            "TFDatasetAdapter": "dataset",
            "PyDatasetAdapter": "py_dataset",
            "GeneratorDataAdapter": "generator",
        }
        return known.get(name, "dataset")

    @property
    def data_object(self) -> Any:
        """The user's object that gives the batches by index; None where there is none."""
        return self.adapter.py_dataset if self.kind == "py_dataset" else None

    def make_iterator(self, dataset: Any) -> Any:
        """Stands in for ``iter(dataset)`` and counts; the first time after `prepare`, goes to the place."""
        if self._waiting is not None:
            go, self._waiting = self._waiting, None
            self.iterator = go()
            return self.iterator
        for _ in range(self.owed):  # each moves a shuffling dataset's seeds on by one epoch
            iter(dataset)
        self.created, self.owed = self.created + self.owed + 1, 0
        if self.kind in ("py_dataset", "generator"):
            self.host_at_creation = random_state.capture_host()
        self.iterator = iter(dataset)
        if self.kind == "dataset":
            self._fresh = self._state_of(self.iterator)
        return self.iterator

    def capture(self, max_bytes: int, *, between_epochs: bool) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The position, and the states of iterators where there are any.

        Args:
            max_bytes: Above it, a state is not kept.
            between_epochs: Whether the next batch comes from an iterator still to be made, unless the
                one at hand lasts over several epochs.
        """
        lasting = bool(self.epochs.steps_per_epoch) and self.epochs._current_iterator is not None
        live = self.iterator is not None and (not between_epochs or lasting)
        position: dict[str, Any] = {
            "kind": self.kind,
            "created": self.created,
            "steps_seen": int(self.epochs._steps_seen),
            "num_batches": None if self.epochs._num_batches is None else int(self.epochs._num_batches),
            "live": live,
        }
        states = {}
        if self._fresh is not None and len(self._fresh) <= max_bytes:
            states[FRESH] = self._fresh
        if not live:
            return position, states
        if self.kind in ("py_dataset", "generator"):
            position["host"] = self.host_at_creation
            if self.kind == "generator":
                note("generator", "data position", RUN_AGAIN)
            return position, states
        state = self._state_of(self.iterator)
        if state is not None and len(state) <= max_bytes:
            states[ITERATOR] = state
        elif state is not None:
            self._no_state = True
            say_too_large(max_bytes)
        return position, states

    def _state_of(self, iterator: Any) -> bytes | None:
        if self._no_state:
            return None
        state = iterator_state(iterator)
        self._no_state = state is None
        if state is None:
            note("iterator has no state", "data position", NO_STATE)
        return state

    def prepare(self, position: dict[str, Any], states: dict[str, bytes], ready: Callable[[], None]) -> None:
        """Makes the next iterator that Keras asks for stand where the saved one stood.

        Args:
            position: As `capture` gave it.
            states: As `capture` gave them.
            ready: Called before data are read: what begins an epoch may have changed the data.
        """
        dataset = self.epochs._distributed_dataset
        if not position["live"]:
            if self.kind == "dataset" and FRESH not in states:
                self.owed = max(0, position["created"] - self.created)
            else:
                self.created = position["created"]
                self._restore_seeds(dataset, states)
            return

        def go() -> Any:
            ready()
            if self.kind == "dataset" and FRESH not in states:
                for _ in range(max(0, position["created"] - self.created - 1)):
                    iter(dataset)
            if ITERATOR in states:
                iterator = with_state(iter(dataset), states[ITERATOR])
            elif self.kind == "py_dataset":
                iterator = self._skip_py_dataset(dataset, position)
            else:
                iterator = self._fast_forward(dataset, position)
            self._restore_seeds(dataset, states)
            self.created, self.host_at_creation = position["created"], position.get("host")
            return iterator

        self._waiting = go

    def _restore_seeds(self, dataset: Any, states: dict[str, bytes]) -> None:
        """Puts a shuffling dataset where it draws the next epoch's seeds.

        Making an iterator draws seeds, and restoring one draws them again before it puts them back. One
        near its end has them no longer in its state; then the state it had when it was new sets them right.
        """
        if FRESH not in states:
            return
        self._fresh = states[FRESH]
        if len(SHUFFLE.findall(states.get(ITERATOR, b""))) < len(SHUFFLE.findall(self._fresh)):
            with_state(iter(dataset), self._fresh)

    def _fast_forward(self, dataset: Any, position: dict[str, Any]) -> Any:
        if position.get("host"):
            random_state.restore_host(position["host"])
        iterator = iter(dataset)
        pull(iterator, position["steps_seen"], "fast-forward")
        return iterator

    def _skip_py_dataset(self, dataset: Any, position: dict[str, Any]) -> Any:
        """Skips batches without computing them, in the order that the generators give again."""
        if self.adapter.enqueuer is not None:  # worker threads take the items: no order to count on
            return self._fast_forward(dataset, position)
        if position.get("host"):
            random_state.restore_host(position["host"])
        real = self.adapter.py_dataset
        self.adapter.py_dataset = _Skipping(real, position["steps_seen"])
        try:
            iterator = iter(dataset)
            pull(iterator, position["steps_seen"], "skipping")
        finally:
            self.adapter.py_dataset = real
        return iterator


def say_too_large(max_bytes: int) -> None:
    """Says that an iterator's state is not kept, and what a resume does instead."""
    say_inexact(
        "iterator too large",
        "data position",
        f"the data pipeline's state is over {report.size(max_bytes)} (iterator_max_bytes), most of it "
        "shuffled elements; a resume goes to its place by fast-forward, in the same order only if "
        "the shuffle has a seed",
    )


def iterator_state(iterator: Any) -> bytes | None:
    """The state of a `tf.data` iterator; None where it has none that can be saved."""
    import tensorflow as tf
    from tensorflow.python.ops import gen_dataset_ops

    try:
        parts = gen_dataset_ops.serialize_iterator(
            iterator._iterator_resource, external_state_policy=IGNORE_EXTERNAL_STATE
        )
        return bytes(tf.io.serialize_tensor(parts).numpy())
    except (tf.errors.OpError, AttributeError, ValueError) as error:
        log.info("no iterator state: %s", error)
        return None


def with_state(iterator: Any, state: bytes) -> Any:
    """Puts a `tf.data` iterator where another one of the same pipeline stood; returns it."""
    import tensorflow as tf
    from tensorflow.python.ops import gen_dataset_ops

    parts = tf.io.parse_tensor(tf.constant(state), tf.variant)
    gen_dataset_ops.deserialize_iterator(iterator._iterator_resource, parts)
    return iterator


class _Skipping:
    """A PyDataset whose first batches, in the order they are asked for, are all its batch 0."""

    def __init__(self, real: Any, count: int) -> None:
        self._real, self._left = real, count
        self._filler = real[0] if count else None

    def __getitem__(self, index: int) -> Any:
        if self._left > 0:
            self._left -= 1
            return self._filler
        return self._real[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def pull(iterator: Iterator[Any], count: int, what: str) -> None:
    """Takes so many items, with a bar where that is long."""
    with batches_bar(what, count) as bar:
        for _ in range(count):
            next(iterator)
            bar.update()


def state_array(state: bytes) -> np.ndarray[Any, Any]:
    """An iterator's state as an array for the object."""
    return np.frombuffer(state, np.uint8)
