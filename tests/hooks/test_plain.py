"""Values come back from their plain form as they were; what is no plain form is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from holdfast.hooks import plain

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
keys = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()))
arrays = hnp.arrays(
    st.sampled_from(["f4", "f8", "i8", "u1", "?", "f2", "c8", ">i4"]), hnp.array_shapes(min_dims=0, min_side=0)
)
values = st.recursive(
    st.one_of(scalars, arrays, hnp.from_dtype(np.dtype("f4"), allow_nan=False).map(np.float32)),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(keys, inner), st.frozensets(st.integers())
    ),
    max_leaves=12,
)


def there_and_back(value: Any) -> Any:
    aside = plain.Arrays("a")
    text = json.dumps(plain.encode(value, aside))
    flat = {name: np.frombuffer(plain.flat_bytes(array), np.uint8) for name, array in aside.items()}
    return plain.decode(json.loads(text), flat)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray | np.generic):
        return (
            type(one) is type(other)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@given(values)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(value, there_and_back(value))


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_values_of_few_bits_come_back_as_they_were(name: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(getattr(ml_dtypes, name))
    assert same(there_and_back([array, array[1, 2]]), [array, array[1, 2]])


@pytest.mark.parametrize("value", [1.5, [1, 2], [[True]]])
def test_tensors_come_back_as_tensors(value: Any) -> None:
    made = there_and_back(tf.constant(value))
    assert isinstance(made, tf.Tensor)
    assert same(made.numpy(), tf.constant(value).numpy())


def test_a_tensor_of_sixteen_bits_comes_back() -> None:
    made = there_and_back(tf.constant([1.5, 2.0], tf.bfloat16))
    assert made.dtype == tf.bfloat16
    assert made.numpy().tolist() == [1.5, 2.0]


@given(values)
def test_equal_values_have_equal_digests(value: Any) -> None:
    assert plain.digest(value) == plain.digest(there_and_back(value))


@pytest.mark.parametrize(
    "made",
    [
        lambda: random.Random(3),
        lambda: np.random.default_rng(3),
        lambda: np.random.RandomState(3),
        lambda: np.random.Generator(np.random.Philox(3)),
    ],
)
def test_a_generator_goes_on_where_it_was(made: Any) -> None:
    generator = made()
    generator.random()
    copy = there_and_back(generator)
    assert [generator.random() for _ in range(5)] == [copy.random() for _ in range(5)]


@pytest.mark.parametrize(
    "value",
    [
        open,
        object(),
        lambda: 0,
        {"a": [object()]},
        np.array([object()]),
        iter([]),
        tf.constant("a"),
        tf.Variable(1.0),
    ],
)
def test_what_is_not_plain_is_refused(value: Any) -> None:
    with pytest.raises(plain.NotPlain):
        plain.encode(value, plain.Arrays("a"))


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(plain.NotPlain):
        plain.encode(value, plain.Arrays("a"))


forms = st.recursive(
    st.one_of(
        scalars,
        st.sampled_from(
            [
                "tuple",
                "dict",
                "array",
                "tensor",
                "bfloat16",
                "Random",
                "Generator",
                "comparison",
                "os",
                "system",
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(
            st.sampled_from([plain.TAG, "items", "name", "dtype", "shape", "state", "home", "value"]), inner
        ),
    ),
    max_leaves=15,
)


@given(forms)
def test_a_hostile_form_gives_a_plain_value_or_an_error_that_the_restore_knows(form: Any) -> None:
    try:
        value = plain.decode(form, {})
    except (KeyError, TypeError, ValueError):
        return
    assert (
        not callable(value) or isinstance(value, np.ufunc | type(None)) or value.__module__.startswith("keras")
    )
