"""Where in its data a training of Keras 2 is, and getting there again.

As `data_position` has it for Keras 3, but for arrays: Keras 2 makes one pipeline for all epochs of a call, in
which a random op shuffles. A saved iterator has the order of the epoch, but not the op's place in its stream,
so where the order has a seed the pipeline is made again and skips, by indices, what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from holdfast.hooks import random_state
from holdfast.hooks.data_position import (
    FRESH,
    ITERATOR,
    SHUFFLE,
    Source,
    pull,
    say_too_large,
    with_state,
)
from holdfast.hooks.patching import guarded

KINDS = {
    "TensorLikeDataAdapter": "array",
    "GenericArrayLikeDataAdapter": "array",
    "ListsOfScalarsDataAdapter": "array",
    "KerasSequenceAdapter": "py_dataset",
    "GeneratorDataAdapter": "generator",
}
"""Keras 2's adapters, and the kinds that `data_position` knows them as; all others are a ``dataset``."""


class Skippable:
    """Stands before a `Sequence`, and can leave out its first batches, in the order they are asked for."""

    def __init__(self, real: Any) -> None:
        self._real, self._left = real, 0
        self._filler: Any = None

    def skip(self, count: int) -> None:
        """From now on the first ``count`` batches are not computed: batch 0 stands for each."""
        self._left, self._filler = count, self._real[0] if count else None

    def __len__(self) -> int:
        return len(self._real)

    def __getitem__(self, index: int) -> Any:
        if self._left > 0:
            self._left -= 1
            return self._filler
        return self._real[index]


class HandlerSource(Source):
    """Follows one `DataHandler`: the iterators it made, and the batches taken from the last of them.

    Args:
        handler: It.
        sliced: Gives, for a number of batches, the arrays' pipeline from there on.
        sequence: What stands before a `Sequence`.
        validation: Whether the data are for validation: then only iterators are counted.
    """

    def __init__(
        self,
        handler: Any,
        sliced: Callable[[int], Any] | None = None,
        sequence: Skippable | None = None,
        *,
        validation: bool = False,
    ) -> None:
        from tensorflow.python.eager import context

        self.epochs, self.adapter = handler, handler._adapter
        self.sliced, self.sequence = sliced, sequence
        self.created = self.owed = 0
        self.iterator: Any = None
        self.host_at_creation: dict[str, Any] | None = None
        self._seeded = context.global_seed() is not None
        self._taken = self._step = 0
        self._fresh: bytes | None = None
        self._no_state = validation
        self._goal: tuple[dict[str, Any], dict[str, bytes], str] | None = None

    @property
    def kind(self) -> str:
        """``array``, ``dataset``, ``py_dataset`` or ``generator``."""
        return KINDS.get(type(self.adapter).__name__, "dataset")

    @property
    def data_object(self) -> Any:
        """The user's `Sequence`; None where there is none."""
        return self.adapter._keras_sequence if self.kind == "py_dataset" else None

    @property
    def _lasting(self) -> bool:
        """Whether one iterator lasts over all epochs."""
        return not self.adapter.should_recreate_iterator()

    @property
    def _in_known_order(self) -> bool:
        """Whether an array's order is the same each time its pipeline is made."""
        adapter = getattr(self.adapter, "_internal_adapter", self.adapter)
        return self.kind == "array" and (self._seeded or not getattr(adapter, "_shuffle", False))

    # --- while training -----------------------------------------------------------------------

    def enumerate(self, original: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Stands in for `enumerate_epochs`."""
        guarded(self._begin)()
        for epoch, iterator in original:
            ours = guarded(self._epoch_begins)(iterator)
            yield epoch, iterator if ours is None else ours

    def _begin(self) -> None:
        for _ in range(self.owed):  # each moves a shuffling dataset's seeds on by one
            iter(self.epochs._dataset)
        self.created += self.owed + 1  # one is made before the epochs, whether it is used or not
        self.owed, self.iterator = 0, None

    def _epoch_begins(self, iterator: Any) -> Any:
        if not self._lasting:
            self.created += 1
            self._taken = 0
        elif self.iterator is not None:
            iterator = self.iterator  # Keras has the one that it made, which may not be the one in use
        if self._goal is not None:
            iterator = self._iterator_for(*self._goal, iterator)
        self._step = 0
        if self.kind in ("py_dataset", "generator") and (self.iterator is None or not self._lasting):
            self.host_at_creation = random_state.capture_host()
        self.iterator = iterator
        if self.kind == "dataset" and not self._lasting and self._goal is None:
            self._fresh = self._state_of(iterator)
        return iterator

    def step_done(self, last: int) -> None:
        """An execution is done; its last batch is number ``last`` of the epoch."""
        self._taken += last + 1 - self._step
        self._step = last + 1

    def capture(self, max_bytes: int, *, between_epochs: bool) -> tuple[dict[str, Any], dict[str, bytes]]:
        """As `data_position.Source.capture`."""
        live = self.iterator is not None and (not between_epochs or self._lasting)
        position: dict[str, Any] = {
            "kind": self.kind,
            "created": self.created,
            "steps_seen": self._taken,
            "step": self._step,
            "num_batches": self.epochs._inferred_steps,
            "live": live,
        }
        states: dict[str, bytes] = {}
        if self._fresh is not None and len(self._fresh) <= max_bytes:
            states[FRESH] = self._fresh
        if self.kind in ("py_dataset", "generator"):
            position["host"] = self.host_at_creation
        elif live and not self._in_known_order:
            state = self._state_of(self.iterator)
            if state is not None and len(state) <= max_bytes:
                states[ITERATOR] = state
            elif state is not None:
                self._no_state = True
                say_too_large(max_bytes)
        return position, states

    # --- resuming -----------------------------------------------------------------------------

    def aim(self, position: dict[str, Any], states: dict[str, bytes], phase: str) -> None:
        """Makes the first epoch's iterator stand where the saved one stood, once `arrive` was called.

        Args:
            position: As `capture` gave it.
            states: As `capture` gave them.
            phase: Where in the call that was.
        """
        self._goal = position, states, phase
        if self.epochs._inferred_steps is None:
            self.epochs._inferred_steps = position["num_batches"]
        if self.kind == "dataset" and not self._lasting and FRESH not in states:
            # Two are made before the epoch to be resumed can begin.
            self.owed = max(0, position["created"] - (1 if phase == "epoch" else 2))

    def _iterator_for(
        self, position: dict[str, Any], states: dict[str, bytes], phase: str, iterator: Any
    ) -> Any:
        """The iterator for the epoch that is resumed, from the one that Keras made."""
        if phase == "epoch":
            self.adapter.on_epoch_end()  # the one before: Keras calls it as the next begins
        dataset = self.epochs._dataset
        if self._in_known_order and position["steps_seen"]:
            skipped = self.sliced(position["steps_seen"]) if self.sliced is not None else None
            return iter(skipped if skipped is not None else dataset.skip(position["steps_seen"]))
        if FRESH in states and not self._lasting and not position["live"]:
            with_state(iter(dataset), states[FRESH])
            self.created = position["created"]
            self._fresh = states[FRESH]
            if phase == "epoch":
                iterator = iter(dataset)
                self.created += 1
                self._fresh = self._state_of(iterator)
        return iterator

    def arrive(self, ready: Callable[[], None]) -> None:
        """Moves the iterator on to its place.

        Args:
            ready: Called before data are read: what begins an epoch may have changed the data.
        """
        assert self._goal is not None
        (position, states, phase), self._goal = self._goal, None
        if phase == "batches":
            ready()
            self._step = int(position["step"])
        if position["live"]:
            self._move(position, states)
            self._taken = int(position["steps_seen"])

    def _move(self, position: dict[str, Any], states: dict[str, bytes]) -> None:
        if self._in_known_order:
            return  # it was made to begin there
        if ITERATOR in states:
            with_state(self.iterator, states[ITERATOR])
            self.created = position["created"]
        else:
            if FRESH in states:
                with_state(self.iterator, states[FRESH])
            if position.get("host"):
                random_state.restore_host(position["host"])
            if self.sequence is not None:
                self.sequence.skip(position["steps_seen"])
            pull(self.iterator, position["steps_seen"], "skipping" if self.sequence else "fast-forward")
            self.host_at_creation = position.get("host")
        if FRESH in states:
            # An iterator near its end has no seeds of its shuffles any more; when it was new, it had.
            self._fresh = states[FRESH]
            if len(SHUFFLE.findall(states.get(ITERATOR, b""))) < len(SHUFFLE.findall(self._fresh)):
                with_state(iter(self.epochs._dataset), self._fresh)
