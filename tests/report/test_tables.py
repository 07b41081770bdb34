"""The numbers behind the figures."""

import math

import pytest

from hf_clipdyn.report.gather import read_trajectories
from hf_clipdyn.report.plan import plan_charts
from hf_clipdyn.report.results import read_results
from hf_clipdyn.report.tables import chart_table, noise_table, provenance_table, undefined_table


@pytest.fixture
def chart(write):
    """The chart of one metric of rows."""

    def chart(rows, metric):
        charts = plan_charts(read_trajectories(read_results([write(rows)])))
        return next(one for one in charts if one.metric == metric)

    return chart


def test_the_table_of_a_figure_holds_values_intervals_counts_and_the_null(study, chart):
    table = chart_table(chart(study(), "cue_accuracy"))
    assert table.headings == (
        "revision",
        "projection\nn = 1,000, 64 groups",
        "null\nn = 1,000, 64 groups",
    )
    assert table.rows[5] == ("epoch-005", "0.850 [0.820, 0.880]", "0.272 [0.272, 0.272]")


def test_the_table_says_in_words_where_a_ratio_means_nothing(study, chart):
    table = chart_table(chart(study(), "shape_bias"))
    assert table.rows[0][1] == "0.480 [0.440, 0.520] not interpretable near chance"
    assert table.rows[1][1] == "0.300 [0.260, 0.340]"


def test_a_run_that_lacks_a_revision_leaves_its_cell_empty(row, chart):
    rows = [row("noise/x", "area", 0.5, 0.1, repo_id="me/a", epoch=epoch) for epoch in (0, 1)]
    rows.append(row("noise/x", "area", 0.6, 0.1, repo_id="me/b", epoch=1))
    table = chart_table(chart(rows, "area"))
    assert [cells[0] for cells in table.rows] == ["epoch-000", "epoch-001"]
    assert table.rows[0][2] == ""
    assert table.rows[1][2] == "0.600 [0.500, 0.700]"


def test_undefined_numbers_are_gathered_by_their_cause(row, write):
    rows = [
        row("saliency/mit1003", "nss", math.nan, epoch=epoch, probe=probe, note="no fixation points")
        for epoch in (0, 1)
        for probe in ("rollout", "gradient")
    ]
    rows.append(row("saliency/mit1003", "auc", math.nan))
    table = undefined_table(read_trajectories(read_results([write(rows)])))
    assert table.rows == (
        (
            "me/fixture",
            "saliency/mit1003 nss",
            "rollout; gradient",
            "epoch-000, epoch-001",
            "no fixation points",
        ),
        ("me/fixture", "saliency/mit1003 auc", "projection", "epoch-000", "no cause was recorded"),
    )


def test_the_caution_of_a_number_stands_beside_it(row, chart):
    rows = [
        row("saliency/x", "sauc", 0.6),
        row("saliency/x", "sauc", 0.36, probe="centre_bias", note="biased below one half"),
    ]
    (cells,) = chart_table(chart(rows, "sauc")).rows
    assert cells[2] == "0.360 [0.360, 0.360] (biased below one half)"


def test_the_effective_noise_stands_beside_the_nominal_level_once_for_all_revisions(row, write):
    rows = [
        row("noise/x", "noise_rms", rms, epoch=epoch, group=group, probe="pixels")
        for group, rms in (("sigma=0.30", 0.2544), ("noise=blur,sigma=1.00", 0.05))
        for epoch in range(3)
    ]
    trajectories = read_trajectories(read_results([write(rows)]))
    assert noise_table(trajectories).rows == (
        ("Sensitivity to noise: x", "sigma 0.30", "0.254"),
        ("Sensitivity to noise: x", "noise blur,sigma 1.00", "0.050"),
    )
    assert plan_charts(trajectories) == []


def test_what_was_measured_with_is_listed_once_for_each_benchmark(row, write):
    rows = [
        row("noise/x", "area", 0.5, epoch=epoch, n=n, versions='{"torch": "2.6.0", "numpy": "2.1"}')
        for epoch, n in ((0, 900), (1, 1000))
    ]
    table = provenance_table(read_results([write(rows)]))
    assert table.rows == (
        (
            "me/fixture",
            "noise/x",
            "2",
            "900 to 1,000",
            "fixture0123",
            "processor",
            "float32",
            "torch 2.6.0, numpy 2.1",
        ),
    )
