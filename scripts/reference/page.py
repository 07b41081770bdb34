"""A page of the reference, and the pieces of Markdown that pages are built from."""

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOTE = "<!-- `make docs` writes this page. -->"
BELOW = "<!-- `make docs` writes what follows. -->"


@dataclass(frozen=True)
class Page:
    """A page that is written, or the end of one that a person begins.

    Attributes:
        path: below docs/.
        title: its heading; of a page that a person begins, none is written.
        summary: one sentence, which the index quotes.
        parts: what follows, in Markdown.
        is_begun: a person wrote what is above the line `BELOW`.
    """

    path: str
    title: str
    summary: str
    parts: Sequence[str]
    is_begun: bool = False

    def text(self, docs: Path) -> str:
        """The file's content: below what ``docs`` has above the line `BELOW`, if a person began the page."""
        if not self.is_begun:
            return _joined([f"# {self.title}", NOTE, *self.parts])
        above, line, _ = (docs / self.path).read_text(encoding="utf-8").partition(BELOW)
        if not line:
            raise ValueError(f"{self.path} lacks the line below which the reference is written: {BELOW}")
        return _joined([above, BELOW, *self.parts])


@dataclass(frozen=True)
class Part:
    """The text between two comments of a page that a person writes."""

    path: str
    name: str
    content: str

    def text(self, docs: Path) -> str:
        """The page with this content between `<!-- NAME -->` and `<!-- end -->`."""
        start, end = f"<!-- {self.name} -->\n", "\n<!-- end -->"
        above, rest = (docs / self.path).read_text(encoding="utf-8").split(start)
        return f"{above}{start}{self.content}{end}{rest.split(end, 1)[1]}"


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def section(heading: str, content: str) -> list[str]:
    """A heading and its content; nothing if there is no content."""
    return [heading, content] if content else []


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {one}" for one in items)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, without the columns that are empty in all rows."""
    columns = [one for one in zip(head, *rows, strict=True) if any(one[1:])]
    first, *others = zip(*columns, strict=True)
    cells = [first, ["---"] * len(first), *others]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells)


def _cell(text: str) -> str:
    """A text in a cell: no columns of its own."""
    return plain(text.replace("|", "\\|"))


def plain(text: str) -> str:
    """A text in one line, without HTML of its own."""
    parts = re.split(r"(`[^`]*`)", line(text))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def line(text: str) -> str:
    """A text in one line, with the backticks of Markdown."""
    return " ".join(text.split()).replace("``", "`")


def summary_of(value: Any) -> str:
    """The first paragraph of a docstring."""
    return line((inspect.getdoc(value) or "").partition("\n\n")[0])
