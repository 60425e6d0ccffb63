"""Errors of the user's own, raised wherever a training calls the user's code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from manners.programs import program
from manners.seen import Seen
from manners.small import EVENTS, FIT, classifier, data


class Own(Exception):
    """An error of the user's."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text, code)
        self.code = code


class OwnBase(BaseException):
    """One that is no Exception."""


class Raises(keras.callbacks.Callback):
    """Raises at an event, the second time."""

    def __init__(self, event: str, error: BaseException) -> None:
        super().__init__()
        self.left = 1 if "train_begin" in event or "train_end" in event else 2

        def act(*_: Any, **__: Any) -> None:
            self.left -= 1
            if not self.left:
                raise error

        setattr(self, event, act)


class RaisesByMethod(keras.callbacks.Callback):
    """Raises within another error's handling, with a cause and a note."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self.deep()

    def deep(self) -> None:
        try:
            dict[str, int]()["missing"]
        except KeyError as error:
            made = Own("with a cause", 3)
            made.add_note("and a note")
            raise made from error


@program
def raised_by_callbacks(see: Seen) -> None:
    # The first one before there is anything to be built.
    events = sorted(EVENTS, key=lambda one: one != "on_train_begin")
    for units, event in enumerate(events, 2):
        if "predict" in event:
            continue
        model = classifier(units=units)
        action = Raises(event, Own(event, 7))
        see.raising(event, lambda: model.fit(*data(), **FIT, validation_split=0.25, callbacks=[action]))  # noqa: B023
        see.model(model, key=event)


@program
def raised_by_callbacks_with_a_cause(see: Seen) -> None:
    model = classifier()
    see.raising("raised", lambda: model.fit(*data(), **FIT, callbacks=[RaisesByMethod()]))
    see.model(model)
    model = classifier(units=5)
    try:
        model.fit(*data(), **FIT, callbacks=[RaisesByMethod()])
    except Own as error:
        see.note("code", error.code)
        see.note(
            "functions",
            [one.name for one in traceback.extract_tb(error.__traceback__) if "hooks" not in one.filename],
        )
    model = classifier(units=7)
    keras.config.disable_traceback_filtering()
    try:
        see.raising("in full", lambda: model.fit(*data(), **FIT, callbacks=[RaisesByMethod()]))
    finally:
        keras.config.enable_traceback_filtering()


@program
def raised_that_are_no_errors(see: Seen) -> None:
    errors = (
        KeyboardInterrupt("stop", 1),
        SystemExit(3),
        OwnBase("base"),
        StopIteration("iteration"),
        GeneratorExit("generator"),
        MemoryError(),
        tf.errors.OutOfRangeError(None, None, "out of range"),
    )
    for place, error in enumerate(errors, 2):
        events = ("on_train_batch_end", "on_epoch_begin", "on_test_begin")
        for more, event in enumerate(events if place == 2 else events[place % 3 :][:1]):
            model = classifier(units=3 * place + more)
            callback = Raises(event, error)
            key = f"{type(error).__name__} {event}"
            see.raising(
                key,
                lambda: model.fit(*data(), **FIT, validation_split=0.25, callbacks=[callback]),  # noqa: B023
            )
            see.model(model, key=key)


class Breaks(keras.layers.Layer):
    """Fails, while it is traced or while it runs."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def call(self, inputs: Any, training: bool = False) -> Any:
        def act(value: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                raise ZeroDivisionError("in the graph")
            return value

        if self.at == 0:
            raise Own("while it is traced", 0)
        if not training:
            return inputs
        found = tf.numpy_function(act, [inputs], tf.float32)
        return tf.ensure_shape(found, inputs.shape)


@program
def raised_within_steps(see: Seen) -> None:
    for units, (at, eagerly) in enumerate(((4, True), (0, False), (0, True)), 2):
        model = keras.Sequential(
            [Breaks(at), keras.layers.Dense(units), keras.layers.Dense(2, activation="softmax")]
        )
        model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=eagerly)
        see.raising(f"{at} {eagerly}", lambda: model.fit(*data(), **FIT))  # noqa: B023
        see.model(model, key=f"{at} {eagerly}")


@program
def raised_by_checks_of_numbers(see: Seen) -> None:
    model = classifier()
    x, y = data()
    see.raising("labels", lambda: model.fit(x, y + 5, **{**FIT, "epochs": 1}, shuffle=False))


def failing(after: int) -> Iterator[Any]:
    """Batches, and then an error."""
    x, y = data()
    for _ in range(after):
        yield x[:8], y[:8]
    raise Own("no more data", 4)


class Failing(keras.utils.PyDataset):
    """The same by index."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        if index == 2:
            raise Own("no such batch", index)
        x, y = data()
        return x[:8], y[:8]


@program
def raised_by_data(see: Seen) -> None:
    cases: Any = (
        ("at once", failing(0), {}),
        ("later", failing(3), {"steps_per_epoch": 5}),
        ("by index", Failing(), {"shuffle": False}),
    )
    for units, (key, batches, more) in enumerate(cases, 2):
        model = classifier(units=units)

        def train(model: Any = model, batches: Any = batches, more: Any = more) -> None:
            model.fit(batches, epochs=2, verbose=0, **more)

        try:
            train()
        except Exception as error:
            # TensorFlow quotes the addresses and frames of its own threads in the text.
            see.note(key, [type(error).__name__, str(error).splitlines()[0].split(" at 0x")[0][:60]])
        see.model(model, key=key)
    broken = tf.data.Dataset.from_tensor_slices(data()).batch(8).map(broken_map)
    model = classifier(units=9)
    see.raising("in the pipeline", lambda: model.fit(broken, epochs=1, verbose=0))


def broken_map(x: Any, y: Any) -> Any:
    """Fails at the second batch."""
    with tf.control_dependencies([tf.debugging.assert_less(tf.shape(x)[0], 3, message="too many")]):
        return tf.identity(x), y


@program
def raised_and_never_trained_again(see: Seen) -> None:
    """What an interrupted training leaves can be used as ever, as long as it is not trained again."""
    model = classifier(metrics=["accuracy"])
    see.raising("stopped", lambda: model.fit(*data(), **FIT, callbacks=[RaisesByMethod()]))
    see.note("history", model.history.history)
    see.note("evaluated", model.evaluate(*data(), verbose=0))
    see.note("predicted", model.predict(data()[0], verbose=0))
    model.save("stopped.keras")
    see.note("loaded", keras.models.load_model("stopped.keras").get_weights())
    see.model(model)


@program
def ends_with_an_error(see: Seen) -> None:
    model = classifier()
    model.fit(*data(), **FIT, callbacks=[RaisesByMethod()])


@program
def ends_with_an_exit(see: Seen) -> None:
    model = classifier()
    see.model(model, model.fit(*data(), **FIT))
    raise SystemExit("done")
