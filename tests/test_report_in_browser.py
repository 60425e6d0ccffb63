"""The report of a run in a browser: accessible, in both themes, and no wider than a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.browser import DESKTOP, PHONE, chromium, needs_chromium, opened, picture, violations
from helpers.told_store import BEGUN, story_of, tell
from holdfast.runtime.report_page import page_of
from holdfast.runtime.retention import Policy
from holdfast.runtime.stores import FolderStore

pytestmark = [needs_chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def test_axe_finds_nothing_wrong_in_a_report_and_it_fits_a_phone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    tell(store)
    file = tmp_path / "report.html"
    file.write_text(page_of(story_of(store, tmp_path / "local"), Policy(), BEGUN + 1000), encoding="utf-8")
    with chromium() as browser:
        page = opened(browser, file.as_uri())
        found = []
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)
            for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
                page.set_viewport_size(size)
                picture(page, f"report-{name}-{theme}", tmp_path)
                found += violations(page, "main")
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= size["width"], f"{wide} pixels wide on a {name}"
    assert found == []
