"""A learning rate that was changed after an interrupt is the one that trains, under loss scaling too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import pytest
import tensorflow as tf

from colab_bootstrap import resumable
from helpers.loops import Act, at, nothing
from helpers.loops import interrupt as interrupt_at_boundary
from helpers.training import At, Model, Start


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def mixed() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def rate_of(optimizer: Any) -> float:
    return float(optimizer.inner_optimizer.learning_rate.numpy())


@pytest.mark.usefixtures("mixed")
def test_in_a_fit(start: Start, data: Any, model: Model, said: list[str]) -> None:
    start()
    with pytest.raises(KeyboardInterrupt):
        model().fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=[At(8, interrupt)])
    start()
    made = model(rate=1e-5)
    made.fit(*data, epochs=3, batch_size=8, verbose=0)
    assert any("under a changed definition" in line and "learning_rate" in line for line in said)
    assert rate_of(made.optimizer) == pytest.approx(1e-5)
    assert int(made.optimizer.inner_optimizer.iterations.numpy()) > 10  # those done before count


def loop(rate: float, act: Act = nothing) -> Any:
    keras.utils.set_random_seed(3)
    made = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate))
    for item in resumable(range(6)):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_mean(made(tf.ones((2, 2))) ** 2))
        trained = made.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        act(item)
    return optimizer


def test_in_a_loop(start: Start, said: list[str]) -> None:
    start()
    with pytest.raises(KeyboardInterrupt):
        loop(1e-3, at(3, interrupt_at_boundary))
    start()
    optimizer = loop(1e-5)
    assert any("resuming the weights" in line and "learning_rate" in line for line in said)
    assert rate_of(optimizer) == pytest.approx(1e-5)
