"""The seeds that a shuffling pipeline draws for each iteration, and drawing on where another process was."""

from __future__ import annotations

from typing import Any

from holdfast.hooks.data_position import iterator_state, with_state


class Seeds:
    """Which shuffles draw the right seeds in this process already: pipelines may share one."""

    def __init__(self) -> None:
        self._right: set[int] = set()

    def are_right(self, dataset: Any) -> None:
        """An iterator of the pipeline was put where another one stood."""
        self._right.update(shuffles_of(dataset))

    def draw_on(self, iterator: Any, dataset: Any, before: bytes) -> None:
        """Makes a new iterator the next one after another.

        Args:
            iterator: The new one; nothing was taken from it.
            dataset: Its pipeline.
            before: The state that the other one had when it was new.
        """
        from tensorflow.python.data.ops.iterator_ops import OwnedIterator

        if self._right & shuffles_of(dataset):
            return  # further on already
        with_state(OwnedIterator(dataset), before)
        following = iterator_state(OwnedIterator(dataset))
        if following is not None:
            with_state(iterator, following)
        self.are_right(dataset)


def shuffles_of(dataset: Any) -> set[int]:
    """The identities of the shuffles in a pipeline."""
    found: set[int] = set()
    left = [dataset]
    while left:
        one = left.pop()
        if "Shuffle" in type(one).__name__:
            found.add(id(one))
        left += one._inputs()
    return found
