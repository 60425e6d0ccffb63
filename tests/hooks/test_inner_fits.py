"""A `fit` in another one's callback: after a resume it goes on with its model as it was; none is run twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest

from helpers.training import At, Model, Start, bits

Make = Callable[[], Any]


def interrupt() -> None:
    raise KeyboardInterrupt


def inner(units: int = 5, *, built: bool = True) -> Any:
    made = keras.Sequential(
        [keras.layers.Dense(units), keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax")]
    )
    if built:
        made.build((None, 4))
    made.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return made


class Within(keras.callbacks.Callback):
    """Trains another model at each epoch's end: the same one, or one that it makes anew each time."""

    def __init__(self, data: Any, make: Make, model: Any = None) -> None:
        super().__init__()
        self._data, self._make, self._model_within = data, make, model
        self.trained: list[tuple[int, list[str]]] = []
        self.used: dict[int, float] = {}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._model_within is not None and self._model_within.built:
            self.used[epoch] = float(self._model_within(self._data[0][:1])[0, 0])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        model = self._model_within if self._model_within is not None else self._make()
        model.fit(*self._data, epochs=1, batch_size=8, verbose=0)
        self.trained.append((int(model.optimizer.iterations), [one.hex() for one in bits(model)]))


def run(model: Model, data: Any, stop: int, make: Make | None, *, built: bool = True, before: int = 0) -> Any:
    """A cell.

    Args:
        model: Makes the outer model.
        data: Its data.
        stop: Step of the outer training at which to interrupt it; 0 for none.
        make: Makes the models within; None for one that is made before.
        built: Whether that one is built then.
        before: Trainings of that one before the outer one.
    """
    outer = model()
    one: Any = inner(built=built) if make is None else None
    for _ in range(before):
        one.fit(*data, epochs=1, batch_size=8, verbose=0)
    within = Within(data, make or inner, one)
    outer.fit(*data, epochs=6, batch_size=8, verbose=0, callbacks=[within, At(stop, interrupt)])
    return bits(outer), within.trained, within.used


@pytest.mark.parametrize(
    ("make", "built", "before"),
    [(None, True, 0), (None, False, 0), (None, True, 2), (inner, True, 0)],
    ids=["live", "not built", "trained before", "made anew"],
)
def test_it_ends_as_without_interruption(
    start: Start, data: Any, model: Model, said: list[str], make: Make | None, built: bool, before: int
) -> None:
    expected = run(model, data, 0, make, built=built, before=before)
    start()
    for stop in (13, 22):
        with pytest.raises(KeyboardInterrupt):
            run(model, data, stop, make, built=built, before=before)
        start()
    assert run(model, data, 0, make, built=built, before=before) == expected
    start()
    assert run(model, data, 0, make, built=built, before=before)[0] == expected[0]
    assert not any("cannot be found again" in line for line in said)


def test_one_whose_model_is_not_there_is_pointed_out(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    with pytest.raises(KeyboardInterrupt):
        run(model, data, 13, None)
    start()
    model().fit(*data, epochs=6, batch_size=8, verbose=0, callbacks=[At(99, interrupt)])
    assert sum("cannot be found again" in line for line in said) == 1
