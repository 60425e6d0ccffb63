"""A call that was left beyond the epochs that are asked for now is finished, and swallows no other training."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from helpers.training import At, Count, Model, Start, bits, run_cell


def interrupt() -> None:
    raise KeyboardInterrupt


def left_in_epoch_5(made: Any, data: Any) -> Any:
    """Two batches into the fifth epoch of ten."""
    with pytest.raises(KeyboardInterrupt):
        made.fit(*data, epochs=10, batch_size=8, verbose=0, callbacks=[At(22, interrupt)])
    return made


def trained(made: Any, data: Any, epochs: int, **more: Any) -> tuple[int, int]:
    """Steps that a training takes, and entries of its History."""
    counter = Count()
    history = made.fit(
        *data, epochs=epochs, verbose=0, callbacks=[counter], **{"batch_size": 8, **more}
    ).history
    return counter.steps(), len(history.get("loss", []))


def second_stage(made: Any) -> None:
    made.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")


def test_another_cell_trains_its_own_epochs_from_the_weights(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    alone = left_in_epoch_5(model(), data)
    weights = [one.numpy().tobytes() for one in alone.trainable_variables]
    handle = start()
    run_cell(handle, "one")
    made = left_in_epoch_5(model(), data)
    run_cell(handle, "two")
    second_stage(made)

    def at_begin(logs: Any) -> None:
        assert [one.numpy().tobytes() for one in made.trainable_variables] == weights

    made.fit(*data, epochs=1, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_train_begin=at_begin)])
    assert any("ends where it was left, in epoch 5/10; 1 epochs follow" in line for line in said)
    run_cell(handle, "two again")
    assert trained(made, data, 3) == (15, 3)


def test_with_epochs_lowered_the_first_stage_is_done_and_the_second_trains(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    handle = start()
    run_cell(handle, "one")
    first = left_in_epoch_5(model(), data)
    state = bits(first)
    run_cell(handle, "one")
    made = model()
    assert trained(made, data, 3) == (0, 4)
    assert bits(made) == state
    assert any("this training is in epoch 5/10" in line and "no step is trained" in line for line in said)
    second_stage(made)
    assert trained(made, data, 3) == (15, 3)


def test_with_epochs_raised_again_it_goes_on_at_the_batch(start: Start, data: Any, model: Model) -> None:
    alone = model()
    alone.fit(*data, epochs=6, batch_size=8, verbose=0)
    start()
    left_in_epoch_5(model(), data)
    start()
    trained(model(), data, 3)
    start()
    made = model()
    assert trained(made, data, 6) == (8, 6)
    assert bits(made) == bits(alone)


def test_under_a_changed_definition_as_many_epochs_are_trained_as_asked_for(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    left_in_epoch_5(model(), data)
    start()
    made = model(rate=0.5)
    assert trained(made, data, 2) == (10, 2)
    assert any("4 epochs are done; 2 more are trained under a changed definition" in line for line in said)
    start()
    again = model(rate=0.5)
    assert trained(again, data, 2) == (0, 2)
    assert bits(again) == bits(made)


def test_continue_trains_as_many_epochs_as_asked_for(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    trained(model(), data, 3)
    handle = start()
    handle.continue_changed()
    made = model(rate=0.3)
    assert trained(made, data, 3) == (15, 3)
    assert int(made.optimizer.iterations) == 30
    assert any("3 epochs are done; 3 more are trained under a changed definition" in line for line in said)
    start()
    assert trained(model(rate=0.3), data, 3) == (0, 3)
