"""Interrupts from the keyboard, and signal handlers of the user's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import keras

from manners.programs import program
from manners.seen import Seen
from manners.small import FIT, EveryEvent, classifier, data


class At(keras.callbacks.Callback):
    """Does something at an event of the n-th batch or epoch, and goes on to note that it did."""

    def __init__(self, event: str, number: int, action: Callable[[], Any]) -> None:
        super().__init__()
        self.went_on = False

        def act(place: Any = None, logs: Any = None) -> None:
            if place == number or not isinstance(place, int):
                action()
                self.went_on = True

        setattr(self, event, act)


def interrupt() -> None:
    """What the keyboard does."""
    signal.raise_signal(signal.SIGINT)


@program
def interrupted_from_the_keyboard(see: Seen) -> None:
    events = ("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_test_begin", "on_train_end")
    for units, event in enumerate(events, 2):
        model = classifier(units=units)
        see.raising(
            event,
            lambda: model.fit(  # noqa: B023
                *data(),
                **FIT,
                validation_split=0.25,
                callbacks=[At(event, 0, interrupt)],  # noqa: B023
            ),
        )
        see.model(model, key=event)
        see.note(f"{event} handler", signal.getsignal(signal.SIGINT) is signal.default_int_handler)


@program
def interrupted_in_a_batch(see: Seen) -> None:
    """It may wait for the step's end; it comes, once, before another step begins."""
    for units, event in enumerate(("on_train_batch_begin", "on_train_batch_end"), 2):
        model = classifier(units=units)
        view = EveryEvent()

        def train(model: Any = model, event: str = event, view: Any = view) -> None:
            model.fit(*data(), **FIT, callbacks=[view, At(event, 1, interrupt)])

        try:
            train()
            see.note(event, "nothing raised")
        except KeyboardInterrupt as error:
            see.note(event, list(error.args))
        see.note(f"{event} begun", [one for one in view.told if one[0] == "on_train_batch_begin"])


class Handler:
    """A handler of the user's own, that notes what it is given and raises nothing."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def __call__(self, number: int, frame: Any) -> None:
        self.got.append([int(number), type(frame).__name__, type(number).__name__])


@program
def handler_of_the_users_own(see: Seen) -> None:
    handler = Handler()
    old = signal.signal(signal.SIGINT, handler)
    try:
        events = ("on_train_batch_begin", "on_train_batch_end", "on_epoch_end", "on_train_end")
        for units, event in enumerate(events, 2):
            model = classifier(units=units)
            see.model(model, model.fit(*data(), **FIT, callbacks=[At(event, 1, interrupt)]), event)
        see.note("kept", signal.getsignal(signal.SIGINT) is handler)
        see.note("got", handler.got)
    finally:
        signal.signal(signal.SIGINT, old)


@program
def handler_that_ignores(see: Seen) -> None:
    for units, kind in enumerate((signal.SIG_IGN, signal.SIG_DFL), 2):
        old = signal.signal(signal.SIGINT, kind)
        try:
            model = classifier(units=units)
            callbacks = [At("on_train_batch_end", 1, interrupt)] if kind == signal.SIG_IGN else []
            see.model(model, model.fit(*data(), **FIT, callbacks=callbacks), kind.name)
            see.note(f"{kind.name} kept", signal.getsignal(signal.SIGINT) is kind)
        finally:
            signal.signal(signal.SIGINT, old)


@program
def handler_set_within_a_training(see: Seen) -> None:
    handler = Handler()
    replaced: list[Any] = []
    model = classifier()

    def replace() -> None:
        replaced.append(signal.signal(signal.SIGINT, handler))

    model.fit(*data(), **FIT, callbacks=[At("on_train_begin", 0, replace), At("on_epoch_end", 1, interrupt)])
    try:
        see.note("kept", signal.getsignal(signal.SIGINT) is handler)
        see.note("got", handler.got)
    finally:
        signal.signal(signal.SIGINT, replaced[0])
    see.raising("interrupt afterwards", interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@program
def handler_set_within_a_training_that_fails(see: Seen) -> None:
    """A guard that puts the handler back which it found, after the training that set it has failed."""
    replaced: list[Any] = []

    def replace() -> None:
        replaced.append(signal.signal(signal.SIGINT, signal.default_int_handler))

    def fail() -> None:
        raise ValueError("a step failed")

    see.raising(
        "failed",
        lambda: classifier().fit(
            *data(),
            **FIT,
            callbacks=[At("on_train_begin", 0, replace), At("on_train_batch_begin", 1, fail)],
        ),
    )
    signal.signal(signal.SIGINT, replaced[0])
    see.raising("interrupt afterwards", interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted_at_its_end() -> Iterator[Any]:
    """Batches, and then the keyboard, before the data are known to be at their end."""
    x, y = data()
    for _ in range(3):
        yield x[:8], y[:8]
    os.kill(os.getpid(), signal.SIGINT)


@program
def interrupted_while_the_data_end(see: Seen) -> None:
    model = classifier()
    try:
        model.fit(interrupted_at_its_end(), epochs=1, verbose=0)
        see.note("raised", "nothing")
    except KeyboardInterrupt:
        see.note("raised", "KeyboardInterrupt")


@program
def interrupted_and_failing_at_once(see: Seen) -> None:
    def act() -> None:
        interrupt()
        raise ValueError("after the interrupt")

    model = classifier()
    try:
        model.fit(*data(), **FIT, callbacks=[At("on_train_batch_end", 1, act)])
    except BaseException as error:
        chain = [type(one).__name__ for one in (error, error.__context__) if one is not None]
        see.note("an interrupt is among what is raised", "KeyboardInterrupt" in chain)


@program
def other_signals(see: Seen) -> None:
    got: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(int(number)))
    try:
        model = classifier()
        send = At("on_train_batch_end", 1, lambda: signal.raise_signal(signal.SIGUSR1))
        see.model(model, model.fit(*data(), **FIT, callbacks=[send]))
        see.note("got", got)
    finally:
        signal.signal(signal.SIGUSR1, old)
