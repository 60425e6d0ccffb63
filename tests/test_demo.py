"""The demo: a notebook in real kernels, killed twice, ends with the bits of one undisturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import nbformat
import numpy as np
import psutil
import pytest

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
ROWS: Final = ("Weights", "Optimizer state", "Metrics", "History", "Loss of every step")
LONGEST_SECONDS: Final = 540
"""The demo takes about two minutes; a busy machine may take longer."""


@pytest.fixture(autouse=True)
def examples_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def test_killed_twice_the_notebook_ends_with_the_same_bits(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--out", str(out)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in (out / "table.txt").read_text("utf-8").splitlines()]
    for row in ROWS:
        (line,) = (line for line in lines if line.startswith(f"{row}  "))
        assert line.endswith(" equal"), line
    (killed,) = (line for line in lines if line.startswith("kernel killed"))
    assert "kernel restart" in killed
    assert "(spool)" in killed
    (lost,) = (line for line in lines if line.startswith("machine and its disk lost"))
    assert "runtime reset" in lost
    assert "(store)" in lost
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert not _processes_of(out)


def test_a_failing_cell_is_shown_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    import demo

    notebook = tmp_path / "failing.ipynb"
    cell = {"cell_type": "code", "id": "broken", "source": "hopeless = {}['no such key']", "metadata": {}}
    content: dict[str, Any] = {"cells": [cell | {"outputs": [], "execution_count": None}], "metadata": {}}
    notebook.write_text(json.dumps(content | {"nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    monkeypatch.setattr(demo, "NOTEBOOK", notebook)

    with pytest.raises(typer.Exit) as caught:
        demo.main(tmp_path / "out")

    assert caught.value.exit_code == 1
    said = capsys.readouterr().out
    assert "KeyError: 'no such key'" in said
    assert "'broken' failed" in said
    assert not _processes_of(tmp_path / "out")


def test_the_notebook_is_valid_and_begins_with_the_one_line() -> None:
    from demo_parts.kernel import read_notebook

    nbformat.validate(nbformat.read(EXAMPLES / "digits.ipynb", as_version=4))  # type: ignore[no-untyped-call]
    assert read_notebook(EXAMPLES / "digits.ipynb")[0].code == "import colab_bootstrap; colab_bootstrap.start()"


def _flip_a_bit(folder: Path) -> None:
    with np.load(folder / "state.npz") as file:
        state = dict(file)
    state["weights/00 kernel"].view(np.uint32)[1] ^= 1
    np.savez(folder / "state.npz", **state)


def _change_history(folder: Path) -> None:
    record = {"epoch": [0, 1], "history": {"loss": [0.5, 0.25000000000000006]}}
    (folder / "history.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "row", "difference"),
    [
        (lambda _: None, "", ""),
        (_flip_a_bit, "Weights", "1 differ, the first is weights/00 kernel"),
        (_change_history, "History", "loss in epoch 2: 0.25 became 0.25000000000000006"),
    ],
)
def test_the_comparison_finds_what_differs(
    tmp_path: Path, damage: Callable[[Path], None], row: str, difference: str
) -> None:
    from demo_parts.compare import compare

    folders = [tmp_path / "plain", tmp_path / "held"]
    for folder in folders:
        _save_an_end(folder)
    damage(folders[1])

    found = compare(folders[0], folders[1], _steps(), _steps())

    assert [one.what for one in found] == list(ROWS)
    assert {one.what: one.difference for one in found if not one.equal} == ({row: difference} if row else {})


def test_the_comparison_finds_a_step_left_out() -> None:
    from demo_parts.compare import compare_losses

    assert compare_losses(_steps(), _steps()).equal
    assert compare_losses(_steps(), _steps()[:2]).difference == "step 3 is missing"


def _save_an_end(folder: Path) -> None:
    folder.mkdir()
    tensor = np.arange(4, dtype=np.float32)
    state = {f"{kind}/00 kernel": tensor for kind in ("weights", "optimizer", "metrics")}
    np.savez(folder / "state.npz", **state)
    record = {"epoch": [0, 1], "history": {"loss": [0.5, 0.25]}}
    (folder / "history.json").write_text(json.dumps(record), encoding="utf-8")


def _steps() -> list[Any]:
    from demo_parts.steps import Step

    return [Step(number, 0, number - 1, 1 / number, float(number)) for number in (1, 2, 3)]


def _processes_of(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or [])
    ]
