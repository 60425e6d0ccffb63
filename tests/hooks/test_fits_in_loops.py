"""Calls of `fit` in the items of a resumable loop: after a restart they go on from the last that was made."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from colab_bootstrap import resumable
from helpers.training import Count, Model, Start, bits

ITEMS = 4


def program(made: Any, data: Any, *, stop_in: int | None = None) -> list[int]:
    """Fits a model once in each item; the steps of each."""
    steps = list[int]()
    for number in resumable(range(ITEMS)):
        counter = Count()
        made.fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=[counter])
        steps.append(counter.steps())
        if number == stop_in:
            os.kill(os.getpid(), signal.SIGINT)
    return steps


# A model that is built by its first fit needs that one to be run, where it is replayed.
@pytest.mark.parametrize(("is_built", "expected"), [(True, [10, 10]), (False, [0, 10, 10])])
def test_an_interrupted_loop_of_fits_ends_as_without_interruption(
    start: Start, data: Any, model: Model, *, is_built: bool, expected: list[int]
) -> None:
    def make() -> Any:
        made = model()
        if is_built:
            made.build((None, 4))
        return made

    alone = make()
    program(alone, data)
    start()
    with pytest.raises(KeyboardInterrupt):
        program(make(), data, stop_in=1)
    start()
    made = make()
    assert program(made, data) == expected
    assert bits(made) == bits(alone)
