"""Variables that layers hold as plain attributes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from holdfast.hooks import attributes


class Holding(keras.layers.Layer):
    """A layer with attributes of its own."""

    def __init__(self, **held: Any) -> None:
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value)

    def call(self, inputs: Any) -> Any:
        """As they come."""
        return inputs


def test_they_are_found_alone_and_in_lists_and_dictionaries_of_any_layer() -> None:
    one, two, three, four = (tf.Variable(float(number)) for number in range(4))
    first = Holding(none=None, numbers=[1, 2], alone=one, many=[3, two])
    second = Holding(named={"a": "text", "b": three}, pair=(None, four), data=[tf.Variable(9.0)] * 101)
    model = keras.Sequential([keras.Input((2,)), first, keras.layers.Dense(1), second])
    found = list({id(one): one for one in attributes.loose_variables(model)})  # TensorFlow notes some twice
    assert found == [id(variable) for variable in (one, two, three, four)]


def test_no_variable_lies_only_in_what_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = keras.Input((8, 4))
    found = keras.layers.MultiHeadAttention(2, 3)(inputs, inputs)
    found = keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True))(found)
    found = keras.layers.TimeDistributed(keras.layers.Dense(3))(found)
    found = keras.layers.BatchNormalization()(Holding(table=tf.Variable(1.0), rows=[tf.Variable(2.0)])(found))
    found = keras.layers.Dropout(0.1)(keras.layers.SpectralNormalization(keras.layers.Conv1D(2, 2))(found))
    model = keras.Model(inputs, found)
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 8, 4)), np.zeros((2, 7, 2)), verbose=0)
    passed_over = [*dict.fromkeys(id(one) for one in attributes.loose_variables(model))]
    monkeypatch.setattr(attributes, "KERAS_OWN", frozenset[str]())
    assert passed_over == [*dict.fromkeys(id(one) for one in attributes.loose_variables(model))]
    assert len(passed_over) >= 2
