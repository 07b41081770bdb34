"""The fenced blocks that the README and docs/ print, as a reader finds them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hf_clipdyn.plugins import load_plugin

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is printed, its language, what follows that on its first line, and its text."""

    place: str
    language: str
    note: str
    text: str

    @property
    def file(self) -> str | None:
        return self.note if re.fullmatch(r"\S+\.(py|yaml)", self.note) else None

    @property
    def commands(self) -> list[str]:
        return self.text.replace("\\\n", " ").splitlines()

    @property
    def runs(self) -> bool:
        return not self.note or self.file is not None


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^```(\w*)([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 1
        language, note, body = match.groups()
        found.append(Block(f"{page.relative_to(CHECKOUT)}:{line}", language, note.strip(), body))
    return found


def prose_of(page: Path) -> str:
    """A page without blocks of code and comments."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


_VARIES = re.compile(
    r"\b[0-9a-f]{12,64}\b|[-+]?\d[\d,.]*(?:e-\d+)?(?: (?:s|min|h|[kMG]?B|GiB)\b)?|[▁-█·][▁-█· ]*"
)
"""Hashes, numbers with their units, and courses."""


@dataclass(frozen=True)
class Output:
    """What a block prints or draws, as `scripts/write_outputs.py` writes it below the block.

    Attributes:
        block: the block above.
        what: the lines that are shown, or the file that is drawn.
        order, command: `of` a command that ran instead of the block, or `after` one that ran before it; else empty.
        text: what is printed.
        picture: the address of the picture; empty for a text.
        place: where the text is printed.
        start, end: where the text is in the page.
    """

    block: Block
    what: str
    order: str
    command: str
    text: str
    picture: str
    place: str
    start: int
    end: int


_MARK = re.compile(
    r"^<!-- (?:prints|draws): (?P<what>[^\n]+?)(?:\s+(?P<order>of|after): (?P<command>(?:(?!-->).)+?))? -->\n\n"
    r"(?:```text\n(?P<text>.*?)^```|!\[[^\]]*\]\((?P<picture>\S+?)\))$",
    re.DOTALL | re.MULTILINE,
)


def outputs_of(page: Path) -> list[Output]:
    """The outputs of a page that are marked, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    blocks = [one for one in blocks_of(page) if one.language in ("bash", "python") and one.file is None]
    found = []
    for match in _MARK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        above = [one for one in blocks if int(one.place.rpartition(":")[2]) < line]
        group = {name: value or "" for name, value in match.groupdict().items()}
        place = f"{page.relative_to(CHECKOUT)}:{line + 2}"
        found.append(
            Output(above[-1], place=place, start=match.start("text"), end=match.end("text"), **group)
        )
    return found


def is_printed(said: str, line: str) -> bool:
    """Whether a line is what a page says: numbers and hashes vary, and ``…`` stands for anything."""
    parts = map(re.escape, map(_constant, said.split("…")))
    return re.fullmatch(".*".join(parts), _constant(line)) is not None


def _constant(line: str) -> str:
    words = _VARIES.sub("#", line).split()
    return " ".join("#" if word == "-" else word for word in words)


@cache
def printed_plugin(page: str) -> None:
    """Load the plug-in that a how-to prints."""
    (block,) = [one for one in blocks_of(CHECKOUT / "docs" / "how-to" / f"{page}.md") if one.file is not None]
    with TemporaryDirectory() as folder:
        file = Path(folder) / str(block.file)
        file.write_text(block.text, encoding="utf-8")
        load_plugin(file)
