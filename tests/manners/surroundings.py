"""What a process has beside the program's own values: generators, handlers, logging, names."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import threading
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from manners.seen import ADDRESS, kind

OURS = ("holdfast", "watchdog")
"""Names of the loggers, threads and modules of the runtime, and of the library that it watches files with."""


def process_wide(*, running: bool = False) -> dict[str, Any]:
    """Settings of the process that a program can see.

    Args:
        running: Whether the runtime runs. It waits for the imports of what it will follow then.
    """
    mask = os.umask(0)
    os.umask(mask)
    return {
        "signals": {one.name: _name(signal.getsignal(one)) for one in signal.valid_signals() if _named(one)},
        "blocked signals": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "wakeup descriptor": _wakeup(),
        "finders": [
            _name(one) for one in sys.meta_path if not (running and type(one).__module__.startswith(OURS))
        ],
        "path hooks": [_name(one) for one in sys.path_hooks],
        "path": list(sys.path),
        "arguments": list(sys.argv),
        "environment": {key: value for key, value in os.environ.items() if key != "PWD"},
        "working directory": os.path.basename(os.getcwd()),  # noqa: PTH109, PTH119 - as the program sees it
        "hooks": [
            _name(one)
            for one in (
                sys.excepthook,
                sys.unraisablehook,
                sys.displayhook,
                sys.breakpointhook,
                threading.excepthook,
                __import__,
                print,
                open,
                sys.gettrace(),
                sys.getprofile(),
            )
        ],
        "standard streams": [_name(one) for one in (sys.__stdout__, sys.__stderr__, sys.__stdin__)],
        "warning filters": [[one[0], str(one[1]), str(one[2]), str(one[3])] for one in warnings.filters],
        "warning functions": [_name(warnings.showwarning), _name(warnings.warn)],
        "garbage collector": [
            gc.isenabled(),
            list(gc.get_threshold()),
            [_name(one) for one in gc.callbacks],
            gc.get_debug(),
        ],
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "umask": mask,
        "niceness": os.nice(0),
        "locale": locale.setlocale(locale.LC_ALL),
        "socket timeout": socket.getdefaulttimeout(),
        "faulthandler": faulthandler.is_enabled(),
        "event loop policy": kind(asyncio.get_event_loop_policy()),
        "threads": sorted(kind(one) for one in threading.enumerate() if not _is_ours(one)),
        "logging": _logging(),
        "NumPy": [dict(np.geterr()), {key: str(value) for key, value in np.get_printoptions().items()}],
        "Keras": keras_settings(),
        "TensorFlow": tensorflow_settings(),
    }


def keras_settings() -> dict[str, Any]:
    """Keras' global settings."""
    return {
        "backend": keras.backend.backend(),
        "floatx": keras.config.floatx(),
        "policy": keras.config.dtype_policy().name,
        "interactive": keras.config.is_interactive_logging_enabled(),
        "traceback filtering": keras.config.is_traceback_filtering_enabled(),
        "custom objects": sorted(keras.saving.get_custom_objects()),
    }


def tensorflow_settings() -> dict[str, Any]:
    """TensorFlow's global settings."""
    return {
        "eager functions": tf.config.functions_run_eagerly(),
        "eager": tf.executing_eagerly(),
        "soft placement": tf.config.get_soft_device_placement(),
        "jit": str(tf.config.optimizer.get_jit()),
        "threads": [
            tf.config.threading.get_inter_op_parallelism_threads(),
            tf.config.threading.get_intra_op_parallelism_threads(),
        ],
        "strategy": tf.distribute.has_strategy(),
    }


def next_numbers() -> dict[str, Any]:
    """What every generator gives next, and how the next things made are called."""
    return {
        "python": random.random(),
        "numpy": float(np.random.rand()),
        "tensorflow": float(tf.random.uniform(())),
        "tensorflow in a graph": _in_a_graph(),
        "keras": float(keras.random.uniform(())),
        "keras seeds": [keras.random.SeedGenerator().state.numpy().tolist() for _ in range(2)],
        "tensorflow's generator": tf.random.get_global_generator().state.numpy().tolist(),
        "initializer": keras.initializers.GlorotUniform()((2, 2)).numpy().tolist(),
        "layer": keras.layers.Dense(1).name,
        "model": keras.Sequential().name,
        "optimizer": keras.optimizers.Adam().name,
        "metric": keras.metrics.Mean().name,
        "seed generator": keras.random.SeedGenerator().name,
        "operation": tf.Graph().unique_name("op"),
        "python hash": hash("text"),
    }


def _in_a_graph() -> float:
    @tf.function  # type: ignore[untyped-decorator]
    def draw() -> Any:
        return tf.random.uniform(())

    return float(draw())


def _is_ours(thread: threading.Thread) -> bool:
    return thread.name.startswith(OURS) or type(thread).__module__.startswith(OURS)


def _wakeup() -> int:
    now = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(now)
    return now


def _named(one: Any) -> bool:
    return isinstance(one, signal.Signals)


def _name(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None) or ADDRESS.sub("", repr(thing))
    return f"{getattr(thing, '__module__', '')}.{name} of {kind(thing)}"


def _logging() -> dict[str, Any]:
    """The loggers that exist, without those of the runtime's own libraries that nobody has set."""
    found = {}
    manager = logging.root.manager
    for name, one in [("", logging.root), *sorted(manager.loggerDict.items())]:
        if not isinstance(one, logging.Logger) or name.startswith(OURS):
            continue
        config = [one.level, one.propagate, one.disabled, [kind(handler) for handler in one.handlers]]
        config.append([kind(rule) for rule in one.filters])
        if config != [0, True, False, [], []]:
            found[name] = config
    return {
        "loggers": found,
        "disabled below": manager.disable,
        "class": kind(logging.getLoggerClass()),
        "factory": _name(logging.getLogRecordFactory()),
        "last resort": kind(logging.lastResort),
        "levels": sorted(logging.getLevelNamesMapping().items()),
    }
