"""What decides a training's outcome is part of its definition, so that no old result passes for a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest

from helpers.training import At, Count, Model, Start, bits


def two_outputs(weights: list[float]) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    made = keras.Model(inputs, [keras.layers.Dense(1, name=name)(inputs) for name in "ab"])
    made.compile("sgd", loss=["mse", "mse"], loss_weights=weights)
    return made


def test_the_weights_of_the_losses(start: Start, data: Any, said: list[str]) -> None:
    def steps(weights: list[float]) -> int:
        counter = Count()
        two_outputs(weights).fit(data[0], [data[1]] * 2, epochs=2, batch_size=8, verbose=0, callbacks=[counter])
        return counter.steps()

    start()
    assert steps([1.0, 1.0]) == 10
    start()
    assert steps([1.0, 1.0]) == 0
    start()
    assert steps([1.0, 100.0]) == 10
    assert any("loss_weights: [1.0, 1.0] → [1.0, 100.0]" in line for line in said)


class Batches(keras.utils.PyDataset):
    """Data of the user's own class, who counts how often it is asked for its length."""

    def __init__(self, *arrays: Any) -> None:
        super().__init__()
        self.arrays, self.asked = arrays, 0

    def __len__(self) -> int:
        self.asked += 1
        return 1

    def __getitem__(self, number: int) -> Any:
        return self.arrays


def held_out(data: Any, rows: int) -> Any:
    return data[0][:rows], data[1][:rows]


@pytest.mark.parametrize(
    ("before", "after", "steps", "says"),
    [
        (8, 8, 0, "no step is trained"),
        (8, 16, 10, "data.validation.x: <f4[8, 4]"),
        (0, 8, 10, "data.validation: None → "),
    ],
    ids=["the same", "changed", "added"],
)
def test_the_validation_data(
    start: Start, data: Any, model: Model, said: list[str], before: int, after: int, steps: int, says: str
) -> None:
    def fit(rows: int) -> tuple[int, dict[str, list[float]]]:
        counter = Count()
        more = {"validation_data": held_out(data, rows)} if rows else {}
        arguments: dict[str, Any] = {"epochs": 2, "batch_size": 8, "verbose": 0, **more}
        history = model().fit(*data, callbacks=[counter], **arguments).history
        return counter.steps(), history

    start()
    fit(before)
    start()
    trained, history = fit(after)
    assert trained == steps
    assert len(history["val_loss"]) == 2
    assert any(says in line for line in said)


def test_validation_data_of_the_users_own_class_are_not_asked(start: Start, data: Any, model: Model) -> None:
    def asked() -> int:
        batches = Batches(*held_out(data, 8))
        model().fit(*data, epochs=1, batch_size=8, verbose=0, validation_data=batches)
        return batches.asked

    alone = asked()
    start()
    assert asked() == alone


def second_stage(change: Callable[[Any], None]) -> Callable[..., tuple[int, Any]]:
    """A training whose second stage has another learning rate, without a recompile."""

    def train(made: Any, data: Any, *callbacks: Any) -> tuple[int, Any]:
        counter, reduce = Count(), keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=0, min_delta=10.0)
        arguments: dict[str, Any] = {"batch_size": 8, "verbose": 0}
        made.fit(*data, epochs=2, callbacks=[reduce], **arguments)
        change(made)
        made.fit(*data, epochs=3, callbacks=[counter, reduce, *callbacks], **arguments)
        return counter.steps(), made

    return train


def rate(value: float) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        made.optimizer.learning_rate = value

    return change


def test_a_learning_rate_that_is_assigned_between_two_trainings(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    assert second_stage(rate(1e-4))(model(), data)[0] == 15
    start()
    assert second_stage(rate(1e-4))(model(), data)[0] == 0
    start()
    steps, made = second_stage(rate(0.5))(model(), data)
    assert steps == 15
    assert float(made.optimizer.learning_rate) > 0.05
    assert any("optimizer.learning_rate: " in line and "→ 0.5" in line for line in said)


def test_a_learning_rate_that_callbacks_reduce_is_no_change(start: Start, data: Any, model: Model) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    train = second_stage(lambda made: None)
    alone = train(model(), data)[1]
    start()
    with pytest.raises(KeyboardInterrupt):
        train(model(), data, At(8, interrupt))
    start()
    steps, made = train(model(), data)
    assert steps == 7
    assert bits(made) == bits(alone)
