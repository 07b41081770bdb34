"""The fenced blocks that the README and docs/ print, as a reader finds them."""

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
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


_SAID = re.compile(r"^```\n\n(?:[^\n`#|][^\n#|]*:\n\n)?```text\n", re.MULTILINE)
"""The end of a block that is followed by what it prints, perhaps after one line that says so."""
_VARIES = re.compile(
    r"\b[0-9a-f]{12,64}\b|[-+]?\d[\d,.]*(?:e-\d+)?(?: (?:s|min|h|[kMG]?B|GiB)\b)?|[▁-█·][▁-█· ]*"
)
"""Hashes, numbers with their units, and courses."""


def outputs_of(page: Path) -> list[tuple[Block, Block]]:
    """The blocks of a page that are followed by what they print, with that."""
    text = page.read_text(encoding="utf-8")
    begun = {text.count("\n", 0, match.end()) for match in _SAID.finditer(text)}
    return [
        (block, output)
        for block, output in pairwise(blocks_of(page))
        if block.language in ("bash", "python") and int(output.place.rpartition(":")[2]) in begun
    ]


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
