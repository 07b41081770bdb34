# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: its wheel lies here
# ///
"""Draw the figures of the committed studies again: ``summary`` and ``claims``, as SVG, as wide as a page.

python scripts/draw_studies.py model_cards/study model_cards/real-study

The table of a study has no answers to single images. So the intervals of its contrasts are taken from the committed
``verdicts.parquet``, which was computed where the answers were.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.report.figures import page_figures
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.statistics.judging import Part


def with_committed_intervals(folder: Path) -> Study:
    """A study whose contrasts have the intervals of its ``verdicts.parquet``, and its data sets today's titles."""
    study = read_study([folder / "results.parquet"])
    named_then = study.results.words.datasets
    named_now = {
        name: replace(terms, title=dataset_metadata(name).title) for name, terms in named_then.items()
    }
    vars(study.results.words)["datasets"] = named_now
    rows = pd.read_parquet(folder / "verdicts.parquet").set_index(["claim", "part"])

    def committed(claim: int, number: int, part: Part) -> Part:
        row = rows.loc[claim, number]
        same = np.isclose(row["value"], part.estimate.value, rtol=0, atol=1e-9, equal_nan=True)
        assert same, f"{folder}: claim {claim}, part {number}"
        return replace(part, estimate=replace(part.estimate, ci_low=row["ci_low"], ci_high=row["ci_high"]))

    judged = [
        replace(
            verdict,
            parts=[committed(verdict.claim.number, n, part) for n, part in enumerate(verdict.parts, start=1)],
        )
        for verdict in study.verdicts
    ]
    vars(study)["verdicts"] = judged
    return study


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        for name, image in page_figures(with_committed_intervals(folder), {}).items():
            path = folder / "figures" / f"{name}.svg"
            if path.exists():
                path.write_bytes(image)
                print(path, f"{len(image) / 1000:.0f} kB")
