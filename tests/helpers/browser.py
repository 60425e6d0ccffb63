"""A headless Chromium: pages, what is wrong with them for people who cannot see them, pictures of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

GIVE_UP_SECONDS: Final = 300.0
"""How long what must come is waited for. Not a limit on speed: nothing comes this late."""

CHROMIUM: Final = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

FLAGS: Final = (
    "--no-sandbox",  # which containers lack
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

DESKTOP: Final = ViewportSize(width=1280, height=900)
PHONE: Final = ViewportSize(width=390, height=844)

SCREENSHOTS: Final = "HOLDFAST_SCREENSHOTS"
"""Environment variable: the folder in which pictures are kept."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Browser, url: str) -> Page:
    """A page in a browser context of its own."""
    page = browser.new_context(viewport=DESKTOP).new_page()
    page.set_default_timeout(GIVE_UP_SECONDS * 1000)
    page.goto(url)
    return page


def violations(page: Page, selector: str) -> list[str]:
    """What axe finds wrong in a part of a page: rule, how bad it is, and where."""
    page.locator(selector).first.wait_for()  # axe passes over a part that is not there
    found = Axe().run(page, context=selector).response["violations"]
    return [f"{one['id']} ({one['impact']}): {node['html']}" for one in found for node in one["nodes"]]


def picture(page: Page, name: str, otherwise: Path) -> Path:
    """Keeps a picture of what the page shows, under ``$HOLDFAST_SCREENSHOTS`` or else a folder."""
    path = Path(os.environ.get(SCREENSHOTS) or otherwise) / f"{name}.png"
    page.screenshot(path=path)
    return path
