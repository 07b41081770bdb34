"""The fenced blocks that the README and docs/ print, as a reader finds them."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CHECKOUT", "Block", "blocks_of"]

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
