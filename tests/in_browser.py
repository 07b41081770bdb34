"""What tests of pages in the browser share."""

import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


def chromium() -> str:
    """The path of Chromium; without it or without Playwright, the test is skipped, and fails in CI (skips.py)."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is not None and find_spec("playwright") is not None:
        return found
    pytest.skip("no Chromium on the PATH" if found is None else "no Playwright")


def until(page: "Page", script: str) -> None:
    """Wait for a script to be true. Playwright's own waiting would need `eval`, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(script):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within ten seconds: {script}")


def choose(page: "Page", section: str, **choices: str) -> None:
    """Choose in the selects of a section by their labels; some of them are behind a button."""
    place = page.locator(section)
    for more in place.locator(".more:not(:has(:checked)):not([open] > *):visible").all():
        more.click()
    for label, value in choices.items():
        place.get_by_label(label.replace("_", " "), exact=True).select_option(value)
