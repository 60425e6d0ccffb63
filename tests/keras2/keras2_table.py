"""Keras 2: the rows of the resume table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from keras2_numbers import drawing
from keras2_programs import (
    At,
    bits,
    data,
    fit,
    has_said,
    interrupt,
    interrupted,
    network,
    said,
    scenario,
    start,
    steps,
)


@scenario
def an_open_training_is_resumed_at_the_batch(folder: Path) -> None:
    alone = network()
    expected = fit(alone).history
    start(folder)
    interrupted(network(), step=8)
    start(folder)
    made = network()
    history = fit(made)
    assert has_said("resuming at epoch 2/3, after 3 batches"), said
    assert bits(made) == bits(alone)
    assert history.history == expected


@scenario
def a_rerun_of_fit_alone_goes_on_at_the_batch(folder: Path) -> None:
    alone = network()
    expected = fit(alone, validation_split=0.2).history
    cells = start(folder)._tracker.cells
    made = network()
    interrupted(made, step=6, validation_split=0.2)
    cells.execution += 1
    history = fit(made, validation_split=0.2)
    assert has_said("resuming at epoch 2/3, after 2 batches"), said
    assert bits(made) == bits(alone)
    assert history.history == expected


@scenario
def a_finished_training_is_replayed(folder: Path) -> None:
    start(folder)
    first = network()
    expected = fit(first, validation_split=0.2).history
    start(folder)
    made, counted = network(), At(1, lambda: None)
    history = fit(made, callbacks=[counted], validation_split=0.2)
    assert counted.steps == 0
    assert has_said("its end is restored, no step is trained"), said
    assert bits(made) == bits(first)
    assert history.history == expected
    assert made.history is history


@scenario
def more_epochs_train_the_remaining_ones_to_the_same_bits(folder: Path) -> None:
    alone = network()
    expected = fit(alone).history
    start(folder)
    fit(network(), epochs=2)
    start(folder)
    made = network()
    history = fit(made)
    assert has_said("2 epochs are done; training the remaining 1"), said
    assert bits(made) == bits(alone)
    assert history.history == expected


@scenario
def an_open_training_with_another_rate_keeps_its_weights_and_takes_the_rate(folder: Path) -> None:
    start(folder)
    interrupted(network(), step=8)
    start(folder)
    made = network(rate=0.5)
    fit(made)
    assert has_said("optimizer.learning_rate: 0.009999999776482582 → 0.5"), said
    assert steps(made) == 8 + 10
    assert float(made.optimizer.learning_rate) == 0.5


@scenario
def a_finished_training_that_changed_begins_anew(folder: Path) -> None:
    start(folder)
    fit(network())
    start(folder)
    made = network(rate=0.5)
    fit(made)
    assert has_said("the finished training differs from this one (optimizer.learning_rate"), said
    assert steps(made) == 15


@scenario
def a_first_use_that_is_no_training_has_the_trained_weights(folder: Path) -> None:
    start(folder)
    first = network()
    fit(first)
    expected = [first.evaluate(*data(), verbose=0), first.predict(data()[0], verbose=0).tolist()]
    uses: list[Callable[[Any], Any]] = [
        lambda model: [model.evaluate(*data(), verbose=0), model.predict(data()[0], verbose=0).tolist()],
        lambda model: [expected[0], model(data()[0]).numpy().tolist()],
    ]
    for use in uses:
        start(folder)
        said.clear()
        made = network()
        found = use(made)
        assert has_said("the model has the weights of its training again"), said
        assert np.allclose(found[1], expected[1]) and found[0] == expected[0]
        fit(made)
        assert has_said("its end is restored, no step is trained"), said
        assert bits(made) == bits(first)
        assert not has_said("loop"), said


@scenario
def an_evaluation_before_the_training_sees_the_same_again(folder: Path) -> None:
    def train(stop_at: int) -> Any:
        model = drawing()
        seen = [model.evaluate(*data(), verbose=0), model.train_on_batch(data()[0][:4], data()[1][:4])]
        return seen, fit(model, callbacks=[At(stop_at, interrupt)], validation_data=data()).history, bits(model)

    expected = train(99)
    start(folder)
    with suppress(KeyboardInterrupt):
        train(8)
    start(folder)
    assert train(99) == expected
    assert has_said("resuming at epoch 2/3, after 3 batches"), said


@scenario
def another_structure_begins_anew(folder: Path) -> None:
    start(folder)
    fit(network())
    start(folder)
    made = network(units=5)
    fit(made)
    assert has_said("the model's structure changed"), said
    assert steps(made) == 15


@scenario
def the_same_live_model_trains_on(folder: Path) -> None:
    alone = network()
    fit(alone)
    fit(alone)
    start(folder)
    made = network()
    fit(made)
    fit(made)
    assert steps(made) == 30
    assert bits(made) == bits(alone)


@scenario
def eager_code_that_cannot_be_traced_begins_where_it_stands(folder: Path) -> None:
    class Printing(tf_keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            float(tf.reduce_sum(inputs).numpy())
            return inputs

    def build() -> Any:
        tf_keras.utils.set_random_seed(2)
        model = tf_keras.Sequential([Printing(), tf_keras.layers.Dense(2)])
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, run_eagerly=True)
        return model

    start(folder)
    interrupted(build(), step=8)
    start(folder)
    made = build()
    fit(made)
    assert has_said("run eagerly and cannot be traced (AttributeError)"), said
    assert steps(made) == 15
