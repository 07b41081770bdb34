"""IQA correlations against SciPy, resample by resample, and the logistic fits."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.logistic_fit import fit_logistic
from hf_clipdyn.metrics.weighted_correlation import WeightedKendall, WeightedPearson, WeightedSpearman

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
    assert iqa_correlation(IQ, TELEVISION, n_resamples=0)["srcc"] == pytest.approx(-29 / 165)
    assert iqa_correlation(ANSCOMBE_X, ANSCOMBE_Y, n_resamples=0)["plcc"] == pytest.approx(0.816, abs=5e-4)


@given(COLUMNS)
def test_correlations_equal_scipys(columns):
    x, y = columns
    result = iqa_correlation(x, y, n_resamples=0)
    assert result["srcc"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert result["krcc"] == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert result["plcc"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)


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
    for key in ("srcc", "krcc", "alignment", "srcc_ci", "krcc_ci", "alignment_ci"):
        assert after[key] == pytest.approx(before[key], abs=1e-9, nan_ok=True)


def test_negated_predictions_flip_the_signs():
    x, y, groups = quality_data()
    result, flipped = (iqa_correlation(values, y, groups=groups) for values in (x, -x))
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
    assert result["alignment"] == sign * result["srcc"]
    assert result["alignment_ci"] == sorted(sign * limit for limit in result["srcc_ci"])


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("grouped", [True, False])
def test_the_fast_resamples_equal_scipy_on_the_rows_written_out(decimals, grouped):
    x, y, groups = quality_data(n_groups=12, per_group=8, decimals=decimals)
    clusters = groups if grouped else np.arange(len(x))
    n_clusters = clusters.max() + 1
    weights = np.random.default_rng(1).multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=100)
    spearman = WeightedSpearman(x, y, clusters)(weights.astype(float))
    kendall = WeightedKendall(x, y, clusters, n_clusters)(weights.astype(float))
    pearson = WeightedPearson(x, y, clusters, n_clusters)
    for b, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(x)), weight[clusters])
        assert spearman[b] == pytest.approx(stats.spearmanr(x[rows], y[rows]).statistic, abs=1e-12)
        assert kendall[b] == pytest.approx(stats.kendalltau(x[rows], y[rows]).statistic, abs=1e-12)
        assert pearson(weights.astype(float))[b] == pytest.approx(stats.pearsonr(x[rows], y[rows]).statistic)
        rmse = np.sqrt(np.mean((x[rows] - y[rows]) ** 2))
        assert pearson.rmse(weights.astype(float))[b] == pytest.approx(rmse)


def test_with_few_references_the_interval_is_students_on_the_jackknife_written_out():
    x, y, groups = quality_data(n_groups=25)
    z = np.arctanh(stats.spearmanr(x, y).statistic)
    left_out = np.arctanh([stats.spearmanr(x[groups != g], y[groups != g]).statistic for g in range(25)])
    half = stats.t.ppf(0.975, 24) * np.sqrt(24 / 25 * np.sum((left_out - left_out.mean()) ** 2))
    result = iqa_correlation(x, y, groups=groups)
    assert result["n_groups"] == 25
    assert result["srcc_ci"] == pytest.approx(np.tanh([z - half, z + half]))


def test_intervals_over_references_are_wider_than_over_rows():
    x, y, groups = quality_data(n_groups=81)
    over_references, over_rows = iqa_correlation(x, y, groups=groups), iqa_correlation(x, y)
    assert over_rows["n_groups"] == len(x)
    for key in ("srcc_ci", "krcc_ci", "plcc_ci"):
        assert np.ptp(over_references[key]) > 1.5 * np.ptp(over_rows[key])


def test_group_names_may_be_strings_and_their_order_does_not_matter(agree):
    x, y, groups = quality_data()
    names = np.array([f"I{24 - g:02d}.png" for g in groups])
    agree(iqa_correlation(x, y, groups=names), iqa_correlation(x, y, groups=groups))


def test_the_interval_of_very_many_rows_has_the_width_of_the_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=6000)
    y = x + rng.normal(size=6000)
    found = iqa_correlation(x, y, n_resamples=400)
    assert found["n_groups"] == 6000
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert np.ptp(found["plcc_ci"]) == pytest.approx(expected.high - expected.low, rel=0.15)


@pytest.mark.parametrize("times", [1, 3000])
@pytest.mark.parametrize(
    ("n_x", "n_y"), [(900, 900), (900, 3), (2, 900), (5, 4), (1, 9)], ids=lambda n: f"{n} values"
)
def test_tau_of_large_samples_equals_the_count_of_all_pairs(n_x, n_y, times):
    """Several blocks, values that fill several blocks, and weights beyond single precision."""
    rng = np.random.default_rng(n_x + n_y)
    n, n_clusters = 700, 150
    x, y = rng.integers(0, n_x, n).astype(float), rng.integers(0, n_y, n).astype(float)
    clusters = np.r_[np.arange(n_clusters), rng.integers(0, n_clusters, n - n_clusters)]
    weights = times * rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=20).astype(float)
    signs = [np.sign(np.subtract.outer(column, column)) for column in (x, y)]
    of_rows = weights[:, clusters]
    concordant, untied_x, untied_y = (
        np.einsum("bi,ij,bj->b", of_rows, one, of_rows, optimize=True)
        for one in (signs[0] * signs[1], signs[0] ** 2, signs[1] ** 2)
    )
    with np.errstate(invalid="ignore"):
        expected = concordant / np.sqrt(untied_x * untied_y)
        found = WeightedKendall(x, y, clusters, n_clusters)(weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("logistic", [4, 5])
def test_the_fit_is_the_same_for_a_quality_measure_and_its_negative(logistic):
    x, y, _ = quality_data()
    one, other = (iqa_correlation(values, y, logistic=logistic, n_resamples=0) for values in (x, -x))
    assert one["plcc_logistic"] == pytest.approx(other["plcc_logistic"], abs=1e-6)
    assert one["rmse_logistic"] == pytest.approx(other["rmse_logistic"], abs=1e-6)
    assert one["plcc_logistic"] >= abs(one["plcc"]) - 1e-6


def test_four_parameters_recover_the_curve_that_made_the_data():
    x = np.linspace(-3, 8, 60)
    y = (9 - 2) / (1 + np.exp(-(x - 2.5) / 0.8)) + 2
    fit = fit_logistic(x, y, 4)
    assert fit(x) == pytest.approx(y, abs=1e-6)
    assert iqa_correlation(x, y, logistic=4, n_resamples=0)["rmse_logistic"] == pytest.approx(0, abs=1e-6)


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
    found = iqa_correlation(unit * x, y, logistic=4, n_resamples=0)
    assert found["plcc_logistic"] == pytest.approx(expected, abs=1e-8)


def test_five_parameters_find_no_worse_a_fit_than_either_start_alone():
    def vqeg(x, b1, b2, b3, b4, b5):
        with np.errstate(over="ignore"):
            return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5

    rng = np.random.default_rng(3)
    x = rng.uniform(20, 50, size=300)  # in the range of PSNR, far from the usual start at 0
    y = np.tanh((x - 33) / 3) + 0.05 * rng.normal(size=300)
    residual = iqa_correlation(x, y, predictions_are="score", logistic=5, n_resamples=0)["rmse_logistic"]
    parameters, _ = optimize.curve_fit(vqeg, x, y, p0=[2, 0.5, 33, 0, 0], maxfev=20_000)
    assert residual <= np.sqrt(np.mean((vqeg(x, *parameters) - y) ** 2)) + 1e-6


def test_the_fit_is_kept_in_the_resamples():
    x, y, groups = quality_data(n_groups=60, per_group=10)
    result = iqa_correlation(x, y, groups=groups, logistic=4)
    fitted = fit_logistic(x, y, 4)(x)
    kept = iqa_correlation(fitted, y, groups=groups)
    assert result["plcc_logistic_ci"] == pytest.approx(kept["plcc_ci"])


def test_fewer_rows_than_parameters_leave_the_fit_undefined():
    result = iqa_correlation([1, 2, 3, 4], [1, 3, 2, 4], logistic=5)
    assert (
        result["causes"]["plcc_logistic"] == "a logistic function of 5 parameters cannot be fitted to 4 rows"
    )
    assert np.isnan(result["plcc_logistic"])
    assert np.isnan(result["rmse_logistic_ci"]).all()
    assert result["srcc"] == pytest.approx(0.8)


def test_fewer_than_ten_rows_have_fishers_interval():
    x, y = [1, 2, 3, 4, 5, 6, 7], [2, 1, 4, 3, 7, 5, 6]
    result = iqa_correlation(x, y)
    pearson = stats.pearsonr(x, y).confidence_interval()
    assert result["plcc_ci"] == pytest.approx([pearson.low, pearson.high])
    for key, variance in (("srcc", (1 + result["srcc"] ** 2 / 2) / 4), ("krcc", 0.437 / 3)):
        ends = np.arctanh(result[f"{key}_ci"])
        assert ends.mean() == pytest.approx(np.arctanh(result[key]))
        assert np.ptp(ends) == pytest.approx(2 * 1.959964 * np.sqrt(variance))
    assert result["alignment_ci"] == pytest.approx([-high for high in reversed(result["srcc_ci"])])


@pytest.mark.parametrize(
    ("x", "y", "groups", "key", "cause"),
    [
        (
            [1, 2, 3],
            [1, 3, 2],
            None,
            "srcc",
            "the error cannot be estimated from 3 rows; at least 4 are needed",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            None,
            "plcc",
            "the error cannot be estimated from 3 rows; at least 4 are needed",
        ),
        (
            [1, 2, 3, 4],
            [1, 3, 2, 4],
            None,
            "krcc",
            "the error cannot be estimated from 4 rows; at least 5 are needed",
        ),
        (range(6), range(6), None, "srcc", "a correlation of exactly 1 cannot be estimated"),
        (range(6), range(6, 0, -1), None, "krcc", "a correlation of exactly -1 cannot be estimated"),
        (range(8), range(8), [0, 0, 1, 1, 2, 2, 3, 3], "srcc", "leaving out any of the 4 groups changes"),
    ],
)
def test_an_interval_of_no_width_is_none_with_the_cause_named(x, y, groups, key, cause):
    result = iqa_correlation(list(x), list(y), groups=groups)
    assert np.isnan(result[f"{key}_ci"]).all()
    assert cause in result["causes"][f"{key}_ci"]
    assert key not in result["causes"]
    assert not np.isnan(result[key])


def test_a_fit_to_fewer_than_ten_rows_has_no_interval():
    x = np.arange(9.0)
    result = iqa_correlation(x, np.tanh(x - 4) + 0.1 * np.sin(3 * x), logistic=4)
    assert result["plcc_logistic"] > 0.9
    assert np.isnan(result["rmse_logistic_ci"]).all()
    assert "the error of a fit cannot be estimated from 9 rows" in result["causes"]["plcc_logistic_ci"]
    assert not np.isnan(result["srcc_ci"]).any()


@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-9])
@pytest.mark.parametrize("seed", range(8))
def test_a_correlation_that_one_group_alone_defines_has_the_whole_range_as_interval(noise, seed):
    """Without it the predictions, or the fitted values, are constant up to rounding, which alone once decided."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(4), 2)
    far = groups == 3
    predictions = far + noise * rng.normal(size=8)
    references = np.where(far, 4.0, 1.0) + 0.1 * rng.normal(size=8)
    result = iqa_correlation(
        predictions, references, groups=groups, predictions_are="score", logistic=4, kendall=False
    )
    assert result["causes"] == {}
    for key in ("plcc", "plcc_logistic", *([] if noise else ["srcc", "alignment"])):
        assert result[key] > 0.7
        assert result[f"{key}_ci"] == [-1, 1]


@pytest.mark.parametrize("n", [5, 7, 9])
@pytest.mark.parametrize("r", [0.0, 0.8])
def test_the_intervals_of_few_rows_cover(n, r):
    """Of the samples with an interval; the jackknife covered 87 %, 13 % of its intervals had no width."""
    truth = {"srcc": 6 / np.pi * np.arcsin(r / 2), "krcc": 2 / np.pi * np.arcsin(r), "plcc": r}
    inside = {key: [] for key in truth}
    for seed in range(400):
        x, rest = np.random.default_rng(seed).normal(size=(2, n))
        result = iqa_correlation(x, r * x + np.sqrt(1 - r**2) * rest)
        for key, value in truth.items():
            low, high = result[f"{key}_ci"]
            if not np.isnan(low):
                inside[key].append(low <= value <= high)
                assert high - low > 1e-3
    # Seven rows have 22 values of tau, so that the coverage of its interval goes up and down with the truth.
    assert all(np.mean(hits) >= (0.88 if key == "krcc" else 0.92) for key, hits in inside.items())


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
    result = iqa_correlation(x, y, logistic=4)
    assert cause in result["causes"]["srcc"]
    for key in ("srcc", "krcc", "plcc", "alignment", "plcc_logistic", "rmse_logistic"):
        assert np.isnan(result[key])
        assert np.isnan(result[f"{key}_ci"]).all()


def test_the_nearly_constant_distances_of_an_untrained_model_are_correlated_without_a_warning():
    scores = np.random.default_rng(0).normal(size=100)
    distances = 1e-3 - 1e-15 * scores
    result = iqa_correlation(distances, scores, logistic=4)
    assert result["srcc"] < -0.9
    assert result["plcc"] < -0.9


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
            n_resamples=100,
        )
        assert result["alignment"] > 0.3, name
        assert result["n_groups"] == {"TID2013": 25, "KADID-10k": 81, "CSIQ": 30}[name]


@pytest.mark.parametrize("logistic", [None, 4])
def test_leaving_kendall_out_changes_nothing_else(logistic):
    rng = np.random.default_rng(0)
    x = rng.random(80)
    y = x + rng.normal(0, 0.3, 80)
    groups = np.arange(80) // 4
    kwargs = {"groups": groups, "logistic": logistic, "n_resamples": 20}
    whole = iqa_correlation(x, y, **kwargs)
    without = iqa_correlation(x, y, kendall=False, **kwargs)
    assert {name for name in whole if name not in without} == {"krcc", "krcc_ci"}
    assert whole.pop("causes") == without.pop("causes") == {}
    for name, value in without.items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-12)
