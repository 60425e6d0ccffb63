"""What the panel says: in words, as text and as HTML; never more than is known."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.runtime.budget import Clash, Plan
from holdfast.runtime.panel_html import as_html
from holdfast.runtime.panel_loss import if_kernel_died, if_vm_vanished, is_covered
from holdfast.runtime.panel_text import as_text
from holdfast.runtime.panel_view import LATE_SECONDS, View, view
from holdfast.runtime.run_status import Status
from holdfast.runtime.scheduler import Measured

NOW = 1_800_000_000.0
OURS, NEWER = "00000002-000003-aaaaaaaa", "00000002-000004-aaaaaaaa"
BEFORE = "00000001-000009-bbbbbbbb"

START = Status(
    run="mnist",
    store="gs://bucket/prefix",
    situation="first run",
    snapshot="",
    snapshot_at=0.0,
    written="",
    written_at=0.0,
    confirmed="",
    confirmed_at=0.0,
    unconfirmed="",
    warning="",
    problem="",
)
TRAINING = replace(START, last_step_at=NOW - 1)
SNAPSHOT = replace(TRAINING, snapshot=OURS, snapshot_at=NOW - 12)
CONFIRMED = replace(
    SNAPSHOT,
    written=OURS,
    written_at=NOW - 10,
    confirmed=OURS,
    confirmed_at=NOW - 9,
    confirmed_taken_at=NOW - 12,
    confirmed_here=True,
)
IDLE = replace(CONFIRMED, last_step_at=NOW - 13)
FAILING = replace(
    CONFIRMED, problem="The bucket is full [gs://bucket]. Delete something", problem_since=NOW - 60
)


def shown(status: Status) -> View:
    return view(status, NOW, UTC)


@pytest.mark.parametrize(
    ("status", "level", "headline"),
    [
        (START, "waiting", "Ready: no training step in this session yet"),
        (TRAINING, "waiting", "Not safe yet: nothing of this session is confirmed"),
        (SNAPSHOT, "waiting", "Not safe yet: nothing of this session is confirmed"),
        (CONFIRMED, "safe", "Safe: confirmed up to 12 s ago"),
        (IDLE, "safe", "Safe: all that was trained is confirmed"),
        (FAILING, "risk", "At risk: checkpoints do not reach the store; confirmed up to 12 s ago"),
        (
            replace(SNAPSHOT, problem="no network"),
            "risk",
            "At risk: checkpoints do not reach the store; nothing of this session is confirmed",
        ),
        (
            replace(IDLE, problem="no network"),
            "risk",
            "The store fails now; all that was trained is confirmed there",
        ),
        (replace(CONFIRMED, snapshot_problem="disk full"), "risk", "At risk: snapshots cannot be written"),
        (
            replace(SNAPSHOT, confirmed=BEFORE, confirmed_at=NOW - 1, confirmed_taken_at=NOW - 9999),
            "waiting",
            "Not safe yet: nothing of this session is confirmed",
        ),
        (
            replace(SNAPSHOT, written=OURS, unconfirmed="this store does not tell"),
            "risk",
            "Written, not confirmed: this store does not tell",
        ),
        (replace(CONFIRMED, fenced=True), "stopped", "Training unsaved: another session took the run over"),
        (replace(IDLE, ended=True), "safe", "Stopped: all that was trained is confirmed"),
        (replace(CONFIRMED, ended=True), "safe", "Stopped: the last snapshot is confirmed"),
        (replace(START, ended=True), "waiting", "Stopped: no training step in this session"),
        (replace(TRAINING, ended=True), "risk", "Stopped: no snapshot of this session"),
    ],
)
def test_the_headline_says_how_safe_the_work_is(status: Status, level: str, headline: str) -> None:
    made = shown(status)
    assert (made.level, made.headline) == (level, headline)


def test_a_checkpoint_that_is_long_in_coming_is_a_risk_and_one_that_is_the_newest_is_not() -> None:
    late = 2 * CONFIRMED.persist_seconds + LATE_SECONDS + 1
    old = replace(CONFIRMED, snapshot_at=NOW - late, confirmed_taken_at=NOW - late)
    assert shown(old).level == "safe"
    waiting = replace(old, snapshot=NEWER, snapshot_at=NOW - 12)
    assert (shown(waiting).level, shown(waiting).headline) == (
        "risk",
        "At risk: confirmed only up to 5 min ago",
    )


@pytest.mark.parametrize(
    ("status", "kernel", "machine"),
    [
        (START, "nothing of this session: it has trained no step", "everything: nothing is confirmed yet"),
        (
            TRAINING,
            "all that this session has trained: no snapshot yet",
            "everything: nothing is confirmed yet",
        ),
        (CONFIRMED, "what was trained since then", "what was trained since then"),
        (
            IDLE,
            "nothing: no step has ended since the last snapshot",
            "nothing: no step has ended since the confirmed checkpoint",
        ),
        (
            replace(SNAPSHOT, confirmed=BEFORE),
            "what was trained since then",
            "all that this session has trained: nothing of it is confirmed yet",
        ),
        (
            replace(CONFIRMED, confirmed_taken_at=0.0),
            "what was trained since then",
            f"what was trained since checkpoint {OURS}",
        ),
    ],
)
def test_what_would_be_lost_is_told_as_far_as_it_is_known(status: Status, kernel: str, machine: str) -> None:
    assert if_kernel_died(status, lambda _: "then") == kernel
    assert if_vm_vanished(status, lambda _: "then") == machine


def test_a_folder_may_be_lost_with_the_machine() -> None:
    lost = if_vm_vanished(replace(IDLE, store="file:///content/x"), lambda _: "then")
    assert "everything, if that is on this machine's own disk" in lost


def test_times_are_absolute_and_relative_and_have_a_date_on_another_day() -> None:
    rows = dict(shown(replace(CONFIRMED, written_at=NOW - 86_400)).rows)
    assert rows["Snapshot"] == f"07:59:48 (12 s ago), {OURS}"
    assert rows["Written"] == f"2027-01-14 08:00:00 (24 h 0 min ago), {OURS}"
    assert shown(CONFIRMED).as_of == "08:00:00"


@pytest.mark.parametrize(
    ("done", "total", "since", "says"),
    [
        (0, 0, NOW, "0 B"),
        (25_000_000, 100_000_000, NOW - 10, "25.0 MB of 100.0 MB (25 %), 2.5 MB/s, about 30 s left"),
        (25, 100, NOW - 0.5, "25 B of 100 B (25 %)"),
        (0, 100, NOW - 50, "0 B of 100 B (0 %)"),
        (200, 100, NOW - 10, "200 B of 100 B (100 %), 20 B/s"),
    ],
)
def test_an_upload_has_rate_and_time_left_once_they_are_known(
    done: int, total: int, since: float, says: str
) -> None:
    status = replace(
        CONFIRMED, uploading=NEWER, uploading_bytes=done, uploading_total=total, uploading_since=since
    )
    assert dict(shown(status).rows)["Uploading"] == says


def test_an_upload_to_a_store_that_fails_has_no_time_left() -> None:
    status = replace(
        FAILING, uploading=NEWER, uploading_bytes=25, uploading_total=100, uploading_since=NOW - 10
    )
    assert "left" not in dict(shown(status).rows)["Uploading"]


def test_problems_and_warnings_and_what_is_not_exact_are_shown_with_what_to_do() -> None:
    status = replace(
        FAILING,
        warning="the store is nearly full",
        fenced=True,
        inexact=(("data position", "the state is too large"),),
        said=tuple((NOW, f"line {number}") for number in range(9)),
    )
    for form in (as_text(shown(status)), as_html(shown(status))):
        for words in ("Delete something", "start()", "nearly full", "data position", "too large", "line 8"):
            assert words in form
        assert "line 2" not in form
        assert form.count("as of") == 1


class Elements(HTMLParser):
    """Every element, every attribute and all the text of a piece of HTML; that all are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] != "style":
            self.text += data


anything = st.text(max_size=30) | st.sampled_from(
    ["<script>alert(1)</script>", "</section>", "&amp;", "\" onload='x'", "</style><b>", "\x1b[2J", "a\rb\nc"]
)
moment = st.floats(0, 4e9) | st.sampled_from([0.0, 1e300, float("inf"), -1.0])
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    "str": anything,
    "float": moment,
    "bool": st.booleans(),
    "int": st.integers(-1, 1 << 60),
    "tuple[tuple[str, str], ...]": st.lists(st.tuples(anything, anything), max_size=3).map(tuple),
    "tuple[tuple[float, str], ...]": st.lists(st.tuples(moment, anything), max_size=6).map(tuple),
}
seconds = st.floats(0, 1e7)
clashes = st.builds(Clash, st.sampled_from(["snapshot", "upload"]), seconds, seconds, st.none() | seconds)
plans = st.builds(Plan, seconds, seconds, seconds, st.lists(clashes, max_size=2).map(tuple))
KINDS["Measured | None"] = st.none() | st.builds(Measured, plans, seconds, seconds)
statuses = st.builds(Status, **{one.name: KINDS[one.type] for one in fields(Status)})


@given(statuses)
def test_whatever_a_status_holds_is_escaped_and_shown(status: Status) -> None:
    found = Elements(as_html(shown(status)))
    assert set(found.tags) <= {"style", "section", "p", "strong", "span", "dl", "div", "dt", "dd", "ul", "li"}
    assert found.attributes <= {"style", "class", "role", "aria-label", "aria-hidden"}
    assert status.run in found.text or "\r" in status.run
    text = as_text(shown(status))
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert text.splitlines()[-1].startswith("  as of ")


@given(statuses)
def test_nothing_is_called_safe_that_is_not_confirmed_by_this_session(status: Status) -> None:
    made = shown(status)
    if made.level == "safe":
        assert not status.fenced
        assert status.last_step_at
        assert status.confirmed_here or (status.ended and status.confirmed == status.snapshot)
    if is_covered(status):
        assert status.last_step_at <= status.confirmed_taken_at


def test_the_html_is_one_labelled_region_without_script_or_anything_from_outside() -> None:
    html = as_html(shown(CONFIRMED))
    assert html.count('role="region" aria-label="Holdfast"') == 1
    assert not any(word in html for word in ("<script", "http", "url(", "@import", "onclick"))
    assert "Safe" in Elements(html).text


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(one * 2 for one in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("names", "backgrounds"),
    [("_LIGHT _LIGHT_PAGE", ("#fff",)), ("_DARK _DARK_PAGE", ("#1e1e1e", "#111111", "#212121"))],
)
def test_every_colour_of_text_has_contrast_on_the_panels_own_backgrounds_and_jupyters(
    names: str, backgrounds: tuple[str, ...]
) -> None:
    from holdfast.runtime import panel_html

    pairs = dict(
        one.split(":")
        for name in names.split()
        for one in getattr(panel_html, name).replace("--hf-", "").split(";")
    )
    for background in {pairs.pop("back"), *backgrounds}:
        for colour in (value for name, value in pairs.items() if name != "line"):
            light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (colour, background)
