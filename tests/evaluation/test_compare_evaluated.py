"""Two revisions that were really evaluated, compared in every kind of number."""

import pandas as pd
import pytest

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.statistics.compare import compare_revisions

KINDS = {
    "with texts": ("noise/cifar10", "zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k"),
    "with people": ("quality/tid2013", "similarity/nights", "jnd/bapps", "saliency/osie"),
}


@pytest.mark.parametrize("names", KINDS.values(), ids=KINDS)
def test_every_benchmark_of_a_real_table_can_be_compared(evaluate, tmp_path, names):
    output = tmp_path / "results.parquet"
    settings = {"noise": Noise.settings(sigmas=(0.0, 0.1))} if "noise/cifar10" in names else {}
    results = evaluate(*names, output=output, settings=settings, revisions=["epoch-000", "epoch-002"])
    table = compare_revisions(output, "epoch-000", "epoch-002")
    assert set(table["kind"] + "/" + table["dataset"]) == set(names)
    assert not (table["p_value"] == 0).any()
    key = ["kind", "dataset", "texts", *NUMBER_KEY]
    assert not table.duplicated(key).any()
    for side, revision in (("value_a", "epoch-000"), ("value_b", "epoch-002")):
        rows = results[(results["revision"] == revision) & (results["role"] != "diagnostic")]
        rows = rows.astype({"layer": "Int64"}).set_index(key)["value"]
        compared = table.set_index(key)[side]
        pd.testing.assert_series_equal(compared.sort_index(), rows.sort_index(), check_names=False)
