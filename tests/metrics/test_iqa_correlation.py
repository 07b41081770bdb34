"""IQA correlations and their influences against SciPy, and the logistic fit."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation, spearman

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
    result = iqa_correlation(x, y)
    assert result["srcc"].value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert result["krcc"].value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert result["plcc"].value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)


@given(COLUMNS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(agree, columns, random):
    x, y = columns
    order = random.sample(range(len(x)), len(x))
    expected = iqa_correlation(x, y, groups=x)
    agree(iqa_correlation(x[order], y[order], groups=x[order]), expected)


@given(COLUMNS)
def test_a_monotone_transform_leaves_the_rank_correlations_alone(columns):
    x, y = columns
    before, after = iqa_correlation(x, y), iqa_correlation(np.exp(x / 3), y**3)
    for key in ("srcc", "krcc", "alignment"):
        assert after[key].value == pytest.approx(before[key].value, abs=1e-9)
        assert after[key].influence == pytest.approx(before[key].influence, abs=1e-9, nan_ok=True)


def test_negated_predictions_flip_the_signs():
    x, y, groups = quality_data()
    result, flipped = (iqa_correlation(values, y, groups=groups).report() for values in (x, -x))
    for key in ("srcc", "krcc", "plcc", "alignment"):
        assert flipped[key] == pytest.approx(-result[key])
        assert flipped[f"{key}_ci"] == pytest.approx([-high for high in reversed(result[f"{key}_ci"])])


@pytest.mark.parametrize(
    ("predictions_are", "higher_is_better", "sign"),
    [("distance", True, -1), ("distance", False, 1), ("score", True, 1), ("score", False, -1)],
)
def test_alignment_is_larger_the_closer_to_people(predictions_are, higher_is_better, sign):
    x, y, _ = quality_data()
    result = iqa_correlation(x, y, predictions_are=predictions_are, higher_is_better=higher_is_better)
    assert result["alignment"].value == sign * result["srcc"].value
    assert result["alignment"].influence == pytest.approx(sign * result["srcc"].influence)


@pytest.mark.parametrize("decimals", [None, 0])
def test_influences_are_those_of_the_jackknife_over_references(decimals):
    x, y, groups = quality_data(n_groups=12, per_group=8, decimals=decimals)
    result = iqa_correlation(x, y, groups=groups, logistic=4)
    kept = [groups != group for group in range(12)]
    for name, function in (("krcc", stats.kendalltau), ("plcc", stats.pearsonr)):
        without = np.array([function(x[rows], y[rows]).statistic for rows in kept])
        assert result[name].influence == pytest.approx((without.mean() - without) * 11 / 12)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_spearmans_influence_is_the_jackknifes_in_the_first_order(decimals):
    x, y, groups = quality_data(n_groups=100, per_group=30, decimals=decimals)
    found = spearman(x, y, groups=groups)
    without = np.array(
        [stats.spearmanr(x[groups != group], y[groups != group]).statistic for group in range(100)]
    )
    jackknife = (without.mean() - without) * 99 / 100
    assert found.influence.sum() == pytest.approx(0, abs=1e-12)
    assert np.abs(found.influence - jackknife).max() < 0.05 * np.abs(jackknife).max()
    assert found.influence.std() == pytest.approx(jackknife.std(), rel=0.02)
    by_row = spearman(x[:900], y[:900])
    for row in (0, 400):
        rest = np.arange(900) != row
        moved = by_row.value - stats.spearmanr(x[:900][rest], y[:900][rest]).statistic
        assert moved == pytest.approx(by_row.influence[row], abs=1e-5)


def test_intervals_over_references_are_wider_than_over_rows():
    x, y, groups = quality_data(n_groups=81)
    grouped, alone = iqa_correlation(x, y, groups=groups), iqa_correlation(x, y)
    assert (grouped.facts["n_groups"], alone.facts["n"]) == (81, 81 * 24)
    over_references, over_rows = grouped.report(), alone.report()
    for key in ("srcc_ci", "krcc_ci", "plcc_ci"):
        assert np.ptp(over_references[key]) > 1.5 * np.ptp(over_rows[key])


def test_group_names_may_be_strings_and_their_order_does_not_matter():
    x, y, groups = quality_data()
    names = np.array([f"I{24 - g:02d}.png" for g in groups])
    found, expected = (iqa_correlation(x, y, groups=one).report(one) for one in (names, groups))
    for key in ("srcc_ci", "krcc_ci", "plcc_ci"):
        assert found[key] == pytest.approx(expected[key])


def test_the_interval_of_very_many_rows_has_the_width_of_the_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=6000)
    y = x + rng.normal(size=6000)
    found = iqa_correlation(x, y).report()
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert np.ptp(found["plcc_ci"]) == pytest.approx(expected.high - expected.low, rel=0.15)


def test_the_fit_is_the_same_for_a_quality_measure_and_its_negative():
    x, y, _ = quality_data()
    one, other = (iqa_correlation(values, y, logistic=4) for values in (x, -x))
    for name in ("plcc_logistic", "rmse_logistic"):
        assert one[name].value == pytest.approx(other[name].value, abs=1e-6)
    assert one["plcc_logistic"].value >= abs(one["plcc"].value) - 1e-6


def test_the_fit_recovers_the_curve_that_made_the_data():
    x = np.linspace(-3, 8, 60)
    y = (9 - 2) / (1 + np.exp(-(x - 2.5) / 0.8)) + 2
    assert iqa_correlation(x, y, logistic=4)["rmse_logistic"].value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("unit", [1e-10, 1e-7, 1.0, 100.0])
def test_the_fit_is_scipys_in_every_unit_and_kept_in_the_influence(unit):
    # The distances of an untrained model: a fit with steps of 1e-8 gave .918 in place of .948.
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 0.5, 3000)
    y = 6 / (1 + np.exp(2 * (x - 1))) + rng.normal(0, 0.5, 3000)

    def curve(x, b1, b2, b3, b4):
        return (b1 - b2) / (1 + np.exp(-(x - b3) / b4)) + b2

    best, _ = optimize.curve_fit(curve, -x, y, [y.max(), y.min(), -x.mean(), x.std() / 4])
    fitted = curve(-x, *best)
    found = iqa_correlation(unit * x, y, logistic=4)
    kept = iqa_correlation(fitted, y)["plcc"]
    assert found["plcc_logistic"].value == pytest.approx(stats.pearsonr(fitted, y).statistic, abs=1e-8)
    assert found["plcc_logistic"].influence == pytest.approx(kept.influence, abs=1e-7)
    assert found["rmse_logistic"].value == pytest.approx(np.sqrt(np.mean((fitted - y) ** 2)), abs=1e-8)


def test_no_more_rows_than_parameters_leave_the_fit_undefined():
    result = iqa_correlation([1, 2, 3, 4], [1, 3, 2, 4], logistic=4).report()
    assert (
        result["causes"]["plcc_logistic"] == "a logistic function of 4 parameters cannot be fitted to 4 rows"
    )
    assert np.isnan(result["plcc_logistic"])
    assert np.isnan(result["rmse_logistic_ci"]).all()
    assert result["srcc"] == pytest.approx(0.8)


def test_what_one_group_alone_defines_has_no_interval():
    groups = np.repeat(np.arange(4), 2)
    references = np.where(groups == 3, 4.0, 1.0) + 0.1 * np.random.default_rng(0).normal(size=8)
    result = iqa_correlation(groups == 3, references, groups=groups, predictions_are="score").report(groups)
    assert result["plcc"] > 0.9
    assert np.isnan(result["plcc_ci"]).all()


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
    for key in ("srcc", "krcc", "plcc", "alignment", "plcc_logistic", "rmse_logistic"):
        assert cause in result["causes"][key]
        assert np.isnan(result[key])
        assert np.isnan(result[f"{key}_ci"]).all()


def test_the_nearly_constant_distances_of_an_untrained_model_are_correlated_without_a_warning():
    scores = np.random.default_rng(0).normal(size=100)
    distances = 1e-3 - 1e-15 * scores
    result = iqa_correlation(distances, scores, logistic=4)
    assert result["srcc"].value < -0.9
    assert result["plcc"].value < -0.9


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"references": [1.0]}, r"predictions \(3,\), references \(1,\)"),
        ({"predictions": [1.0, np.nan, 2.0]}, "predictions must be finite"),
        ({"groups": [1, 2]}, r"predictions \(3,\), groups \(2,\)"),
        ({"groups": ["a", None, "b"]}, "groups must not have missing values"),
        ({"predictions_are": "similarity"}, "'distance' or 'score'"),
        ({"logistic": 5}, "None or 4"),
        ({"predictions": [], "references": []}, "at least one"),
    ],
)
def test_a_wrong_argument_is_named(wrong, message):
    with pytest.raises(MetricError, match=message):
        iqa_correlation(**{"predictions": [1.0, 2.0, 3.0], "references": [1.0, 2.0, 3.0]} | wrong)
