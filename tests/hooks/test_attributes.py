"""Variables that layers hold as plain attributes."""

from __future__ import annotations

from typing import Any

import keras
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
