"""The benchmarks' driver, and the arithmetic of a whole training's overhead."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

import bench
import overhead
from sections import Goal, Section


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    good, bad = ModuleType("part_good"), ModuleType("part_bad")
    found = Section("Good", ("what", "how much"), [("it", "1")], [Goal("so much", reached=True)])
    good.section = lambda quick: found  # type: ignore[attr-defined]
    bad.section = lambda quick: 1 / 0  # type: ignore[attr-defined]
    for module in (good, bad):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(bench, "PARTS", ("part_bad", "part_good"))
    made = typer.Typer()
    made.command()(bench.main)
    return made


def test_a_part_that_fails_is_told_and_the_others_go_on(app: typer.Typer, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["--only", "part_bad", "--only", "part_good", "--out", str(tmp_path)])
    assert told.exit_code == 1
    assert "ZeroDivisionError" in told.output
    document = json.loads((tmp_path / "results.json").read_text())
    assert [one["title"] for one in document["sections"]] == ["Good"]
    assert list(document["failed"]) == ["part_bad"]
    page = (tmp_path / "results.md").read_text()
    assert "part_bad could not be measured" in page
    assert "- reached: so much" in page


def test_one_part_alone(app: typer.Typer, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["--only", "part_good", "--out", str(tmp_path)]).exit_code == 0


def test_what_is_not_there_is_told(app: typer.Typer, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["--only", "part_none", "--out", str(tmp_path)])
    assert told.exit_code == 2
    assert "part_none" in told.output


def test_blocks_are_chosen_by_the_beginning_of_their_name() -> None:
    assert bench._wanted("dense:saturated:30", ["dense"])
    assert bench._wanted("dense:saturated:30", ["lost", "dense:saturated"])
    assert not bench._wanted("dense:saturated:300", ["dense:saturated:30"])


def turn(step: float, *, snapshots: int = 1) -> dict[str, object]:
    return {"times": [step] * 9 + [2 * step], "snapshots": snapshots, "stored": 10_000_000}


def test_what_drifts_steadily_is_no_overhead() -> None:
    steps = [0.1 * (1 + 0.01 * place) for place in range(7)]
    section = overhead.evaluate(
        300, [turn(one, snapshots=0) for one in steps[::2]], [turn(one) for one in steps[1::2]], judged=True
    )
    assert section.rows[2][1] == "0.00 ± 0.00 %"
    assert [goal.reached for goal in section.goals] == [True]


def test_what_snapshots_take_is_overhead() -> None:
    section = overhead.evaluate(300, [turn(0.1, snapshots=0)] * 3, [turn(0.102)] * 2, judged=True)
    assert section.rows[2][1] == "2.00 ± 0.00 %"
    assert section.rows[1][3:] == ("2", "20")
    assert [goal.reached for goal in section.goals] == [False]
    assert "2.00% to 2.00% with 50% confidence" in section.goals[0].text


def test_what_is_too_short_reaches_nothing() -> None:
    assert not overhead.evaluate(30, [turn(0.1)] * 2, [turn(0.1)], judged=False).goals
