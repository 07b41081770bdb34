"""Write the pages of docs/reference/ that follow from what the code declares.

python scripts/write_reference.py       # `make docs` calls it; a test says whether the pages are current

Pages that a person wrote lack the line `NOTE`.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from reference import NOTE, Page, pages

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"


def outdated(written: Iterable[Page], folder: Path = FOLDER) -> list[Path]:
    """The written pages in the folder that nothing declares any more."""
    current = {folder / page.path for page in written}
    return [
        path
        for path in sorted(folder.rglob("*.md"))
        if path not in current and NOTE in path.read_text(encoding="utf-8")
    ]


def write() -> None:
    """Write the pages, and delete those that are outdated."""
    written = pages()
    for path in outdated(written):
        path.unlink()
    for page in written:
        path = FOLDER / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.text, encoding="utf-8")


if __name__ == "__main__":
    # The metric modules import `evaluate`, and this folder has a script of that name.
    sys.path = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]
    write()
