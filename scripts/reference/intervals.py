"""How often intervals contain the truth, in their page, from what `scripts/coverage.py` measured."""

from pathlib import Path

import pandas as pd

from .page import Part, table

_COVERAGE = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "coverage.tsv"
_FEWEST = 200  # intervals of a percentage in the table
_COLUMNS = {"to 8": (2, 8), "20 to 25": (9, 25), "48 to 100": (26, 100), "more": (101, 10**9)}


def coverage_table() -> Part:
    """A row for each metric: the least and the most coverage of its numbers; in italics those that carry a note."""
    found = pd.read_csv(_COVERAGE, sep="\t", comment="#").query("intervals >= @_FEWEST")
    found = found.assign(has_note=found["noted"] > found["intervals"] / 2)
    rows = [
        (f"`{metric}`", *(_cell(of[of["clusters"].between(*ends)]) for ends in _COLUMNS.values()))
        for metric, of in found.groupby("metric")
    ]
    shown = table(("metric", *(f"{name} clusters" for name in _COLUMNS)), rows)
    return Part("explanation/intervals.md", "scripts/coverage.py measures this table", f"\n{shown}\n")


def _cell(rows: pd.DataFrame) -> str:
    parts = []
    for has_note, some in rows.groupby("has_note"):
        shares = 100 * some["hits"] / some["intervals"]
        low, high = (f"{end:.0f}" for end in (shares.min(), shares.max()))
        both = low if low == high else f"{low} to {high}"
        parts.append(f"*{both}*" if has_note else both)
    return ", ".join(parts)
