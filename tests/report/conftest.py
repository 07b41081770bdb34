"""The page in the real browser: `browse` opens it from a file, and fails the test on any message, error or request."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def browse(browser: "Browser", tmp_path: Path) -> "Iterator[Callable[..., Page]]":
    """`browse(folder_or_html, width=1400, dark=False, fragment="", script=True)`: the page, opened from its file.

    The folder holds an ``index.html``; a text is written to one. The test fails if the page says anything on the
    console, throws, or asks for anything but itself.
    """
    complaints: list[str] = []
    with ExitStack() as contexts:

        def open_page(
            shown: Path | str,
            width: int = 1400,
            *,
            dark: bool = False,
            fragment: str = "",
            script: bool = True,
            **options: Any,
        ) -> "Page":
            if isinstance(shown, str):
                shown, text = tmp_path / f"page-{os.urandom(4).hex()}.html", shown
                shown.write_text(text, encoding="utf-8")
            path = shown / "index.html" if shown.is_dir() else shown
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if dark else "light",
                java_script_enabled=script,
                offline=True,
                **options,
            )
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("console", lambda message: complaints.append(f"console: {message.text}"))
            page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            page.on(
                "request",
                lambda request: (
                    None
                    if request.url.split("#")[0] == path.as_uri() or request.url.startswith("data:")
                    else complaints.append(f"request: {request.url}")
                ),
            )
            page.goto(path.as_uri() + (f"#{fragment}" if fragment else ""))
            if script:
                page.locator("html.drawn").wait_for()  # the program unpacks its data first
            return page

        yield open_page
    assert complaints == []


@pytest.fixture(scope="session")
def violations() -> "Callable[[Page], list[tuple[str, list[str]]]]":
    """What axe finds on a page as it stands: the rule, and the first elements that break it."""
    axe = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")

    def run(page: "Page") -> list[tuple[str, list[str]]]:
        page.evaluate(axe)
        results = page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            (one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in results["violations"]
        ]

    return run
