"""Figures as files, and as SVG that can be put into a page beside others and follows its colours."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from hf_clipdyn.report.style import TWINS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureFolder", "inline_svg", "to_svg"]

_LIST = ".figures.json"
_UNDATED = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata without the time of writing, by format."""
_HEAD = re.compile(r"^.*?(?=<svg )", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_WIDTH = re.compile(r' width="([\d.]+)pt"')
_ENLARGED = 1.6  # pixels for a point; 1.33 is life size
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_COLOUR = re.compile("|".join(TWINS))


def to_svg(figure: "Figure") -> str:
    """A figure as a document of its own; the same figure gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_UNDATED["svg"])
    return buffer.getvalue()


def inline_svg(document: str, name: str, alternative: str, css_class: str = "") -> str:
    """An SVG document as an element for a page.

    Its ids get the prefix ``name``, since a page has one name space; it shrinks with the page but
    grows only a little beyond its size; its colours become the page's variables (`style.TWINS`).

    Args:
        document: as `to_svg` gives it.
        name: prefix, unique in the page.
        alternative: what a screen reader says instead.
        css_class: of the element.
    """
    text = _METADATA.sub("", _HEAD.sub("", document, count=1), count=1)
    opening, rest = text.split(">", 1)
    width = float(_WIDTH.findall(opening)[0])
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    opening += f' style="max-width: {width * _ENLARGED:.0f}px"'
    opening += f' role="img" aria-label={quoteattr(alternative)}'
    if css_class:
        opening += f" class={quoteattr(css_class)}"
    rest = _ID.sub(rf"\g<1>{name}-", rest)
    rest = _COLOUR.sub(lambda found: f"var(--c{found[0][1:]})", rest)
    return f"{opening}>{rest}".strip()


class FigureFolder:
    """Figures in several formats beside each other.

    The folder keeps a list of its files, so that it never deletes a file that somebody else put there.

    Args:
        path: created if missing.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._written: set[str] = set()

    def save(self, figure: "Figure", name: str, formats: Sequence[str] = ("png", "svg")) -> None:
        """Write ``name.png`` and others; the same figure gives the same bytes."""
        for suffix in formats:
            # Not with_suffix: a metric's name may hold a dot.
            figure.savefig(self._path / f"{name}.{suffix}", metadata=_UNDATED[suffix])
            self._written.add(f"{name}.{suffix}")

    def sweep(self) -> None:
        """Remove the figures that an earlier report wrote here and this one did not."""
        record = self._path / _LIST
        for name in _listed(record) - self._written:
            (self._path / name).unlink(missing_ok=True)
        record.write_text(json.dumps(sorted(self._written), indent=1), encoding="utf-8")


def _listed(record: Path) -> set[str]:
    """Names in the list of an earlier report; none if the list is missing or damaged."""
    try:
        names = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(names, list):
        return set()
    return {name for name in names if isinstance(name, str) and Path(name).name == name}
