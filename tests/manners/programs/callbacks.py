"""Callbacks: what they are told, what they may do, and what Keras prints meanwhile."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.callbacks.callback_list import CallbackList

from manners.programs import program
from manners.seen import Seen, plain
from manners.small import FIT, EveryEvent, View, classifier, data

FULL: dict[str, Any] = {"epochs": 3, "batch_size": 8, "validation_split": 0.25}


@program
def told_without_batches(see: Seen) -> None:
    model = classifier(eagerly=False, metrics=["accuracy"])
    view = View(("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end", "on_test_end"))
    see.model(model, model.fit(*data(), **FULL, verbose=0, callbacks=[view]))
    see.note("told", view.told)
    see.note("parameters", view.params)


@program
def a_line_for_each_epoch(see: Seen) -> None:
    model = classifier(metrics=["accuracy"])
    see.model(model, model.fit(*data(), **FULL, verbose=2))
    model.evaluate(*data(), verbose=2)


@program
def a_bar(see: Seen) -> None:
    model = classifier(metrics=["accuracy"])
    real, sys.stdout = sys.stdout, Last(sys.stdout)
    try:
        see.model(model, model.fit(*data(), **FULL, verbose=1))
        model.predict(data()[0], verbose=1)
    finally:
        sys.stdout = real


SHAPING = re.compile(r"[\b\r\n]|\x1b\[\d+m")


class Last:
    """Lets an epoch's last bar through: how often the others are drawn depends on the time."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        if text.strip() and ("val_loss" in text or "Epoch" in text):
            self.stream.write(" ".join(SHAPING.sub("", text).split()) + "\n")

    def flush(self) -> None:
        self.stream.flush()


@program
def keras_own_callbacks(see: Seen) -> None:
    model = classifier(metrics=["accuracy"])
    callbacks = [
        keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1, restore_best_weights=True, verbose=1),
        keras.callbacks.ReduceLROnPlateau("loss", min_delta=10.0, patience=1, verbose=1),
        keras.callbacks.ModelCheckpoint("best.weights.h5", save_best_only=True, save_weights_only=True),
        keras.callbacks.CSVLogger("log.csv"),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, sorted(logs))),
    ]
    see.model(model, model.fit(*data(), **FULL, verbose=2, callbacks=callbacks))
    for one in callbacks:
        see.note(type(one).__name__, {key: shown(value) for key, value in vars(one).items()})
    see.note("log", Path("log.csv").read_text(encoding="utf-8"))


def shown(value: Any) -> Any:
    """An attribute of a callback, as far as it is the same in every process."""
    return (
        plain(value) if isinstance(value, (int, float, str, list, dict, np.generic)) else type(value).__name__
    )


@program
def backup_and_restore(see: Seen) -> None:
    model = classifier()
    model.build((None, 4))
    callback = keras.callbacks.BackupAndRestore("backup", save_freq="epoch")
    see.model(model, model.fit(*data(), **FIT, callbacks=[callback]))
    see.model(model, model.fit(*data(), **FIT), "second")


@program
def a_board(see: Seen) -> None:
    model = classifier()
    board = keras.callbacks.TensorBoard("board", update_freq=1, histogram_freq=1)
    see.model(model, model.fit(*data(), **FULL, verbose=0, callbacks=[board]))
    for path in Path("board").rglob("*"):
        if path.is_file():
            path.rename(path.with_name("events"))  # its own name has the time in it


@program
def averaged_weights_swapped(see: Seen) -> None:
    model = classifier(keras.optimizers.SGD(0.1, use_ema=True), eagerly=False)
    see.model(
        model,
        model.fit(*data(), **FULL, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]),
    )


class Meddler(keras.callbacks.Callback):
    """Reads, writes and calls whatever it likes, wherever it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        logs["extra"] = batch
        weights = self.model.get_weights()
        self.model.set_weights([one * 0.999 for one in weights])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.01 / (epoch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.found.append([epoch, plain(logs), sorted(vars(self.model))])
        self.found.append(plain(self.model.evaluate(*data(), verbose=0)))
        self.found.append(plain(self.model.predict(data()[0], verbose=0)))
        self.found.append(plain(self.model.history.history))
        logs["more"] = float(np.random.rand())


@program
def a_callback_that_meddles(see: Seen) -> None:
    model = classifier("adam", eagerly=False)
    meddler, view = Meddler(), EveryEvent()
    see.model(model, model.fit(*data(), **FULL, verbose=0, callbacks=[meddler, view]))
    see.note("found", meddler.found)
    see.note("told", view.told)


class Stops(keras.callbacks.Callback):
    """Ends the training in an epoch's midst."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self.model.stop_training = True


@program
def a_callback_that_stops_the_training(see: Seen) -> None:
    model = classifier()
    view = EveryEvent()
    see.model(model, model.fit(*data(), **FULL, verbose=0, callbacks=[Stops(), view]))
    see.note("told", view.told)
    see.model(model, model.fit(*data(), **FULL, verbose=0), "after")


class Listed(CallbackList):
    """A list of callbacks of the user's own class."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        print("listed", epoch)
        super().on_epoch_end(epoch, logs)


@program
def a_list_of_the_users_own(see: Seen) -> None:
    for kind in (CallbackList, Listed):
        model = classifier()
        view = EveryEvent()
        callbacks = kind([view], add_history=True, model=model, epochs=3, steps=2)
        see.model(model, model.fit(*data(), **FULL, verbose=0, callbacks=callbacks), kind.__name__)
        see.note(f"{kind.__name__} told", view.told)
        see.note(f"{kind.__name__} in it", [type(one).__name__ for one in callbacks.callbacks])
        see.note(f"{kind.__name__} has", sorted(vars(callbacks)))
        see.note(f"{kind.__name__} by name", calls_by_name(callbacks))


def calls_by_name(callbacks: Any) -> str:
    """Calls the list's methods as a training loop of the user's own does."""
    callbacks.on_train_begin(logs=None)
    callbacks.on_epoch_begin(epoch=0, logs={})
    callbacks.on_train_batch_begin(batch=0, logs=None)
    callbacks.on_train_batch_end(batch=0, logs={"loss": 1.0})
    callbacks.on_epoch_end(epoch=0, logs={"loss": 1.0})
    callbacks.on_test_begin()
    callbacks.on_test_end(logs={})
    callbacks.on_train_end(logs={})
    return "called"


class Counting(keras.callbacks.Callback):
    """A callback with special methods and slots for nothing."""

    def __len__(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        ASKED.append(name)
        raise AttributeError(name)

    @property
    def expensive(self) -> int:
        ASKED.append("expensive")
        return 1


ASKED: list[str] = []


@program
def a_callback_that_notes_what_is_asked(see: Seen) -> None:
    ASKED.clear()
    model = classifier()
    see.model(model, model.fit(*data(), **FIT, callbacks=[Counting()]))
    see.note("asked", list(ASKED))


@program
def the_same_callbacks_twice(see: Seen) -> None:
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1)
    for place in range(2):
        model = classifier(units=2 + place)
        see.model(model, model.fit(*data(), **FULL, verbose=0, callbacks=[stopping]), f"model {place}")
        see.note(f"stopped {place}", [stopping.stopped_epoch, stopping.wait, float(stopping.best)])
