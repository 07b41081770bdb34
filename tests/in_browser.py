"""What tests of pages in the browser share."""

import os
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


def chromium() -> str:
    """The path of Chromium; without it or without Playwright, the test is skipped.

    With ``CLIPDYN_BROWSER=required``, as in CI, it fails.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is not None and find_spec("playwright") is not None:
        return found
    missing = "no Chromium on the PATH" if found is None else "no Playwright"
    if os.environ.get("CLIPDYN_BROWSER") == "required":
        pytest.fail(f"{missing}, but CLIPDYN_BROWSER=required: install it.", pytrace=False)
    pytest.skip(missing)


def until(page: "Page", script: str) -> None:
    """Wait for a script to be true. Playwright's own waiting would need `eval`, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(script):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within ten seconds: {script}")
