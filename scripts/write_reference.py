"""Write the pages of docs/ that follow from code and committed tables, and the ends of those that a person began.

python scripts/write_reference.py       # `make docs` calls it; a test says whether the pages are current

Pages that a person wrote lack the line `NOTE`. What a person began is written from the line `BELOW` on.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from reference import NOTE, Page, Part, pages

DOCS = Path(__file__).resolve().parents[1] / "docs"


def outdated(written: Iterable[Page | Part], docs: Path = DOCS) -> list[Path]:
    """The written pages that nothing declares any more."""
    current = {docs / page.path for page in written}
    return [
        path
        for path in sorted(docs.rglob("*.md"))
        if path not in current and NOTE in path.read_text(encoding="utf-8")
    ]


def write() -> None:
    """Write the pages, and delete those that are outdated."""
    written = pages()
    for path in outdated(written):
        path.unlink()
    for page in written:
        path = DOCS / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.text(DOCS), encoding="utf-8")


if __name__ == "__main__":
    # The metric modules import `evaluate`, and this folder has a script of that name.
    sys.path = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]
    write()
