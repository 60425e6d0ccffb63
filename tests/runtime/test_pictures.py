"""Pictures of a run: what is in them, also where names are wild."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes

from helpers.told_store import BEGUN, EPOCHS, KEPT, RUN, journal, losses, put, state, story_of, tell
from holdfast.runtime.journal import TrainingCall
from holdfast.runtime.picture_forms import png, svg
from holdfast.runtime.pictures import MAX_PANELS, PictureUnavailable, draw_slot, drawable, slot_text
from holdfast.runtime.slot_story import SlotStory
from holdfast.runtime.stores import FolderStore


@pytest.fixture
def told(tmp_path: Path) -> SlotStory:
    tell(FolderStore(tmp_path / "store"))
    [slot] = story_of(FolderStore(tmp_path / "store"), tmp_path).slots
    return slot


def told_of(tmp_path: Path, value: dict[str, Any], call: TrainingCall | None = None) -> SlotStory:
    top = FolderStore(tmp_path / "other")
    put(top.under(RUN), KEPT, value, journal(call or TrainingCall({}, 9, 3)), at=BEGUN)
    return story_of(top, tmp_path).slots[0]


def lines_of(panel: Axes) -> dict[str, list[list[float]]]:
    """The x and y of each labelled line of a panel."""
    return {
        str(line.get_label()): np.asarray(line.get_data(), float).tolist()
        for line in panel.get_lines()
        if not str(line.get_label()).startswith("_")
    }


def test_training_and_validation_share_a_panel_with_what_happened(told: SlotStory) -> None:
    figure = draw_slot(told)
    assert figure is not None
    [panel] = figure.axes
    lines = lines_of(panel)
    whole = losses(range(EPOCHS))
    epochs = [float(number) for number in range(1, EPOCHS + 1)]
    assert lines["training"] == [epochs, whole["loss"]]
    assert lines["validation"] == [epochs, whole["val_loss"]]
    assert lines["checkpoint"][0] == [1.0, 2.25, 3.25]
    assert lines["milestone"][0] == [float(EPOCHS)]
    assert lines["running mean within an epoch"] == [[2.25], [0.4]]
    assert lines["interrupted"][0] == [2.25]
    assert lines["resumed"][0] == [1.0]
    shapes = [line.get_marker() for line in panel.get_lines() if not str(line.get_label()).startswith("_")]
    assert len(set(map(str, shapes))) == len(shapes) - 1, "only a running mean looks like its own series"


def test_each_theme_has_its_own_colours_and_is_a_picture(told: SlotStory) -> None:
    found = set()
    for theme in ("light", "dark"):
        figure = draw_slot(told, theme)
        assert figure is not None
        data = png(figure)
        assert data.startswith(b"\x89PNG")
        found.add(data)
    assert len(found) == 2


def test_where_nothing_is_recorded_there_is_no_picture(tmp_path: Path) -> None:
    slot = told_of(tmp_path, {"call": 0, "position": {"epoch": 3}})
    assert draw_slot(slot) is None
    assert drawable([slot]) == []
    assert slot_text(slot) == "slot-0000: no loss is recorded"


def test_the_words_say_what_the_picture_shows(told: SlotStory) -> None:
    text = slot_text(told)
    assert "loss from 1 to 0.1667 over 6 epochs; val_loss from 1.1 to 0.1833 over 6 epochs" in text
    assert text.endswith("resumed at 1 epoch; interrupted and resumed at 3 epochs and 10 batches")


@pytest.mark.parametrize("name", ["$\\frac{$", "_hidden", "\ud800", "损失", "<script>", "x" * 500, "\x00", ""])
def test_no_name_breaks_a_picture(tmp_path: Path, name: str) -> None:
    slot = told_of(tmp_path, state(3, history={name: [3.0, 2.0, 1.0]}))
    figure = draw_slot(slot, "page")
    assert figure is not None
    assert png(figure)
    ElementTree.fromstring(svg(figure, 0))


def test_of_very_many_metrics_and_epochs_some_are_drawn(tmp_path: Path) -> None:
    many = {f"metric {number}": [float(number)] * 5000 for number in range(30)}
    slot = told_of(tmp_path, state(5000, history=many), TrainingCall({}, 5000, 5000))
    figure = draw_slot(slot)
    assert figure is not None
    assert len(figure.axes) == MAX_PANELS
    xs, _ = lines_of(figure.axes[0])["training"]
    assert len(xs) <= 2000
    assert xs[-1] == 5000.0


def test_a_picture_for_a_page_is_the_same_each_time_and_has_the_pages_colours(told: SlotStory) -> None:
    made = []
    for number in (1, 1, 2):
        figure = draw_slot(told, "page")
        assert figure is not None
        made.append(svg(figure, number))
    assert made[0] == made[1]
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (made[0], made[2])]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert "currentColor" in made[0]
    assert "#0102" not in made[0]


def test_without_matplotlib_the_error_names_the_extra(told: SlotStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PictureUnavailable, match=r"holdfast\[plot\]"):
        draw_slot(told)
