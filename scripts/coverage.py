"""Measure how often the intervals of all metrics contain the truth. `make docs` puts the table into its page.

python scripts/coverage.py                 # all designs: half an hour on one core
python scripts/coverage.py --only kappa    # those whose name contains kappa; the rest of the table stays

The designs are in tests/metrics/coverage_designs.py, and the table is tests/goldens/coverage.tsv. Its columns
``hits_before`` and ``width_before`` are those of the intervals of 0.3 on the same draws. Nothing computes them again:
its first line names the commit that did. They are empty for designs that are younger.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "metrics"))

from coverage_designs import COVERAGE, covered, read_coverage


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="measure the designs whose name contains it"
    )
    table = measured(read_coverage(), parser.parse_args().only)
    first = COVERAGE.read_text(encoding="utf-8").splitlines(keepends=True)[0]
    text = table.to_csv(sep="\t", index=False, float_format="%.6g")
    COVERAGE.write_text(first + text, encoding="utf-8")
