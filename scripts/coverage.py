"""Measure how often the intervals of all metrics contain the truth, and write the table of the page on intervals.

python scripts/coverage.py                 # all designs: half an hour on one core
python scripts/coverage.py --only kappa    # those whose name contains kappa; the rest of the table stays
python scripts/coverage.py --only nothing  # only the page, from the table

The designs are in tests/metrics/coverage_designs.py, and the table is tests/goldens/coverage.tsv. Its columns
``hits_before`` and ``width_before`` are those of the intervals of 0.3 on the same draws. Nothing computes them again:
its first line names the commit that did. They are empty for designs that are younger.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests" / "metrics"))

from coverage_designs import COVERAGE, covered, read_coverage  # noqa: E402

PAGE = CHECKOUT / "docs" / "explanation" / "intervals.md"
BEGIN, END = "<!-- scripts/coverage.py writes this table. -->\n", "<!-- end of the table -->\n"
FEWEST = 200  # intervals of a percentage in the table
COLUMNS = {"to 8": (2, 8), "20 to 25": (9, 25), "48 to 100": (26, 100), "more": (101, 10**9)}


def measured(table: pd.DataFrame, only: str) -> pd.DataFrame:
    """The table with the columns of today's intervals measured again."""
    table = table.copy()
    for (name, n_clusters), rows in table.groupby(["design", "clusters"], sort=False):
        if only not in name:
            continue
        truth = dict(zip(rows["number"], rows["truth"], strict=True))
        found = covered(name, n_clusters, int(rows["draws"].max()), truth)
        for at, number in rows["number"].items():
            for column, count in vars(found[number]).items():
                table.loc[at, column] = count
        print(name, n_clusters, flush=True)
    return table


def lines(table: pd.DataFrame) -> Iterator[str]:
    """A row for each metric: the least and the most coverage of its numbers; in italics those that carry a note."""
    yield "| metric | " + " | ".join(f"{name} clusters" for name in COLUMNS) + " |"
    yield "| --- |" + " --- |" * len(COLUMNS)
    table = table[table["intervals"] >= FEWEST]
    table = table.assign(has_note=table["noted"] > table["intervals"] / 2)
    for metric, rows in table.groupby("metric", sort=True):
        cells = []
        for ends in COLUMNS.values():
            some = rows[rows["clusters"].between(*ends)]
            parts = [_cell(some[some["has_note"] == noted]) for noted in (False, True)]
            cells.append(", ".join(f"*{part}*" if at else part for at, part in enumerate(parts) if part))
        yield f"| `{metric}` | " + " | ".join(cells) + " |"


def _cell(rows: pd.DataFrame) -> str:
    """The least and the most, in per cent."""
    return "" if rows.empty else _range(100 * rows["hits"] / rows["intervals"])


def _range(shares: Iterable[float]) -> str:
    low, high = (f"{end:.0f}" for end in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="measure the designs whose name contains it"
    )
    table = measured(read_coverage(), parser.parse_args().only)
    first = COVERAGE.read_text(encoding="utf-8").splitlines()[0]
    COVERAGE.write_text(
        f"{first}\n{table.to_csv(sep=chr(9), index=False, float_format='%.6g')}", encoding="utf-8"
    )
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(
        before + BEGIN + "\n" + "\n".join(lines(table)) + "\n\n" + END + rest.split(END)[1], encoding="utf-8"
    )


if __name__ == "__main__":
    main()
