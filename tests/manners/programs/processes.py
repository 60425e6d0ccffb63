"""Threads and child processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading
from typing import Any

import keras

from manners.programs import program
from manners.seen import Seen, describe, plain
from manners.small import FIT, View, classifier, data


def train(model: Any, found: dict[str, Any], key: str, **more: Any) -> None:
    """Trains, and keeps the history or the error."""
    try:
        found[key] = model.fit(*data(), **FIT, **more)
    except BaseException as error:
        found[key] = describe(error)


@program
def training_in_a_thread(see: Seen) -> None:
    model = classifier()
    found: dict[str, Any] = {}
    thread = threading.Thread(target=train, args=(model, found, "thread"))
    thread.start()
    thread.join()
    see.model(model, found["thread"])
    see.model(model, model.fit(*data(), **FIT), "afterwards")


def with_seeds(seed: int) -> Any:
    """A model that draws from no generator that another thread draws from."""
    made = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed)),
            keras.layers.Dropout(0.2, seed=seed),
            keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(seed)),
        ]
    )
    made.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


@program
def trainings_side_by_side(see: Seen) -> None:
    models = [with_seeds(place) for place in range(3)]
    found: dict[str, Any] = {}
    views = [View() for _ in models]
    threads = [
        threading.Thread(
            target=train, args=(model, found, f"thread {place}"), kwargs={"callbacks": [view], "shuffle": False}
        )
        for place, (model, view) in enumerate(zip(models, views, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, (model, view) in enumerate(zip(models, views, strict=True)):
        see.model(model, found[f"thread {place}"], f"thread {place}")
        see.note(f"told {place}", view.told)


@program
def errors_in_threads(see: Seen) -> None:
    found: dict[str, Any] = {}
    thread = threading.Thread(target=train, args=(classifier(None), found, "error"))
    thread.start()
    thread.join()
    see.note("error", found["error"])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(classifier().fit, *data(), unknown=1)
        see.note("future", describe(future.exception() or ValueError()))


def child(action: Any) -> int:
    """Runs something in a forked child, which then ends as a program does; its exit status."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        try:
            action()
        except SystemExit as error:
            os._exit(int(error.code or 0))
        except BaseException:
            os._exit(99)
        os._exit(17)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Forks(keras.callbacks.Callback):
    """Forks in a training's midst; the child's exit goes out through `fit`."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[int] = []
        self.inside = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            process = os.fork()
            if process == 0:
                self.inside = True
                raise SystemExit(5)
            self.statuses.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


@program
def forked_children(see: Seen) -> None:
    model = classifier()
    see.note("before", child(lambda: None))
    see.note("with an exit", child(lambda: sys.exit(3)))
    see.model(model, model.fit(*data(), **FIT))
    see.note("after", child(lambda: print("in the child", flush=True)))
    see.note("at its end", [child(lambda: None) for _ in range(3)])
    see.model(model, model.fit(*data(), **FIT), "after forks")


@program
def forked_within_a_training(see: Seen) -> None:
    model, forks = classifier(), Forks()
    try:
        history = model.fit(*data(), **FIT, callbacks=[forks])
    except SystemExit as error:
        if forks.inside:
            os._exit(int(error.code or 0))
        raise
    see.model(model, history)
    see.note("statuses", forks.statuses)


def square(number: int) -> int:
    """Work for a pool."""
    return number * number


@program
def pools_of_processes(see: Seen) -> None:
    model = classifier()
    see.model(model, model.fit(*data(), **FIT))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        see.note("pool", pool.map(square, range(6)))
    process = multiprocessing.get_context("fork").Process(target=square, args=(3,))
    process.start()
    process.join()
    see.note("process", process.exitcode)
    see.note("children", [plain(one.name) for one in multiprocessing.active_children()])
    see.model(model, model.fit(*data(), **FIT), "afterwards")


@program
def other_programs(see: Seen) -> None:
    model = classifier()
    see.model(model, model.fit(*data(), **FIT))
    code = "import os, signal; print(sorted(os.environ), signal.getsignal(signal.SIGINT), os.nice(0))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    see.note("output", ran.stdout.splitlines())
    see.note("status", ran.returncode)
    # A descriptor of ours that a child inherits would keep it from being closed.
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, close_fds=False
    )
    see.note("inherited", ran.stdout.splitlines())
    try:
        os.waitpid(-1, os.WNOHANG)
        see.note("children", "some")
    except ChildProcessError:
        see.note("children", "none")
