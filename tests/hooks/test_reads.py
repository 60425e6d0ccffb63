"""Reads of many variables at a time: the same values and the same sharing as one by one."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from holdfast.hooks import reads


def _variables(count: int) -> list[Any]:
    kinds = (np.float32, np.int64, np.bool_)
    return [tf.Variable(np.full((place % 5 + 1,), place % 2, kinds[place % 3])) for place in range(count)]


def _address(tensor: Any) -> int:
    return int(tensor._numpy_internal().ctypes.data)


@pytest.mark.parametrize("count", [0, 1, 5, 200])
def test_values_come_in_order_whatever_their_dtypes(count: int) -> None:
    variables = _variables(count)
    for variable, tensor in zip(variables, reads.read_all(variables), strict=True):
        assert tensor.dtype == variable.dtype
        assert np.array_equal(tensor.numpy(), variable.numpy())


def test_buffers_are_shared_until_a_variable_is_updated() -> None:
    variables = [tf.Variable(tf.fill((1000,), float(place))) for place in range(70)]
    tensors = reads.read_all(variables)
    assert [*map(_address, tensors)] == [_address(reads.read(one)) for one in variables]
    for one in variables:
        one.assign_add(tf.ones_like(one))
    assert all(np.all(tensor.numpy() == place) for place, tensor in enumerate(tensors))


def test_a_table_that_is_updated_row_by_row_is_copied() -> None:
    tables = [tf.Variable(tf.zeros((100, 4))) for _ in range(4)]
    rows = tf.IndexedSlices(tf.ones((1, 4)), [3])
    for one in tables:
        one.scatter_add(rows)
    tensors = reads.read_all(tables)
    for one in tables:
        one.scatter_add(rows)
    assert all(tensor[3, 0].numpy() == 1.0 for tensor in tensors)


def test_without_the_fused_operation_they_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*several: Any) -> list[Any]:
        raise tf.errors.NotFoundError(None, None, "no such operation")

    monkeypatch.setattr(reads, "_fused", gone)
    monkeypatch.setattr(reads, "_one_by_one", threading.Event())
    variables = _variables(70)
    tensors = reads.read_all(variables)
    assert all(
        np.array_equal(tensor.numpy(), one.numpy()) for one, tensor in zip(variables, tensors, strict=True)
    )
