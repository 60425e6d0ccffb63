"""Bars: shown where somebody looks, and only where it takes long."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.runtime import progress
from holdfast.runtime.progress import LONG_BYTES, batches_bar, bytes_bar

CODE = """
import sys
from holdfast.runtime.progress import bytes_bar
with bytes_bar("reading from the store", int(sys.argv[1])) as bar:
    bar.update(10)
"""


def on_a_terminal(total: int) -> str:
    """What a program with such a bar shows on a terminal's standard error."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", CODE, str(total)], stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # what a terminal without any program says
            pass
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_a_long_read_has_a_bar_on_a_terminal() -> None:
    assert "holdfast: reading from the store" in on_a_terminal(LONG_BYTES + 1)


def test_a_short_one_has_none() -> None:
    assert on_a_terminal(LONG_BYTES) == ""


def test_a_script_whose_output_goes_to_a_file_has_none(tmp_path: Path) -> None:
    with open(tmp_path / "err", "wb") as file:
        subprocess.run([sys.executable, "-c", CODE, str(10 * LONG_BYTES)], stderr=file, check=True)
    assert (tmp_path / "err").read_bytes() == b""


def test_a_notebook_has_one(said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert said == []  # lines go elsewhere than to standard error, as in a notebook
    with bytes_bar("reading", LONG_BYTES + 1) as bar:
        bar.update(LONG_BYTES)
    assert "holdfast: reading" in capsys.readouterr().err


def test_batches_have_one_once_they_take_longer_than_a_moment(
    said: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said == []
    for delay, shown in ((3600.0, False), (0.0, True)):
        monkeypatch.setattr(progress, "DELAY_SECONDS", delay)
        with batches_bar("skipping", 3) as bar:
            bar.update()
        assert ("skipping" in capsys.readouterr().err) == shown


def test_a_bar_starts_no_thread() -> None:
    code = f"import threading{CODE}    print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code, "10"], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
