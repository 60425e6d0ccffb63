"""First uses that are no training: evaluate, predict, calls on real tensors, on_batch methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.training import Model, Start, bits

Use = Callable[[Any, Any], Any]

USES: dict[str, Use] = {
    "predict": lambda model, x: model.predict(x, verbose=0),
    "predict of a dataset": lambda model, x: model.predict(
        tf.data.Dataset.from_tensor_slices(x).batch(8), verbose=0
    ),
    "evaluate": lambda model, x: model.evaluate(x, np.zeros(len(x), "int32"), verbose=0),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "test_on_batch": lambda model, x: model.test_on_batch(x, np.zeros(len(x), "int32")),
    "a direct call": lambda model, x: model(tf.constant(x)),
    "a call in a function": lambda model, x: tf.function(model)(tf.constant(x)),
}


def weights(model: Any) -> list[bytes]:
    return [np.asarray(one.numpy()).tobytes() for one in model.weights]


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_after_a_restart_the_first_use_finds_the_trained_weights(
    start: Start, data: Any, model: Model, said: list[str], use: Use
) -> None:
    start()
    trained = model()
    trained.fit(*data, epochs=2, batch_size=8, verbose=0)
    start()
    made = model()
    use(made, data[0])
    assert weights(made) == weights(trained)
    assert any("weights of its training" in line and "%holdfast fresh" in line for line in said)


def test_the_training_after_it_goes_on_as_if_it_had_not_been_used(
    start: Start, data: Any, model: Model
) -> None:
    start()
    trained = model()
    trained.fit(*data, epochs=2, batch_size=8, verbose=0)
    start()
    made = model()
    made.predict(data[0], verbose=0)
    made.fit(*data, epochs=2, batch_size=8, verbose=0)  # replayed
    assert bits(made) == bits(trained)
    made.fit(*data, epochs=1, batch_size=8, verbose=0)
    assert bits(made) != bits(trained)


def test_what_was_used_before_its_first_training_is_let_be_in_a_rerun(
    start: Start, data: Any, model: Model
) -> None:
    start()
    first = model()
    before = first.predict(data[0], verbose=0)
    first.fit(*data, epochs=2, batch_size=8, verbose=0)
    start()
    made = model()
    assert made.predict(data[0], verbose=0).tobytes() == before.tobytes()
    made.fit(*data, epochs=2, batch_size=8, verbose=0)
    assert bits(made) == bits(first)


def test_a_changed_experiment_begins_from_the_initial_weights_all_the_same(
    start: Start, data: Any, model: Model
) -> None:
    alone = model(rate=0.3)
    alone.fit(*data, epochs=1, batch_size=8, verbose=0)
    start()
    model().fit(*data, epochs=2, batch_size=8, verbose=0)
    start()
    made = model(rate=0.3)
    made.predict(data[0], verbose=0)
    made.fit(*data, epochs=1, batch_size=8, verbose=0)
    assert bits(made) == bits(alone)


def test_fresh_gives_a_used_model_its_initial_weights_back(start: Start, data: Any, model: Model) -> None:
    start()
    model().fit(*data, epochs=2, batch_size=8, verbose=0)
    handle = start()
    made = model()
    made.build((None, 4))
    initial = weights(made)
    made.predict(data[0], verbose=0)
    assert weights(made) != initial
    handle.fresh()
    assert weights(made) == initial


@pytest.mark.parametrize("way", ["load_weights", "set_weights", "load_model"])
def test_weights_that_the_users_code_loaded_win_until_fit_resumes(
    start: Start, data: Any, model: Model, tmp_path: Any, way: str, said: list[str]
) -> None:
    start()
    trained = model()
    trained.fit(*data, epochs=2, batch_size=8, verbose=0)
    other = model()
    other.build((None, 4))
    other.set_weights([weight * 2 for weight in other.get_weights()])
    other.optimizer.build(other.trainable_variables)
    other.save(tmp_path / "other.keras")
    other.save_weights(tmp_path / "other.weights.h5")
    start()
    made = keras.models.load_model(tmp_path / "other.keras") if way == "load_model" else model()
    if way == "load_weights":
        made.build((None, 4))
        made.optimizer.build(made.trainable_variables)
        made.load_weights(tmp_path / "other.weights.h5")
    elif way == "set_weights":
        made.build((None, 4))
        made.set_weights(other.get_weights())
    made.predict(data[0], verbose=0)
    assert weights(made) == weights(other)
    assert any("your code loaded" in line for line in said)
    made.fit(*data, epochs=2, batch_size=8, verbose=0)
    assert bits(made) == bits(trained)


def test_an_untrained_model_of_another_structure_is_let_be(start: Start, data: Any, model: Model) -> None:
    start()
    model().fit(*data, epochs=1, batch_size=8, verbose=0)
    start()
    other = model(units=7)
    other.build((None, 4))
    initial = weights(other)
    other.predict(data[0], verbose=0)
    assert weights(other) == initial


def test_a_model_in_a_model_is_no_root(start: Start, data: Any, model: Model) -> None:
    start()
    inner = model()
    inner.fit(*data, epochs=1, batch_size=8, verbose=0)
    start()
    again = model()
    again.build((None, 4))
    initial = weights(again)
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, keras.layers.Dense(1)(again(inputs)))
    outer.predict(data[0], verbose=0)
    assert weights(again) == initial
