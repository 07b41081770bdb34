"""Do 95 % intervals contain the true value in 95 % of the draws of data that depend as real ones do?

The committed table tests/goldens/coverage.tsv says it of every metric (`scripts/coverage.py`). The ordinary run reads
it and draws one design again, `make test-slow` all of them.
"""

from types import SimpleNamespace

import pytest
from coverage_designs import all_designs, covered, fault, read_coverage

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
        rows = TABLE[(TABLE["design"] == name) & (TABLE["clusters"] == n_clusters)].set_index("number")
        found = covered(design, n_clusters, int(rows["draws"].max()))
        assert found.keys() == set(rows.index)
        for number, counts in found.items():
            row = rows.loc[number]
            # Another processor may round the end of an interval, or the truth of a large sample, otherwise.
            assert counts.intervals == pytest.approx(row["intervals"], abs=2), (number, n_clusters)
            assert counts.hits == pytest.approx(row["hits"], abs=4), (number, n_clusters)
            assert counts.width == pytest.approx(row["width"], rel=1e-3), (number, n_clusters)
            assert fault(SimpleNamespace(**{**row, **vars(counts), "clusters": n_clusters})) == "", number


def test_one_design_is_covered_as_in_the_table():
    as_in_the_table("accuracy 0.9")


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_all_designs_are_covered_as_in_the_table(name):
    as_in_the_table(name)
