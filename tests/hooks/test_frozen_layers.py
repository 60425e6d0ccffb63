"""A layer that is frozen when a resumed model is built can be trained once it is not frozen any more."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from helpers.training import At, Model, Start, bits


def frozen(model: Model) -> Any:
    made = model()
    made.layers[0].trainable = False
    made.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return made


def thaw(made: Any) -> None:
    made.layers[0].trainable = True
    made.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")


def fit(made: Any, data: Any, *callbacks: Any) -> Any:
    return made.fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=list(callbacks)).history


@pytest.mark.parametrize("first", ["fit", "predict"])
def test_a_second_stage_ends_with_the_bits_of_the_uninterrupted_one(
    start: Start, data: Any, model: Model, first: str
) -> None:
    alone = frozen(model)
    fit(alone, data)
    thaw(alone)
    expected = fit(alone, data)

    def interrupt() -> None:
        raise KeyboardInterrupt

    start()
    made = frozen(model)
    fit(made, data)
    thaw(made)
    with pytest.raises(KeyboardInterrupt):
        fit(made, data, At(3, interrupt))
    start()
    again = frozen(model)
    if first == "predict":
        again.predict(data[0], verbose=0)
    fit(again, data)
    thaw(again)
    assert fit(again, data) == expected
    assert bits(again) == bits(alone)
