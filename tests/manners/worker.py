"""Runs many programs in one process, ``alone`` or ``followed``, and writes down what each let be seen."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import os
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import colab_bootstrap
from helpers.forks import keep_imports
from manners.programs import load
from manners.seen import ADDRESS, Seen
from manners.surroundings import next_numbers, process_wide

SEED = 7
DURATION = re.compile(r"\b\d+(\.\d+)?(us|ms|s|min|h)\b")
BACKSPACES = re.compile("\b+")
"""As many as the bar before was wide, with its time."""

FOLLOWED_SECONDS = 0.05
"""A snapshot at every other step or so: the manners must not depend on its being seldom."""

SPEAKS = "holdfast: "

NUMPY_WARNS = "__array__ implementation doesn't accept a copy keyword"
"""Whenever Keras traces a step: once more or less often where a model is built before, which `traced` shows."""


TENSORFLOW_COUNTS = "triggered tf.function retracing"
"""A warning from a count over all threads and programs of the process; what is traced, `traced` shows."""


class Records(logging.Handler):
    """Keeps what every logger of the process lets through, but the runtime's own."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = ADDRESS.sub("", record.getMessage())
        if not record.name.startswith("holdfast") and TENSORFLOW_COUNTS not in text:
            self.kept.append(f"{record.name} {record.levelname} {text}")


def run(name: str, folder: Path, *, followed: bool) -> dict[str, Any]:
    """Runs one program, and returns everything that can be seen of it."""
    begun = time.monotonic()
    work = folder / "work"
    work.mkdir(parents=True)
    program = load(name)
    os.chdir(work)
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(SEED)
    tf.random.set_global_generator(tf.random.Generator.from_seed(SEED))
    seen, out, errors, records = Seen(work), io.StringIO(), io.StringIO(), Records()
    before = process_wide()
    said: list[str] = []
    logging.root.addHandler(records)
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        if followed:
            store, spool = str(folder / "store"), str(folder / "spool")
            handle = colab_bootstrap.start(
                store, name, spool=spool, snapshot_seconds=FOLLOWED_SECONDS, persist_seconds=86_400
            )
            seen.settle = handle._session.flush
        try:
            program(seen)
        except BaseException as error:
            seen.error("raised", error)
        seen.notes["process"] = process_wide(running=True)
        seen.notes["next"] = next_numbers()
        if followed:
            handle._session.flush()
            said.append(f"snapshot {handle.status().snapshot}")
            colab_bootstrap.stop()
        seen.notes["process after stop"] = process_wide()
    logging.root.removeHandler(records)
    seen.notes["process before"] = before
    seen.notes["process after"] = process_wide()
    seen.notes["warnings"] = [
        [one.category.__name__, str(one.message), Path(one.filename).name, one.lineno]
        for one in warned
        if not str(one.message).startswith(NUMPY_WARNS)
    ]
    seen.notes["log"] = records.kept
    seen.notes["files"] = files(work)
    for key, stream in (("standard output", out), ("standard error", errors)):
        seen.notes[key], lines = apart(stream.getvalue())
        said += lines
    return {"seen": seen.notes, "said": said, "seconds": round(time.monotonic() - begun, 2)}


def apart(text: str) -> tuple[list[str], list[str]]:
    """The program's lines, with no time spans in them, and the runtime's."""
    lines = text.split("\n")
    theirs = [BACKSPACES.sub("\b", DURATION.sub("TIME", line)) for line in lines if not line.startswith(SPEAKS)]
    return theirs, [line for line in lines if line.startswith(SPEAKS)]


def files(folder: Path) -> list[str]:
    """The files that the program left."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def main() -> None:
    """``worker ROLE FOLDER OUT NAME…``"""
    role, base, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    sys.argv[1:] = []
    home = Path.cwd()
    found = {}
    keep_imports()
    for name in json.loads(os.environ.pop("MANNERS_PROGRAMS")):
        print(f"{role} {name}", file=sys.stderr, flush=True)
        found[name] = run(name, base / role / name, followed=role == "followed")
        os.chdir(home)
        out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
