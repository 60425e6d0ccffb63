"""What is read from a checkpoint lies in TensorFlow's own memory, which the variables then share."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers.training import At, Model, Start
from holdfast.hooks import assigning, landing
from holdfast.hooks.landing import Landing
from holdfast.hooks.reads import read
from holdfast.hooks.variables import DTYPES, tensor_spec
from holdfast.runtime.manifest import TensorRecord

LARGE = (5, landing.HUGE_BYTES // 16)
"""A shape of which numbers of 32 bits have huge pages asked for, and do not begin or end at one."""

NOT_SHARED = ("float8_e4m3fn", "float8_e5m2", "complex128")
"""TensorFlow has no memory without a value for the first two, safetensors does not know the last."""


def landed(variable: Any) -> tuple[Any, bytes]:
    """A tensor for a variable after bytes were read into it, and these bytes."""
    kind = variable.dtype.as_numpy_dtype
    one = Landing(TensorRecord(tensor_spec("x", kind, tuple(variable.shape)), "o", 0, "0" * 32))
    data = os.urandom(one.raw.nbytes)
    if variable.dtype == tf.bool:
        data = bytes(byte & 1 for byte in data)
    memoryview(one.raw)[:] = data  # type: ignore[arg-type]
    return one.tensor_for(variable), data


def address(tensor: Any) -> int:
    """Where a tensor's memory lies."""
    return int(tensor._numpy_internal().ctypes.data)


@pytest.mark.parametrize("dtype", [*DTYPES, "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (7,), (100, 200), LARGE], ids=str)
def test_every_dtype_and_shape_has_the_bytes_that_were_read(dtype: str, shape: tuple[int, ...]) -> None:
    variable = tf.Variable(np.zeros(shape, tf.as_dtype(dtype).as_numpy_dtype))
    tensor, data = landed(variable)
    assert (tensor.dtype, tuple(tensor.shape)) == (variable.dtype, shape)
    variable.assign(tensor, read_value=False)
    assert variable.numpy().tobytes() == data
    if shape == LARGE and dtype not in NOT_SHARED:
        assert address(read(variable)) == address(tensor)


def test_a_variable_that_is_updated_leaves_the_tensor_as_it_was() -> None:
    variable = tf.Variable(tf.zeros(LARGE))
    tensor, data = landed(variable)
    variable.assign(tensor, read_value=False)
    variable.assign_add(tf.ones(LARGE), read_value=False)
    assert tensor.numpy().tobytes() == data
    variable.assign(tensor, read_value=False)
    assert variable.numpy().tobytes() == data


def test_a_variable_whose_tensor_is_gone_is_updated_in_place() -> None:
    variable = tf.Variable(tf.zeros(LARGE))
    tensor, _ = landed(variable)
    variable.assign(tensor, read_value=False)
    where = address(tensor)
    del tensor
    variable.assign_add(tf.ones(LARGE), read_value=False)
    assert address(read(variable)) == where


@pytest.mark.parametrize("step", [5, 7], ids=["at an epoch's end", "in mid-epoch"])
def test_what_was_read_is_let_go_before_the_first_resumed_step(
    start: Start, data: Any, model: Model, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    def fit(made: Any, *callbacks: Any) -> Any:
        return made.fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=[At(99, interrupt), *callbacks])

    def interrupt() -> None:
        raise KeyboardInterrupt

    tensors: list[weakref.ref[Any]] = []
    original = assigning.fetch_variables

    def followed(*arguments: Any) -> dict[str, Any]:
        found = original(*arguments)
        tensors.extend(weakref.ref(one) for one in found.values())
        return found

    monkeypatch.setattr(assigning, "fetch_variables", followed)
    with pytest.raises(KeyboardInterrupt):
        start()
        fit(model(), At(step, interrupt))
    start()
    alive: list[int] = []

    def look(batch: int, logs: Any = None) -> None:
        del batch, logs
        alive.append(sum(one() is not None for one in tensors))

    gc.disable()  # they are to go at once
    try:
        watching = tf.keras.callbacks.LambdaCallback(on_train_batch_begin=look)
        fit(model(), watching)
    finally:
        gc.enable()
    assert tensors
    assert len(alive) == 15 - step
    assert not any(alive)


def test_bytes_of_another_shape_are_copied() -> None:
    variable = tf.Variable(np.zeros((200, 100), np.float32))
    one = Landing(TensorRecord(tensor_spec("x", np.float32, (100, 200)), "o", 0, "0" * 32))
    one.raw[:] = 1
    assert tuple(one.tensor_for(variable).shape) == (200, 100)
