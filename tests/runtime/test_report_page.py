"""The report of a run: one page that needs nothing else, and in which no text of the store does anything."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.strategies import json_values, meddled
from helpers.told_store import BEGUN, CARRIED, KEPT, NOTES, RUN, put, state, story_of, tell
from holdfast.runtime import cli
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.exit_codes import ExitCode
from holdfast.runtime.journal import Journal, Place, TrainingCall
from holdfast.runtime.names import Stem
from holdfast.runtime.report_page import page_of
from holdfast.runtime.retention import Policy
from holdfast.runtime.stores import FolderStore

MADE = BEGUN + 1000
WILD = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}'
ELEMENTS = frozenset(
    re.findall(
        r"\w+",
        "html head meta title style body header main section h1 h2 h3 h4 p dl div dt dd strong small figure "
        "figcaption table caption thead tbody tr th td ul li svg g path rect text tspan line polyline defs use "
        "clippath metadata",
    )
)
"""All that the page and matplotlib's pictures are made of."""


class Page(HTMLParser):
    """A page taken apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    def all(self, *tags: str) -> list[dict[str, str]]:
        """The attributes of each of these elements."""
        return [attributes for tag, attributes in self.elements if tag in tags]


def told(folder: Path) -> str:
    top = FolderStore(folder / "store")
    tell(top)
    return page_of(story_of(top, folder / "local"), Policy(), MADE)


def check_harmless(text: str) -> Page:
    """Makes sure that a page has no element, handler or address but its own."""
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    return page


def test_the_page_needs_nothing_else_and_is_the_same_each_time(tmp_path: Path) -> None:
    text = told(tmp_path / "a")
    check_harmless(text)
    assert "@import" not in text
    assert "url(http" not in text
    again = told(tmp_path / "b")
    assert again == text.replace(str(tmp_path / "a"), str(tmp_path / "b"))


def test_the_page_can_be_read_without_seeing_it(tmp_path: Path) -> None:
    page = check_harmless(told(tmp_path))
    assert page.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:], strict=False))
    assert len(page.all("table")) == len(page.all("caption")) == 2
    assert all(one["scope"] in ("col", "row") for one in page.all("th"))
    pictures = [one for _, one in page.elements if one.get("role") == "img"]
    assert len(pictures) == 2  # without tensors nothing is stored that could be drawn over time
    assert all(len(one["aria-label"]) > 20 for one in pictures)


def test_the_numbers_claim_no_more_than_is_known(tmp_path: Path) -> None:
    page = check_harmless(told(tmp_path))
    text = " ".join(page.text.split())
    assert "Work saved 4 epochs and 10 batches" in text
    assert "Work lost at least 1.25 epochs; not known for 1 of 2 resumptions trained" in text
    assert "Interruptions 2 known sessions that did not end by themselves; of 1 more it is not known" in text
    assert "Checkpoints 4 written" in text
    assert "whether it is confirmed cannot be told from a store alone" in text
    assert "milestone, named by the journal" in text


def test_an_empty_run_is_told_without_pictures(tmp_path: Path) -> None:
    page = check_harmless(page_of(story_of(FolderStore(tmp_path / "store"), tmp_path), Policy(), MADE))
    text = " ".join(page.text.split())
    for said in ("knows of no session", "No checkpoint tells", "Nothing is stored", "There is no checkpoint"):
        assert said in text


def wild_journal() -> Journal:
    made = Journal()
    slot = made.add(WILD, (WILD,), Place(WILD, 0))
    slot.name = f"{WILD}-0000"
    slot.record(0, TrainingCall({WILD: WILD}, 9, 3, slot=WILD))
    for note in NOTES:
        made.note(replace(note, slot=slot.name[:100], action=WILD))
    return made


def test_text_of_the_store_is_text_on_the_page(tmp_path: Path) -> None:
    top, made = FolderStore(tmp_path / "store"), wild_journal()
    value = state(3, history={WILD: [3.0, 2.0, 1.0], f"val_{WILD}": [3.0, 2.0, 1.0]}, logs={WILD: 1.0})
    put(top.under(RUN), KEPT, value, made, at=BEGUN, slots=(made.slots[0].name,))
    page = check_harmless(page_of(story_of(top, tmp_path / WILD.replace("/", "")), Policy(), MADE))
    assert "<script>alert(2)</script>{{ 7 * 7 }}" in page.text
    assert "49" not in page.text.replace("00049", "")


def wilder(value: Any) -> Any:
    """JSON in which every text tries to be an element."""
    match value:
        case str():
            return f"{WILD}{value}"
        case list():
            return [wilder(one) for one in value]
        case dict():
            return {key: wilder(one) for key, one in value.items()}
    return value


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_manifests_hold_the_page_is_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    top, made = FolderStore(folder / "store"), wild_journal()
    names = data.draw(st.lists(st.text(max_size=8), min_size=1, max_size=3, unique=True))
    numbers = st.lists(st.floats() | st.integers() | st.none(), min_size=3, max_size=3)
    lists: dict[str, Any] = {wilder(name): data.draw(numbers) for name in names}
    value = data.draw(st.one_of(st.just(state(3, history=lists)), meddled(state(3, history=lists))))
    written = data.draw(st.one_of(st.just(made.to_dict()), meddled(made.to_dict())))
    extra = data.draw(json_values)
    if not isinstance(value, dict) or not isinstance(written, dict):
        return
    slot = made.slots[0].name[:100]
    put(top.under(RUN), KEPT, value | {"logs": wilder(extra)}, written, at=BEGUN, slots=(slot,))
    at = data.draw(st.floats(0, 2.0**61))
    put(top.under(RUN), CARRIED, value, written, at=at, slots=(slot, slot), kind="milestone")
    try:
        page = page_of(story_of(top, folder), Policy(), MADE)
    except HoldfastError:
        return
    check_harmless(page)


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_SPOOL", str(tmp_path / "local"))
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "store"))
    tell(FolderStore(tmp_path / "store"))
    return tmp_path


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", *words])
    return int(ended.value.code or 0)


def test_the_command_writes_the_page(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(RUN) == ExitCode.DONE
    page = check_harmless((place / "run.html").read_text())
    assert f"file://{place}/store" in page.text
    assert capsys.readouterr().out.startswith(f"{place / 'run.html'}: 3 sessions, 4 checkpoints")
    assert call(RUN, "--out", str(place / "elsewhere.html")) == ExitCode.DONE
    assert (place / "elsewhere.html").exists()


def test_the_command_says_what_is_wrong(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("nothing") == ExitCode.NOT_FOUND
    assert call(RUN, "--out", str(place / "no" / "such" / "folder.html")) == ExitCode.FAILED
    assert "The page cannot be written" in capsys.readouterr().err


def test_without_matplotlib_the_page_says_so(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert call(RUN) == ExitCode.DONE
    assert "pip install 'holdfast[plot]'" in check_harmless((place / "run.html").read_text()).text
    assert capsys.readouterr().out


def test_a_damaged_manifest_is_named(place: Path) -> None:
    bad = Stem(2, 7, "bbbbbbbb")
    path = place / "store" / RUN / bad.manifest_path
    path.write_text(json.dumps({"format": 1}))
    assert call(RUN) == ExitCode.DONE
    text = check_harmless((place / "run.html").read_text()).text
    assert str(bad) in text
    assert "Not a manifest" in text
