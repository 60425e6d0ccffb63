"""Other metrics throw no training away: they begin anew, and all else goes on."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from helpers.training import At, Count, Model, Start, bits


def compiled(model: Model, *metrics: Any, rate: float = 0.01) -> Any:
    made = model()
    made.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=list(metrics))
    return made


def interrupted(made: Any, data: Any, step: int) -> Any:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.fit(*data, epochs=4, batch_size=8, verbose=0, callbacks=[At(step, interrupt)])
    return made


def trained(made: Any, data: Any, epochs: int = 4) -> tuple[int, dict[str, list[float]]]:
    counter = Count()
    history = made.fit(*data, epochs=epochs, batch_size=8, verbose=0, callbacks=[counter]).history
    return counter.steps(), history


ACCURACY, ENTROPY = "sparse_categorical_accuracy", "sparse_categorical_crossentropy"
ADDED, REMOVED, EXCHANGED = ((), (ACCURACY,)), ((ACCURACY,), ()), ((ACCURACY,), (ENTROPY,))


@pytest.mark.parametrize("change", [ADDED, REMOVED, EXCHANGED], ids=["added", "removed", "exchanged"])
def test_in_mid_epoch_the_weights_are_resumed_at_its_start(
    start: Start, data: Any, model: Model, said: list[str], change: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    before, after = change
    start()
    interrupted(compiled(model, *before), data, 8)
    start()
    made = compiled(model, *after)
    steps, history = trained(made, data)
    assert steps == 15
    assert int(made.optimizer.iterations) == 8 + 15
    assert len(history["loss"]) == 4
    line = next(line for line in said if "resuming the weights at epoch 2/4" in line)
    assert "metrics: loss" in line
    assert "%holdfast fresh" in line


def test_a_finished_training_is_replayed(start: Start, data: Any, model: Model, said: list[str]) -> None:
    start()
    first = compiled(model)
    _, expected = trained(first, data)
    start()
    made = compiled(model, ACCURACY)
    steps, history = trained(made, data)
    assert (steps, history) == (0, expected)
    assert [one.numpy().tobytes() for one in made.weights] == [one.numpy().tobytes() for one in first.weights]
    assert any("metrics: loss" in line and ACCURACY in line for line in said)


def test_a_finished_training_goes_on_exactly(start: Start, data: Any, model: Model) -> None:
    alone = compiled(model, ACCURACY)
    trained(alone, data, 6)
    start()
    trained(compiled(model), data)
    start()
    made = compiled(model, ACCURACY)
    steps, history = trained(made, data, 6)
    assert steps == 10
    assert len(history["loss"]) == 6
    assert bits(made) == bits(alone)


def test_the_same_metrics_under_names_that_a_rerun_has_drift_are_no_change(
    start: Start, data: Any, model: Model
) -> None:
    alone = compiled(model, keras.metrics.SparseCategoricalAccuracy())
    trained(alone, data)
    start()
    interrupted(compiled(model, keras.metrics.SparseCategoricalAccuracy()), data, 8)
    start()
    made = compiled(model, keras.metrics.SparseCategoricalAccuracy())
    assert trained(made, data)[0] == 12
    assert bits(made) == bits(alone)
