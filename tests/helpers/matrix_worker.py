"""What a matrix's worker does beside training: its processes, and how they are ended.

``worker.py FOLDER WORD…``, see `matrix`. Each half of the cases has a process for the uninterrupted trainings,
one for each of the kills, and one for what comes after them: these resume what a process before them began.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import colab_bootstrap
from helpers.forks import AT_ONCE, Part, work_through
from helpers.matrix import Word
from holdfast.hooks.handle import Handle

Actions = dict[str, Callable[[], None]]
"""What is done at which moments of a training."""

Train = Callable[[str, Path, Actions], Any]
"""Builds a case anew and trains it; returns everything that must come out equal."""

SEED: Final = 11


class Killed(BaseException):
    """Ends a training as a kill would: nothing of the runtime gets to act on it."""


class Interrupting:
    """A callback that does something at given moments; counts them in attributes, which are restored.

    Moments: ``s7`` after the seventh step of the call, ``v2`` in its second validation, ``e2`` at its second
    epoch's end.
    """

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self.actions = actions
        self.steps = self.validations = self.ended = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        self._reach(f"s{self.steps}")

    def on_test_begin(self, logs: Any = None) -> None:
        self.validations += 1

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self._reach(f"v{self.validations}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ended += 1
        self._reach(f"e{self.ended}")

    def _reach(self, moment: str) -> None:
        self.actions.get(moment, lambda: None)()


def start(case: str, folder: Path) -> Handle:
    """Starts the runtime, as a new kernel would."""
    colab_bootstrap.stop()
    return colab_bootstrap.start(str(folder / "store"), run=case, spool=str(folder / "spool"))


def not_ended(case: str) -> AssertionError:
    """A training went past the moment at which it was to end."""
    return AssertionError(f"{case} was not interrupted")


def killed(train: Train, word: Word, place: int, folder: Path) -> None:
    """Trains until a checkpoint was taken, goes on to the moment of the kill, and is gone."""
    checkpoint, end = word.kills[place]
    handle = start(word.case, folder)

    def die() -> None:
        handle._session.closed = True  # from here on as if the process were gone
        raise Killed

    try:
        train(word.case, folder, {checkpoint: handle.checkpoint, end: die})
        raise not_ended(word.case)
    except Killed:
        handle._session.closed = False
    colab_bootstrap.stop()


def resumed(train: Train, word: Word, folder: Path) -> Any:
    """Resumes what was killed, is interrupted once more, and reruns in the same process to the end."""
    start(word.case, folder)

    def interrupt() -> None:
        raise KeyboardInterrupt

    try:
        train(word.case, folder, {word.interrupt: interrupt})
        raise not_ended(word.case)
    except KeyboardInterrupt:
        pass
    found = train(word.case, folder, {})
    colab_bootstrap.stop()
    return found


def work(train: Train, resume: Callable[[Train, Word, Path], Any] = resumed) -> None:
    """Runs the words of the command line."""
    base, words = Path(sys.argv[1]), [Word.parse(text) for text in sys.argv[2:]]
    cases = list(dict.fromkeys(word.case for word in words))
    jobs = []
    for lane in range(AT_ONCE):
        mine = cases[lane::AT_ONCE]
        jobs.append(_parts(train, resume, base / f"lane-{lane}", [word for word in words if word.case in mine]))
    work_through(jobs)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parts(
    train: Train, resume: Callable[[Train, Word, Path], Any], base: Path, words: list[Word]
) -> Iterator[Part]:
    """The processes of some of the words, one after another."""

    def folder(name: str) -> Path:
        made = base / name.replace(":", "_")
        made.mkdir(parents=True, exist_ok=True)
        return made

    def write(role: str, found: dict[str, Any]) -> None:
        (base / f"{role}.json").write_text(json.dumps(found), encoding="utf-8")

    def reference() -> None:
        found: dict[str, Any] = {}
        for case in dict.fromkeys(word.case for word in words):
            _tell(f"reference {case}")
            found[case] = train(case, folder(case), {})
        write("reference", found)

    def kill(place: int) -> None:
        for word in words:
            if place < len(word.kills):
                _tell(f"killed {word.text}")
                killed(train, word, place, folder(word.text))

    def go_on() -> None:
        found = {}
        for word in words:
            _tell(f"resumed {word.text}")
            found[word.text] = resume(train, word, folder(word.text))
        write("resumed", found)

    if not words:
        return
    yield Part(base / "reference.log", reference)
    for place in range(max(len(word.kills) for word in words)):
        yield Part(base / f"killed-{place}.log", partial(kill, place))
    yield Part(base / "resumed.log", go_on)
