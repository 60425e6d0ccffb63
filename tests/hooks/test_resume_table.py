"""What `fit` does about its past: one test for each row of the resume table."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from helpers.training import At, Model, Start, bits, run_cell
from holdfast.hooks.handle import Handle
from holdfast.runtime.errors import SlotNotFound


def interrupt() -> None:
    raise KeyboardInterrupt


def fit(model: Any, data: Any, epochs: int = 3, callbacks: Any = (), **more: Any) -> Any:
    return model.fit(*data, epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks), **more)


def interrupted(model: Any, data: Any, step: int, epochs: int = 3) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, epochs, [At(step, interrupt)])


def steps(model: Any) -> int:
    return int(model.optimizer.iterations.numpy())


def test_without_a_past_it_trains(start: Start, data: Any, model: Model, said: list[str]) -> None:
    start()
    made = model()
    history = fit(made, data)
    assert steps(made) == 15
    assert len(history.history["loss"]) == 3
    assert not any("resum" in line for line in said)


def test_open_with_the_same_definition_it_resumes_at_the_batch(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    alone = model()
    expected = fit(alone, data, callbacks=[At(99, interrupt)]).history
    start()
    interrupted(model(), data, step=8)
    start()
    made = model()
    history = fit(made, data, callbacks=[At(99, interrupt)])
    assert any("resuming at epoch 2/3, after 3 batches" in line for line in said)
    assert bits(made) == bits(alone)
    assert history.history == expected


def test_open_with_a_changed_definition_it_resumes_the_weights_and_names_the_change(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    first = model()
    interrupted(first, data, step=8)
    start()
    made = model(rate=0.5)
    fit(made, data, epochs=3)
    line = next(line for line in said if "changed definition" in line)
    assert "learning_rate: 0.01" in line.replace("0.009999999776482582", "0.01")
    assert "%holdfast fresh" in line
    assert float(made.optimizer.learning_rate.numpy()) == 0.5
    assert steps(made) == 8 + 2 * 5  # from the start of the second epoch


def test_done_with_more_epochs_asked_it_trains_the_rest(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    alone = model()
    expected = fit(alone, data, epochs=5).history
    start()
    fit(model(), data, epochs=3)
    start()
    made = model()
    history = fit(made, data, epochs=5)
    assert any("training the remaining 2" in line for line in said)
    assert bits(made) == bits(alone)
    assert history.history == expected


@pytest.mark.parametrize("epochs", [2, 3])
def test_done_it_replays_without_a_step(
    start: Start, data: Any, model: Model, said: list[str], epochs: int
) -> None:
    start()
    first = model()
    expected = fit(first, data, epochs=3)
    start()
    made, counter = model(), At(1, interrupt)
    history = fit(made, data, epochs, [counter])
    assert counter.steps == 0
    assert bits(made) == bits(first)
    assert (history.history, history.epoch) == (expected.history, expected.epoch)
    assert any("no step is trained" in line for line in said)


def test_done_with_a_changed_definition_it_begins_a_new_experiment_and_says_how_to_continue(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    fit(model(), data)
    handle = start()
    made = model(rate=0.3)
    fit(made, data)
    assert steps(made) == 15
    assert any("a new one begins" in line and "%holdfast continue" in line for line in said)
    handle.continue_changed()
    continued = model(rate=0.3)
    fit(continued, data, epochs=5)
    assert steps(continued) == 15 + 2 * 5


def test_done_with_the_same_live_object_it_trains_more_as_keras_does(
    start: Start, data: Any, model: Model
) -> None:
    start()
    made = model()
    fit(made, data)
    history = fit(made, data)
    assert steps(made) == 30
    assert len(history.history["loss"]) == 3


def test_calls_in_order_replay_in_order_with_the_state_between_them(
    start: Start, data: Any, model: Model
) -> None:
    start()
    first = model()
    fit(first, data, epochs=1)
    between = bits(first)
    interrupted(first, data, step=8)
    start()
    made = model()
    fit(made, data, epochs=1)
    assert bits(made) == between
    fit(made, data)
    assert steps(made) == 5 + 15


def test_a_changed_structure_begins_anew_and_shows_the_difference(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    start()
    interrupted(model(), data, step=8)
    start()
    made = model(units=7)
    fit(made, data)
    assert steps(made) == 15
    assert any("structure changed" in line and "7" in line for line in said)


def test_fresh_begins_anew(start: Start, data: Any, model: Model) -> None:
    start()
    fit(model(), data)
    handle = start()
    handle.fresh()
    made = model()
    fit(made, data)
    assert steps(made) == 15


def test_an_interrupted_live_object_goes_on_where_it_was(start: Start, data: Any, model: Model) -> None:
    alone = model()
    fit(alone, data, callbacks=[At(99, interrupt)])
    handle = start()
    made = model()
    interrupted(made, data, step=8)
    run_cell(handle, handle._tracker.cells.cell)
    fit(made, data, callbacks=[At(99, interrupt)])
    assert bits(made) == bits(alone)


def test_a_training_that_stopped_itself_is_done_whatever_the_epochs(
    start: Start, data: Any, model: Model
) -> None:
    start()
    first = model()
    fit(first, data, 3, [At(7, lambda: setattr(first, "stop_training", True))])
    start()
    made = model()
    fit(made, data, 9)
    assert bits(made) == bits(first)


def two_done(start: Start, data: Any, model: Model) -> Handle:
    """Two finished trainings, each of a model and in a slot of its own; then a restart."""
    start()
    fit(model(), data)
    fit(model(units=5), data)
    return start()


def test_fresh_for_one_slot_lets_the_other_be(start: Start, data: Any, model: Model, said: list[str]) -> None:
    handle = two_done(start, data, model)
    handle.fresh("slot-0001")
    assert "%holdfast continue slot-0001" in said[-1]
    first, second = model(), model(units=5)
    fit(first, data)
    assert "%holdfast fresh slot-0000" in said[-1]
    fit(second, data, epochs=2)
    assert (steps(first), steps(second)) == (15, 10)
    handle = start()
    handle.continue_changed("slot-0001")
    back = model(units=5)
    fit(back, data, epochs=2)
    assert steps(back) == 15


def test_fresh_for_a_model_that_was_not_used_yet(start: Start, data: Any, model: Model) -> None:
    handle = two_done(start, data, model)
    first, second = model(), model(units=5)
    handle.fresh(second)
    assert second.predict(data[0], verbose=0).shape == (40, 2)
    fit(second, data, epochs=1)
    fit(first, data, epochs=4)
    assert (steps(first), steps(second)) == (20, 5)
    start()
    again = model(units=5)
    fit(again, data, epochs=3)
    assert steps(again) == 15


def test_continue_takes_fresh_back(start: Start, data: Any, model: Model, said: list[str]) -> None:
    start()
    fit(model(), data)
    handle = start()
    handle.fresh()
    assert "To have it go on instead: %holdfast continue" in said[-1]
    handle.continue_changed()
    made = model()
    fit(made, data)
    assert steps(made) == 15
    assert "no step is trained" in said[-1]


def test_continue_finds_what_an_earlier_kernel_replaced(start: Start, data: Any, model: Model) -> None:
    start()
    fit(model(), data)
    start()
    fit(model(rate=0.3), data, epochs=1)
    handle = start()
    handle.continue_changed()
    made = model(rate=0.3)
    fit(made, data, epochs=5)
    assert steps(made) == 15 + 2 * 5


def test_continue_lasts_for_the_change_that_it_was_asked_for(start: Start, data: Any, model: Model) -> None:
    start()
    made = model()
    fit(made, data, epochs=1)
    fit(made, data, epochs=2)
    handle = start()
    handle.continue_changed()
    made = model()
    fit(made, data, epochs=1)
    rest: dict[str, Any] = {"epochs": 3, "verbose": 0, "callbacks": [At(99, interrupt)]}
    made.fit(*data, batch_size=10, **rest)
    assert steps(made) == 5 + 10 + 4
    start()
    made = model()
    fit(made, data, epochs=1)
    made.fit(*data, batch_size=20, **rest)
    assert steps(made) == 5 + 3 * 2


def test_an_unknown_slot_is_an_error_that_names_the_known_ones(start: Start, data: Any, model: Model) -> None:
    handle = two_done(start, data, model)
    with pytest.raises(SlotNotFound, match=r"no slot 'slot-7'.*slot-0000, slot-0001"):
        handle.fresh("slot-7")
    with pytest.raises(SlotNotFound, match="neither trained nor restored"):
        handle.continue_changed(model())


def two_stages(start: Start, data: Any, model: Model, rate: float) -> tuple[list[list[bytes]], list[int]]:
    """Stage 1, then stage 2 compiled anew; the state after each, and the steps that each trained."""
    start()
    made = model()
    states, counted = [], []
    for epochs, optimizer in ((2, keras.optimizers.Adam(0.01)), (3, keras.optimizers.SGD(rate))):
        made.compile(optimizer, "sparse_categorical_crossentropy")
        trained: list[int] = []
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs, to=trained: to.append(1))
        fit(made, data, epochs, [count])
        states.append(bits(made))
        counted.append(len(trained))
    return states, counted


def test_a_changed_second_stage_begins_anew_and_the_first_is_trained_no_more(
    start: Start, data: Any, model: Model
) -> None:
    first, trained = two_stages(start, data, model, 0.1)
    assert trained == [10, 15]
    changed, trained = two_stages(start, data, model, 0.2)
    assert trained == [0, 15]
    assert changed[0] == first[0]
    assert changed[1] != first[1]
    assert two_stages(start, data, model, 0.2) == (changed, [0, 0])
    assert two_stages(start, data, model, 0.3)[1] == [0, 15]
