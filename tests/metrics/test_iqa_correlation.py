"""IQA correlations and their fit against SciPy, and their influences against the jackknife."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.scores import left_out

# Intelligence quotient and hours of television a week, the worked example of Spearman's rho in
# many textbooks: rho = -29/165.
IQ = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
TELEVISION = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]

# Anscombe's quartet, first set (1973): Pearson's r = 0.816.
ANSCOMBE_X = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
ANSCOMBE_Y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]

COLUMNS = (
    st.integers(5, 40)
    .flatmap(lambda n: st.tuples(*[hnp.arrays(float, n, elements=st.integers(-9, 9).map(float))] * 2))
    .filter(lambda columns: all(np.ptp(column) > 0 for column in columns))
)


def quality_data(n_groups=25, per_group=24, seed=0, decimals=None):
    """Distances and scores with an effect of the reference image on both."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), per_group)
    level = rng.normal(size=len(groups))
    distances = level + rng.normal(size=n_groups)[groups] + 0.5 * rng.normal(size=len(groups))
    scores = -level + 0.5 * rng.normal(size=n_groups)[groups] + 0.3 * rng.normal(size=len(groups))
    if decimals is not None:
        distances, scores = distances.round(decimals), scores.round(decimals)
    return distances, scores, groups


def test_textbook_values_are_reproduced():
    assert iqa_correlation(IQ, TELEVISION)["srcc"].value == pytest.approx(-29 / 165)
    assert iqa_correlation(ANSCOMBE_X, ANSCOMBE_Y)["plcc"].value == pytest.approx(0.816, abs=5e-4)


@given(COLUMNS)
def test_correlations_equal_scipys(columns):
    x, y = columns
    result = iqa_correlation(x, y).report()
    assert result["srcc"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert result["krcc"] == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert result["plcc"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize(
    ("predictions_are", "higher_is_better", "sign"),
    [("distance", True, -1), ("distance", False, 1), ("score", True, 1), ("score", False, -1)],
)
def test_alignment_is_larger_the_closer_to_people(predictions_are, higher_is_better, sign):
    x, y, _ = quality_data()
    how = {"predictions_are": predictions_are, "higher_is_better": higher_is_better}
    result = iqa_correlation(x, y, **how).report()
    alone = iqa_correlation(x, y, only_alignment=True, **how)
    assert list(alone) == ["alignment"]
    assert alone["alignment"].value == result["alignment"]
    assert result["alignment"] == sign * result["srcc"]
    assert result["alignment_ci"] == pytest.approx(sorted(sign * limit for limit in result["srcc_ci"]))


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_the_influences_are_those_of_the_jackknife(decimals):
    """Exactly, but for Spearman's: its closed form is of the first order, in the number of references."""
    x, y, groups = quality_data(n_groups=80, per_group=12, decimals=decimals)
    found = iqa_correlation(x, y, groups=groups)
    peers = {"srcc": stats.spearmanr, "krcc": stats.kendalltau, "plcc": stats.pearsonr}
    for name, peer in peers.items():
        without = left_out(lambda *part, peer=peer: peer(*part).statistic, [x, y], groups)
        tolerance = 0.12 * without.std() if name == "srcc" else 1e-12
        assert found[name].influence == pytest.approx(without, abs=tolerance)
        assert found[name].influence.std() == pytest.approx(without.std(), rel=0.03)
    assert found["alignment"].influence == pytest.approx(-found["srcc"].influence)


def test_the_interval_is_students_on_fishers_z_over_references():
    x, y, groups = quality_data(n_groups=25)
    found = iqa_correlation(x, y, groups=groups)
    variance = np.square(found["plcc"].influence).sum() * 25 / 24
    z = np.arctanh(stats.pearsonr(x, y).statistic)
    half = stats.t.ppf(0.975, 24) * np.sqrt(variance) / (1 - np.tanh(z) ** 2)
    assert found.facts["n_groups"] == 25
    assert found.report(groups)["plcc_ci"] == pytest.approx(np.tanh([z - half, z + half]))


def test_the_interval_of_very_many_rows_has_the_width_of_the_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=6000)
    y = x + rng.normal(size=6000)
    found = iqa_correlation(x, y).report()
    assert found["n_groups"] == 6000
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert np.ptp(found["plcc_ci"]) == pytest.approx(expected.high - expected.low, rel=0.15)


@pytest.mark.parametrize("unit", [1e-10, 1e-7, 1.0, 100.0])
def test_four_parameters_fit_alike_in_every_unit(unit):
    # The distances of an untrained model: a fit with steps of 1e-8 gave .918 in place of .948.
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 0.5, 3000)
    y = 6 / (1 + np.exp(2 * (x - 1))) + rng.normal(0, 0.5, 3000)

    def curve(x, b1, b2, b3, b4):
        return (b1 - b2) / (1 + np.exp(-(x - b3) / b4)) + b2

    best, _ = optimize.curve_fit(curve, -x, y, [y.max(), y.min(), -x.mean(), x.std() / 4])
    expected = stats.pearsonr(curve(-x, *best), y).statistic
    found = iqa_correlation(unit * x, y, logistic=4)
    assert found["plcc_logistic"].value == pytest.approx(expected, abs=1e-8)


def test_fewer_rows_than_parameters_leave_the_fit_undefined():
    result = iqa_correlation([1, 2, 3, 4], [1, 3, 2, 4], logistic=4).report()
    assert (
        result["causes"]["plcc_logistic"] == "a logistic function of 4 parameters cannot be fitted to 4 rows"
    )
    assert np.isnan(result["plcc_logistic"])
    assert np.isnan(result["rmse_logistic_ci"]).all()
    assert result["srcc"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("x", "y", "cause"),
    [
        ([1, 1, 1], [1, 2, 3], "the predictions are constant"),
        ([1, 2, 3], [2, 2, 2], "the references are constant"),
        ([1, 1], [2, 2], "the predictions and the references are constant"),
        ([1], [2], "only one row"),
    ],
)
def test_constant_scores_have_no_correlation(x, y, cause):
    result = iqa_correlation(x, y, logistic=4).report()
    assert cause in result["causes"]["srcc"]
    for key in ("srcc", "krcc", "plcc", "alignment", "plcc_logistic", "rmse_logistic"):
        assert np.isnan(result[key])


def test_the_published_opinion_scores_are_oriented_as_documented(real_data):
    """Levels of distortion run from weak to strong, so a level is a distance that agrees with people."""
    for name, higher_is_better, level in (
        ("TID2013", True, lambda row: float(row["dis_img_path"].rsplit("_", 1)[1].split(".")[0])),
        ("KADID-10k", True, lambda row: float(row["dis_img_path"].rsplit("_", 1)[1].split(".")[0])),
        ("CSIQ", False, lambda row: float(row["dis_img_path"].split(".")[-2])),
    ):
        with (real_data("mos-lists") / f"{name}.txt").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        result = iqa_correlation(
            [level(row) for row in rows],
            [float(row["score"]) for row in rows],
            groups=[row["ref_img_path"] for row in rows],
            higher_is_better=higher_is_better,
        )
        assert result["alignment"].value > 0.3, name
        assert result.facts["n_groups"] == {"TID2013": 25, "KADID-10k": 81, "CSIQ": 30}[name]


def test_the_nearly_constant_distances_of_an_untrained_model_are_correlated_without_a_warning():
    scores = np.random.default_rng(0).normal(size=100)
    distances = 1e-3 - 1e-15 * scores
    result = iqa_correlation(distances, scores, logistic=4)
    assert result["srcc"].value < -0.9
    assert result["plcc"].value < -0.9
