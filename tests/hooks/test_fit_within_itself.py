"""A `fit` of the very model that is being trained, in a callback: a part of that training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from helpers.training import At, Start, bits


class Itself(keras.callbacks.Callback):
    """Trains its model a little further: at the first epoch's end, and there once more within that."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self._data, self.depth = data, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0 and self.depth < 2:
            self.depth += 1
            x, y = self._data
            again = [self] if self.depth < 2 else []
            self.model.fit(
                x[:8], y[:8], epochs=2, batch_size=8, verbose=0, callbacks=again, validation_data=(x[8:], y[8:])
            )


def test_with_a_snapshot_before_it_trains_what_it_trains_alone(
    start: Start, data: tuple[Any, Any], model: Callable[..., Any], said: list[str]
) -> None:
    def train(save: Callable[[], None]) -> Any:
        made = model()
        made.fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=[At(2, save), Itself(data)])
        return made

    alone = train(lambda: None)
    handle = start()
    followed = train(handle.checkpoint)
    assert int(followed.optimizer.iterations) == int(alone.optimizer.iterations) == 3 * 5 + 2 + 2
    assert bits(followed) == bits(alone)
    assert len(said) == 1, said


def test_interrupted_after_it_the_training_goes_on_to_the_same_bits(
    start: Start, data: tuple[Any, Any], model: Callable[..., Any]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    def train(stop: int) -> Any:
        made = model()
        stopping = [At(stop, interrupt)] if stop else []
        try:
            made.fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=[Itself(data), *stopping])
        except KeyboardInterrupt:
            return None
        return made

    alone = train(0)
    start()
    assert train(12) is None
    start()
    assert bits(train(0)) == bits(alone)
