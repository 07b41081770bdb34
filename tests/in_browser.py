"""What tests of pages in the browser share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


def until(page: "Page", script: str) -> None:
    """Wait for a script to be true. Playwright's own waiting would need `eval`, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(script):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within ten seconds: {script}")
