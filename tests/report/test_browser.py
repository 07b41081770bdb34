"""The page in a real browser, where one is installed: shown in a frame of a phone's and of a desk's width."""

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(_BROWSER is None, reason="no Chromium on the PATH")

# The frame has the page's own origin, so that the script around it can look inside; the page itself
# may run none.
_FRAME = """<!doctype html><title>frame</title>
<iframe src="index.html" style="border:0;width:{width}px;height:900px"></iframe><pre></pre>
<script>
onload = () => {{
  const inside = document.querySelector("iframe"), page = inside.contentDocument, root = page.documentElement;
  const shown = [...page.querySelectorAll("svg")].filter(svg => svg.getBoundingClientRect().width > 0);
  const tables = [...page.querySelectorAll("details")];
  tables.forEach(one => one.open = true);
  document.querySelector("pre").textContent = JSON.stringify({{
    overflow: root.scrollWidth - root.clientWidth,
    figures: page.querySelectorAll("figure").length,
    shown: shown.length,
    drawn: shown.filter(svg => svg.getBBox().height > 100 && svg.querySelectorAll("text").length > 5).length,
    widest: Math.max(...shown.map(svg => svg.getBoundingClientRect().right)),
    smallest: Math.min(...shown.flatMap(svg => [...svg.querySelectorAll("text")]
      .map(text => text.getBoundingClientRect().height))),
    background: inside.contentWindow.getComputedStyle(page.body).backgroundColor,
    line: inside.contentWindow.getComputedStyle(page.querySelector("svg text")).fill,
    loaded: inside.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name),
  }});
}};
</script>"""


@pytest.fixture
def look(report, tmp_path):
    """Open a page of two runs in Chromium at a width; what the browser sees, and what it asked for."""
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copy(report / "index.html", folder)
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):  # noqa: A002
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def look(width, *flags):
        (folder / "frame.html").write_text(_FRAME.format(width=width))
        done = subprocess.run(
            [
                str(_BROWSER),
                *[
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--dump-dom",
                ],
                *["--disable-background-networking", "--disable-component-update", "--disable-sync"],
                f"--user-data-dir={tmp_path / 'profile'}",
                "--window-size=1400,1000",
                "--virtual-time-budget=10000",
                *flags,
                f"http://127.0.0.1:{server.server_port}/frame.html",
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        seen = re.search(r"<pre>(\{.*\})</pre>", done.stdout)
        assert seen, done.stderr[-2000:]
        return json.loads(seen[1]), asked

    yield look
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_renders_all_figures_without_scrolling_sideways_or_asking_for_anything(look, width):
    seen, asked = look(width)
    assert seen["overflow"] == 0
    assert seen["widest"] <= width
    assert seen["shown"] == seen["drawn"] == seen["figures"]
    assert seen["smallest"] >= 7.5  # px, the tallest box of the smallest label: legible on a phone
    assert seen["loaded"] == []
    assert set(asked) <= {"/frame.html", "/index.html", "/favicon.ico"}


def test_the_page_and_its_figures_turn_dark_together(look):
    light, _ = look(800)
    dark, _ = look(800, "--force-dark-mode")
    assert light["background"] == "rgb(255, 255, 255)"
    assert dark["background"] == "rgb(22, 25, 29)"
    assert light["line"] == "rgb(31, 35, 40)"
    assert dark["line"] == "rgb(230, 232, 235)"
