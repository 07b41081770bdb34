"""Two revisions that were really evaluated, compared in every kind of number."""

import pandas as pd

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.statistics.compare import compare_revisions


def assert_values_are_those_of(results, table):
    key = ["kind", "dataset", "texts", *NUMBER_KEY]
    assert not table.duplicated(key).any()
    for side, revision in (("value_a", "epoch-000"), ("value_b", "epoch-002")):
        rows = results[(results["revision"] == revision) & (results["role"] != "diagnostic")]
        rows = rows.astype({"layer": "Int64"}).set_index(key)["value"]
        compared = table.set_index(key)[side]
        pd.testing.assert_series_equal(compared.sort_index(), rows.sort_index(), check_names=False)


def test_every_benchmark_of_a_real_table_can_be_compared(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    names = ("noise/cifar10", "zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    settings = {"noise": Noise.settings(sigmas=(0.0, 0.1))}
    results = evaluate(*names, output=output, settings=settings, revisions=["epoch-000", "epoch-002"])
    table = compare_revisions(output, "epoch-000", "epoch-002")
    assert set(table["kind"] + "/" + table["dataset"]) == set(names)
    assert not (table["p_value"] == 0).any()
    assert_values_are_those_of(results, table)


def test_the_kinds_with_human_judgements_can_be_compared(evaluate, judged, tmp_path):
    output = tmp_path / "results.parquet"
    names = ("quality/tid2013", "similarity/nights", "jnd/bapps", "saliency/osie", "distortion/procedural")
    results = evaluate(*names, output=output, data_dirs=judged, revisions=["epoch-000", "epoch-002"])
    table = compare_revisions(output, "epoch-000", "epoch-002")
    assert not (table["p_value"] == 0).any()
    assert_values_are_those_of(results, table)
