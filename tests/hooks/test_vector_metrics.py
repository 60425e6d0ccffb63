"""Metrics that give vectors, and weights of sixteen bits: resumed, replayed, and early stopping's best ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from helpers.training import At, Start, bits


def interrupt() -> None:
    raise KeyboardInterrupt


def model(*metrics: Any, rate: float = 0.01) -> Any:
    keras.utils.set_random_seed(2)
    made = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2, activation="softmax")])
    made.compile(keras.optimizers.SGD(rate), "categorical_crossentropy", metrics=list(metrics))
    return made


def fit(made: Any, data: Any, *callbacks: Any, epochs: int = 3, **more: Any) -> Any:
    x, y = data
    y = keras.utils.to_categorical(y, 2)
    return made.fit(x, y, epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks), **more)


def numbers(history: Any) -> dict[str, list[Any]]:
    return {key: [np.asarray(one).tolist() for one in values] for key, values in history.history.items()}


def test_a_training_with_a_vector_for_a_metric_is_resumed_and_done(start: Start, data: Any) -> None:
    alone = model(keras.metrics.F1Score())
    expected = fit(alone, data)
    steps: list[int] = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    start()
    with pytest.raises(KeyboardInterrupt):
        fit(model(keras.metrics.F1Score()), data, At(8, interrupt))
    for at_work in (True, False):  # resumed, then replayed
        start()
        made = model(keras.metrics.F1Score())
        steps.clear()
        history = fit(made, data, count)
        assert numbers(history) == numbers(expected)
        assert [type(one) for one in history.history["f1_score"]] == [
            type(one) for one in expected.history["f1_score"]
        ]
        assert bits(made) == bits(alone)
        assert len(steps) == (15 - 8 if at_work else 0)


class InValidation(keras.callbacks.Callback):
    """Interrupts in the validation of an epoch: its batches are done, its logs are not noted yet."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch, self.now = epoch, -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.now = epoch

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.now == self.epoch:
            raise KeyboardInterrupt


def test_an_epoch_interrupted_in_its_validation_keeps_its_vectors(
    start: Start, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.hooks.training_call.HOLD_SECONDS", -1.0)
    expected = fit(model(keras.metrics.F1Score()), data, validation_split=0.2)
    start()
    with pytest.raises(KeyboardInterrupt):
        fit(model(keras.metrics.F1Score()), data, InValidation(1), validation_split=0.2)
    start()
    history = fit(model(keras.metrics.F1Score()), data, validation_split=0.2)
    assert numbers(history) == numbers(expected)


@pytest.fixture
def sixteen_bits() -> Iterator[None]:
    keras.config.set_dtype_policy("bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def ruined() -> Any:
    """Makes the weights worse from the third epoch on, so that the best ones are put back."""

    def rate(epoch: int, rate: float) -> float:
        return 0.1 if epoch < 2 else 50.0

    return keras.callbacks.LearningRateScheduler(rate)


@pytest.mark.usefixtures("sixteen_bits")
def test_early_stopping_puts_back_best_weights_of_sixteen_bits(start: Start, data: Any) -> None:
    def callbacks() -> list[Any]:
        stopping = keras.callbacks.EarlyStopping("loss", patience=4, restore_best_weights=True)
        return [ruined(), stopping]

    alone = model()
    expected = fit(alone, data, *callbacks(), epochs=20)
    start()
    with pytest.raises(KeyboardInterrupt):
        fit(model(), data, *callbacks(), At(18, interrupt), epochs=20)
    start()
    made = model()
    history = fit(made, data, *callbacks(), epochs=20)
    assert bits(made) == bits(alone)
    assert numbers(history) == numbers(expected)
    assert len(history.epoch) < 20
