"""Interrupts and exceptions anywhere in `fit`: what is saved is always a whole state."""

from __future__ import annotations

import os
import signal
from typing import Any

import keras
import pytest
import tensorflow as tf

from helpers.training import At, Model, Start, bits


def fit(model: Any, data: Any, callbacks: Any = ()) -> Any:
    return model.fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=list(callbacks), validation_data=data)


class When(keras.callbacks.Callback):
    """Raises at one of Keras' events, once."""

    def __init__(self, event: str, error: type[BaseException]) -> None:
        super().__init__()
        self._left = 2  # at its second time

        def act(*_: Any, **__: Any) -> None:
            self._left -= 1
            if self._left == 0:
                raise error

        setattr(self, event, act)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize(
    "event", ["on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_batch_end", "on_test_end"]
)
def test_raised_in_any_event_between_batches_nothing_is_lost(
    start: Start, data: Any, model: Model, event: str, error: type[BaseException]
) -> None:
    alone = model()
    expected = fit(alone, data).history
    start()
    first = model()
    with pytest.raises(error):
        fit(first, data, [When(event, error), Slow()])
    trained = int(first.optimizer.iterations.numpy())
    handle = start()
    again = model()
    history = fit(again, data, [Counter()])
    assert bits(again) == bits(alone)
    assert history.history == expected
    assert Counter.steps == 15 - trained
    handle.stop()


class Slow(keras.callbacks.Callback):
    """Makes an epoch long enough to be worth holding references for."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        import time

        time.sleep(0.06)


class Counter(keras.callbacks.Callback):
    """Counts the steps of this process alone."""

    steps = 0

    def on_train_begin(self, logs: Any = None) -> None:
        Counter.steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        Counter.steps += 1


class SignalsItself(keras.layers.Layer):
    """Sends an interrupt from within the n-th training step."""

    calls = 0

    def call(self, inputs: Any, training: bool = False) -> Any:
        def act() -> None:
            SignalsItself.calls += 1
            if SignalsItself.calls == 8:
                os.kill(os.getpid(), signal.SIGINT)

        if training:
            tf.py_function(act, [], [])
        return inputs


def test_an_interrupt_within_a_step_waits_for_its_end_and_loses_nothing(
    start: Start, data: Any, said: list[str]
) -> None:
    def build() -> Any:
        keras.utils.set_random_seed(2)
        made = keras.Sequential([SignalsItself(), keras.layers.Dense(2, activation="softmax")])
        made.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
        return made

    SignalsItself.calls = 100
    alone = build()
    fit(alone, data)
    start()
    SignalsItself.calls = 0
    first = build()
    with pytest.raises(KeyboardInterrupt):
        fit(first, data)
    assert int(first.optimizer.iterations.numpy()) == 8
    start()
    again = build()
    fit(again, data)
    assert bits(again) == bits(alone)
    assert any("resuming at epoch 2/3, after 3 batches" in line for line in said)


def test_the_interrupt_handler_is_the_users_again_afterwards(start: Start, data: Any, model: Model) -> None:
    start()
    before = signal.getsignal(signal.SIGINT)
    fit(model(), data)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_within_a_step_is_not_taken_for_a_whole_state(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    handle = start()
    alone = model()
    fit(alone, data)
    handle.fresh()

    class Breaks(keras.Model):
        steps = 0

    made = model()
    real = made.train_step

    def breaks(batch: Any) -> Any:
        Breaks.steps += 1
        if Breaks.steps == 9:
            made.layers[0].kernel.assign_add(tf.ones_like(made.layers[0].kernel))  # half a step
            raise RuntimeError("out of memory, say")
        return real(batch)

    made.train_step = breaks
    made.run_eagerly = True
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(made, data, [At(7, handle.checkpoint)])
    start()
    again = model()
    again.run_eagerly = True
    fit(again, data)
    assert any("resuming at epoch 2/3, after 2 batches" in line for line in said)
