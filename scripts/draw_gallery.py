"""Draw the pictures of docs/gallery.md, and the first screen of README: parts of reports, made smaller.

python scripts/draw_gallery.py docs/images/gallery [NAME …] [--demo runs/demo]

`make gallery` calls it. The report of the demo is the one that `clipdyn demo` left; those of the committed tables are
written into a temporary folder. What only a page has is photographed in Chromium.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from hf_clipdyn.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CARDS = Path(__file__).resolve().parents[1] / "model_cards"
FIGURE_DPI = 150  # half of what a report has
TALLEST = 1100  # pixels of what is photographed
PATIENCE = 120_000  # milliseconds, on a busy machine

FIGURES = {
    "demo": """
        summary agreement items shape-bias-procedural zero-shot-procedural noise-procedural
        psychophysics-procedural distortion-procedural decodability-procedural geometry-procedural
        cue-learning-shape-bias-procedural error-consistency-shape-bias-procedural
        learning-order-zero-shot-procedural representation-change-geometry-procedural weights-procedural
    """,
    "study": "arms",
    "second-study/worlds": "claims",
    "classifier": """
        shape-bias-cue-conflict classification-model-vs-human similarity-material-similarity
        representation-objects92 saliency-osie
    """,
    "flickr8k": "retrieval-flickr8k",
}
"""The figures of each report: the demo's, or that of a table of model_cards."""
CLAIMS = {"second-study/worlds": CARDS.parent / "tests" / "statistics" / "claims" / "second-worlds.yaml"}


@dataclass(frozen=True)
class Screen:
    """A photograph of a page.

    Attributes:
        report: as in `FIGURES`.
        place: CSS selector of what is shown; empty for the first screen.
        dark: in the dark palette.
        width, height: pixels of the window.
    """

    report: str = "demo"
    place: str = ""
    dark: bool = False
    width: int = 1200
    height: int = 880


SCREENS = {
    "first-screen": Screen(height=1100),
    "first-screen-dark": Screen(dark=True, height=1100),
    "first-screen-narrow": Screen(width=400),
    "stimuli": Screen(place="#stimuli"),
    "confusion": Screen(place='[data-view="Decisions by class"]'),
    "categories": Screen(place='[data-view="Decisions by class: class by class"]'),
    "models": Screen(report="classifier"),
}
OPEN_TABS = """async (place) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  for (const tab of document.querySelectorAll(".tabs input")) {
    if (document.querySelector(place)?.checkVisibility()) break;
    tab.click();
    await frame();
  }
  document.querySelector(place).scrollIntoView();
}"""


NUMBERED = (
    *((18, 62), (18, 118), (18, 147), (18, 185), (1030, 185), (968, 32)),
    *((214, 332), (861, 328), (362, 298), (355, 252), (353, 380), (18, 957)),
)
"""Where the numbers are on the first screen, in pixels."""


@contextmanager
def chromium() -> "Iterator[Browser]":
    """A browser."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def photograph(browser: "Browser", report: Path, screen: Screen) -> Image.Image:
    """What a reader sees of a report."""
    context = browser.new_context(
        viewport={"width": screen.width, "height": screen.height},
        color_scheme="dark" if screen.dark else "light",
        offline=True,
    )
    page: Page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto((report / "index.html").resolve().as_uri())
    page.wait_for_function("() => performance.getEntriesByName('charts').length > 0")
    if screen.place:
        page.evaluate(OPEN_TABS, screen.place)
    page.wait_for_timeout(3000)  # fonts and charts in sight
    shown = page.locator(screen.place).first.screenshot() if screen.place else page.screenshot()
    context.close()
    image = Image.open(BytesIO(shown))
    return image.crop((0, 0, image.width, min(image.height, TALLEST)))


def smaller(image: Image.Image) -> Image.Image:
    """A figure at `FIGURE_DPI`."""
    scale = FIGURE_DPI / image.info["dpi"][0]
    return image.convert("RGB").resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )


def save(image: Image.Image, path: Path) -> Path:
    """Write a picture as WebP."""
    image.convert("RGB").save(path, quality=80, method=6)
    return path


def numbered(image: Image.Image) -> Image.Image:
    """The first screen with the numbers that docs/explanation/read-the-page.md explains."""
    image = image.convert("RGB")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=17)
    for number, (x, y) in enumerate(NUMBERED, 1):
        pen.ellipse((x - 14, y - 14, x + 14, y + 14), fill="#d55e00", outline="white", width=2)
        pen.text((x, y), str(number), fill="white", font=font, anchor="mm")
    return image


def draw(folder: Path, demo: Path, names: set[str]) -> Iterator[Path]:
    """Write the pictures NAME.webp; all of them if none is named."""

    @cache
    def report(name: str) -> Path:
        """The folder of a report; that of a committed table is written."""
        if name == "demo":
            return demo / "report"
        target = Path(scratch, name)
        options = {"figure_formats": ("png",), "claims": CLAIMS.get(name)}
        write_report(CARDS / name / "results.parquet", target, **options)
        return target

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        for of, figures in FIGURES.items():
            for name in figures.split():
                if not names or name in names:
                    with Image.open(report(of) / "figures" / f"{name}.png") as image:
                        yield save(smaller(image), folder / f"{name}.webp")
        screens = {name: screen for name, screen in SCREENS.items() if not names or name in names}
        browser = stack.enter_context(chromium()) if screens else None
        for name, screen in screens.items():
            image = photograph(browser, report(screen.report), screen)
            yield save(image, folder / f"{name}.webp")
            if name == "first-screen":
                yield save(numbered(image), folder.parent / f"{name}-numbered.webp")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a figure, or one of the screens; default: all"
    )
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    arguments = parser.parse_args()
    for written in draw(arguments.folder, arguments.demo, set(arguments.names)):
        print(written, f"{written.stat().st_size / 1000:.0f} kB")
