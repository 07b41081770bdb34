"""The numbers behind the figures."""

import math

import pytest
from result_rows import row

from hf_clipdyn.report.tables import chart_table, diagnostics_table, provenance_table, undefined_table


@pytest.fixture
def table(read):
    """The table of the chart of one metric of rows."""

    def table(rows, metric):
        study = read(rows)
        chart = next(one for one in study.charts if one.first.metric == metric)
        return chart_table(chart)

    return table


def test_the_table_of_a_figure_holds_values_intervals_counts_and_the_null(study, table):
    found = table(study(), "cue_accuracy")
    assert found.headings == (
        "revision",
        "projection\nn = 1,000, 64 clusters",
        "null\nn = 1,000, 64 clusters",
    )
    assert found.rows[5] == ("epoch-005", "0.850 [0.820, 0.880]", "0.272 [0.272, 0.272]")


def test_the_table_says_in_words_where_a_ratio_means_nothing(study, table):
    rows = table(study(), "shape_bias").rows
    assert rows[0][1] == "0.480 [0.440, 0.520], not interpretable"
    assert rows[1][1] == "0.300 [0.260, 0.340]"


def test_a_run_that_lacks_a_revision_leaves_its_cell_empty(table):
    rows = [row("noise/x", "area", 0.5, 0.1, repo_id="me/a", epoch=epoch) for epoch in (0, 1)]
    rows.append(row("noise/x", "area", 0.6, 0.1, repo_id="me/b", epoch=1))
    found = table(rows, "area")
    assert [cells[0] for cells in found.rows] == ["epoch-000", "epoch-001"]
    assert found.rows[0][2] == ""
    assert found.rows[1][2] == "0.600 [0.500, 0.700]"


def test_a_chart_of_bars_has_a_table_with_a_row_for_each_bar_and_reference(table):
    rows = [row("zero_shot/x", "top1", 0.5, 0.1), row("zero_shot/x", "top1", 0.1, role="chance")]
    found = table(rows, "top1")
    assert found.headings == ("metric", "detail", "model", "value", "n")
    assert found.rows == (
        ("zero-shot accuracy", "", "me/fixture", "0.500 [0.400, 0.600]", "1,000"),
        ("zero-shot accuracy", "chance", "me/fixture", "0.100 [0.100, 0.100]", "1,000"),
    )


def test_undefined_numbers_are_gathered_by_their_cause(read):
    rows = [
        row("saliency/mit1003", "nss", math.nan, epoch=epoch, probe=probe, note="no fixation points")
        for epoch in (0, 1)
        for probe in ("rollout", "gradient")
    ]
    rows.append(row("saliency/mit1003", "sauc", math.nan))
    assert undefined_table(read(rows)).rows == (
        (
            *("me/fixture", "Saliency: mit1003", "NSS"),
            "rollout; gradient",
            "epoch-000, epoch-001",
            "no fixation points",
        ),
        (
            *("me/fixture", "Saliency: mit1003", "shuffled AUC"),
            *("projection", "epoch-000", "not defined on these data"),
        ),
    )


def test_the_caution_of_a_number_stands_beside_it(table):
    rows = [
        row("saliency/x", "sauc", 0.6),
        row(
            "saliency/x",
            "sauc",
            0.36,
            probe="",
            role="baseline",
            reference="centre",
            note="biased below one half",
        ),
    ]
    assert table(rows, "sauc").rows[1][3] == "0.360 [0.360, 0.360] (biased below one half)"


def test_diagnostics_are_listed_by_condition_and_level_once_for_all_revisions(read):
    rows = [
        row("noise/x", "noise_rms", rms + epoch * change, epoch=epoch, probe="", role="diagnostic", **on)
        for rms, change, on in (
            (0.2544, 0.0, {"condition": "gaussian", "level": 0.3}),
            (0.05, 0.001, {"condition": "blur", "level": 1.0}),
        )
        for epoch in range(3)
    ]
    study = read(rows)
    assert diagnostics_table(study).rows == (
        ("Sensitivity to noise: x", "effective noise, RMS", "Gaussian noise, sigma 0.3", "0.254"),
        ("Sensitivity to noise: x", "effective noise, RMS", "blur, width 1 px", "0.05 to 0.052"),
    )
    assert study.charts == []


def test_how_a_benchmark_was_measured_is_listed_once(read):
    rows = [
        row(
            *("noise/x", "area", 0.5),
            epoch=epoch,
            n=n,
            versions='{"torch": "2.6.0", "numpy": "2.1"}',
            settings='{"stage": "input"}',
        )
        for epoch, n in ((0, 900), (1, 1000))
    ]
    assert provenance_table(read(rows)).rows == (
        (
            *("me/fixture", "noise/x", "test", "2", "900 to 1,000", "fixture0123", "processor"),
            *("stage input", "float32", "torch 2.6.0, numpy 2.1"),
        ),
    )
