"""Numbers do not change: the demo's trials, scored again, give the numbers that were written before the redesign.

``golden/`` holds the trials of the last revision of `clipdyn demo --quick` and the numbers of that time, whose packed
names were translated into columns.
"""

from pathlib import Path

import pandas as pd
import pytest

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.results.row import NUMBER_KEY

GOLDEN = Path(__file__).parent / "golden"
TRIALS = sorted((GOLDEN / "trials").glob("*.parquet"))
COMPARED = ["value", "n", "interpretable"]  # intervals and their notes changed once, in 0.4


@pytest.mark.parametrize("file", TRIALS, ids=lambda file: file.stem)
def test_kept_trials_give_the_numbers_of_before(file: Path) -> None:
    kind, texts = file.stem.split("-")
    everything = pd.read_parquet(GOLDEN / "numbers.parquet")
    before = everything[(everything["kind"] == kind) & (everything["texts"] == texts)]
    scored = kinds()[kind].score(pd.read_parquet(file))
    found = [one for one, _ in scored]
    known = set(before["metric"]) & {one.metric for one in found}  # later metrics have tests of their own
    before = before[before["metric"].isin(known)]
    now = (
        pd.DataFrame([vars(one) for one in found if one.metric in known])
        .astype({"interpretable": "boolean"})
        .astype(dict.fromkeys(("layer", "level", "parameter"), float))
    )
    assert len(before) == len(now)
    key = list(NUMBER_KEY)
    both = before.merge(now, on=key, suffixes=("_before", "_now"), how="outer", indicator=True)
    assert (both["_merge"] == "both").all(), both.loc[both["_merge"] != "both", key]
    for name in COMPARED:
        pd.testing.assert_series_equal(
            both[f"{name}_now"],
            both[f"{name}_before"],
            check_names=False,
            check_dtype=False,
            rtol=0,
            atol=1e-12,
        )
