"""Do 95 % intervals contain the true value in 95 % of the draws of data that depend as real ones do?

The committed table tests/goldens/coverage.tsv says it of every metric (`scripts/coverage.py`). The ordinary run reads
it and draws one design again, `make test-slow` all of them.
"""

import numpy as np
import pytest
from coverage_designs import all_designs, covered, fault, read_coverage
from coverage_observers import crossed, of_cues

from hf_clipdyn.metrics.scores import interval

TABLE = read_coverage()
DESIGNS = all_designs()


def test_intervals_of_the_table_cover_or_carry_a_note():
    faults = {(row.design, row.number, row.clusters): fault(row) for row in TABLE.itertuples()}
    assert {key: text for key, text in faults.items() if text} == {}


def test_every_design_is_in_the_table():
    clusters = TABLE.groupby("design")["clusters"].unique().map(sorted).to_dict()
    assert clusters == {name: sorted(design.clusters) for name, design in DESIGNS.items()}


def as_in_the_table(name):
    design = DESIGNS[name]
    for n_clusters in design.clusters:
        of_design = TABLE[(TABLE["design"] == name) & (TABLE["clusters"] == n_clusters)].set_index("number")
        for number, found in covered(design, n_clusters, int(of_design["draws"].max())).items():
            row = of_design.loc[number]
            # Another processor may round the end of an interval, or the truth of a large sample, otherwise.
            assert found.intervals == pytest.approx(row["intervals"], abs=2), (number, n_clusters)
            assert found.hits == pytest.approx(row["hits"], abs=4), (number, n_clusters)
            assert found.width == pytest.approx(row["width"], rel=1e-3), (number, n_clusters)
            assert found.noted == pytest.approx(row["noted"], abs=4), (number, n_clusters)
            assert found.noted_misses == pytest.approx(row["noted_misses"], abs=4), (number, n_clusters)


def test_one_design_is_covered_as_in_the_table():
    as_in_the_table("accuracy 0.9")


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_all_designs_are_covered_as_in_the_table(name):
    as_in_the_table(name)


def test_the_same_draws_are_not_covered_when_rows_count_as_independent():
    """Why exemplars are asked for."""
    hits = []
    for seed in range(200):
        *answers, _ = crossed(np.random.default_rng(seed), 48, (0.3, 0.3), (0.4, 0.7))
        bias = of_cues((*answers, None))["shape_bias"]
        low, high = interval(bias.value, bias.influence, bias.scale)
        hits.append(low <= 0.5 <= high)
    assert np.mean(hits) < 0.7
