"""What was never run, in README and on the first page, from the list of docs/explanation/status.md."""

import re
from pathlib import Path
from textwrap import fill

from .page import Part

_STATUS = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "status.md"


def never_run() -> list[Part]:
    """A sentence with the words in bold of the list, for both pages."""
    listed = _STATUS.read_text(encoding="utf-8").partition("## What was never run\n")[2].partition("\n## ")[0]
    names = re.findall(r"\*\*(.+?)\*\*", listed)
    sentence = fill(f"**Never run**: {', '.join(names)}.", 118)
    return [Part(path, "never run", sentence) for path in ("../README.md", "index.md")]
