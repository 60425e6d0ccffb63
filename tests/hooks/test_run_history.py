"""The story of the running run: a training killed after some epochs, told by the session that resumed it."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from jupyter_client.manager import KernelManager

from helpers.told_store import tell
from helpers.training import Start
from holdfast.hooks import run_history
from holdfast.runtime.stores import FolderStore


class Broken(Exception):
    """What ends a training in the tests."""


def break_at(step: int) -> keras.callbacks.Callback:
    """Ends a training after so many steps."""
    steps = itertools.count(1)

    def on_train_batch_end(batch: int, logs: Any = None) -> None:
        if next(steps) == step:
            raise Broken

    return keras.callbacks.LambdaCallback(on_train_batch_end=on_train_batch_end)


def test_a_resumed_training_is_told_and_drawn_by_its_own_session(
    start: Start, data: tuple[Any, Any], model: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    handle = start()
    run_history.history(handle._session)
    run_history.plot(handle._session)
    assert "no loss is recorded of run 'test' so far" in capsys.readouterr().out
    with pytest.raises(Broken):
        model().fit(*data, epochs=4, batch_size=8, verbose=0, callbacks=[break_at(12)])
    handle = start()
    trained = model()
    fitted = trained.fit(*data, epochs=4, batch_size=8, verbose=0)
    story = run_history.read(handle._session)
    [slot] = story.slots
    [call] = slot.calls
    assert [values["loss"] for _, values in sorted(call.values.items())] == fitted.history["loss"]
    [back] = slot.returns
    assert (back.note.action, back.saved_epochs, back.saved_batches) == ("resume", 2, 2)
    assert [one.ending for one in story.sessions] == ["ended", "runs"]
    run_history.history(handle._session)
    run_history.plot(handle._session)
    out = capsys.readouterr().out
    assert "call 1: 4/4 epochs, done; loss " in out
    assert "slot-0000 call 1 resumed: 2 epochs and 2 batches done" in out
    assert "interrupted and resumed at 2 epochs and 2 batches" in out


def test_a_replay_is_noted_once_something_is_trained_after_it(
    start: Start, data: tuple[Any, Any], model: Callable[..., Any]
) -> None:
    start()
    model().fit(*data, epochs=2, batch_size=8, verbose=0)
    handle = start()
    again = model()
    again.fit(*data, epochs=2, batch_size=8, verbose=0)
    assert [one.action for one in handle._session.journal.resumptions] == ["replay"]
    again.fit(*data, epochs=1, batch_size=8, verbose=0)
    handle.wait()
    [slot] = run_history.read(start()._session).slots
    assert [(one.note.action, one.saved_epochs, one.lost) for one in slot.returns] == [("replay", 2, "nothing")]


PLOT = """
from holdfast.hooks import run_history
from holdfast.runtime.session import Session
from holdfast.runtime.settings import Settings
session = Session.open(Settings(store={store!r}, run="run", spool={spool!r}))
run_history.plot(session, "dark")
session.close()
"""


def test_a_notebook_gets_a_picture_with_its_text(tmp_path: Path) -> None:
    tell(FolderStore(tmp_path / "store"))
    manager = KernelManager()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    shown: list[dict[str, Any]] = []

    def collect(message: dict[str, Any]) -> None:
        if message["msg_type"] in ("display_data", "error"):
            shown.append(message["content"])

    try:
        client.wait_for_ready(timeout=300)
        cell = PLOT.format(store=str(tmp_path / "store"), spool=str(tmp_path / "spool"))
        client.execute_interactive(cell, timeout=300, output_hook=collect)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    [picture] = [one["data"]["text/html"] for one in shown]
    found = re.fullmatch(r'<img .* alt="([^"]+)" src="data:image/png;base64,([^"]+)">', picture)
    assert found is not None
    text, source = found.groups()
    assert text.startswith("slot-0000: loss from 1 to 0.1667 over 6 epochs")
    assert base64.b64decode(source).startswith(b"\x89PNG")
