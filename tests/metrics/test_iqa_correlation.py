"""IQA correlations and their fit against SciPy, and their influences against the jackknife."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from hf_clipdyn.metrics.iqa_correlation import iqa_correlation

COLUMNS = (
    st.integers(5, 40)
    .flatmap(lambda n: st.tuples(*[hnp.arrays(float, n, elements=st.integers(-9, 9).map(float))] * 2))
    .filter(lambda columns: all(np.ptp(column) > 0 for column in columns))
)


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
    x, y = np.random.default_rng(0).normal(size=(2, 60))
    how = {"predictions_are": predictions_are, "higher_is_better": higher_is_better}
    result = iqa_correlation(x, y, **how).report()
    alone = iqa_correlation(x, y, only_alignment=True, **how)
    assert list(alone) == ["alignment"]
    assert alone["alignment"].value == result["alignment"]
    assert result["alignment"] == sign * result["srcc"]
    assert result["alignment_ci"] == pytest.approx(sorted(sign * limit for limit in result["srcc_ci"]))


def test_a_correlation_that_one_reference_alone_defines_has_no_known_error():
    found = iqa_correlation([1.0, 1, 1, 2], [1.0, 2, 3, 4])
    for name in ("krcc", "plcc"):
        assert np.isfinite(found[name].value)
        assert np.isnan(found.report()[f"{name}_ci"]).all()


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


def test_the_nearly_constant_distances_of_an_untrained_model_are_correlated_without_a_warning():
    scores = np.random.default_rng(0).normal(size=100)
    distances = 1e-3 - 1e-15 * scores
    result = iqa_correlation(distances, scores, logistic=4)
    assert result["srcc"].value < -0.9
    assert result["plcc"].value < -0.9
