"""Corrections for the number of comparisons."""

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.statistics.corrections import CORRECTIONS, adjusted, error_rates

ALPHA = 0.05


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        ("bonferroni", [0.04, 0.16, 0.12, 0.02]),
        ("holm", [0.03, 0.06, 0.06, 0.02]),
        ("bh", [0.02, 0.04, 0.04, 0.02]),
        ("by", [0.0417, 0.0833, 0.0833, 0.0417]),
        ("none", [0.01, 0.04, 0.03, 0.005]),
    ],
)
def test_four_p_values_are_corrected_as_by_hand(correction, expected):
    assert adjusted([0.01, 0.04, 0.03, 0.005], correction).round(4).tolist() == expected


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_a_family_has_no_order_and_one_number_alone_is_not_corrected(correction):
    p, order = np.repeat(np.linspace(0, 1, 20) ** 3, 2), np.random.default_rng(1).permutation(40)
    assert np.array_equal(adjusted(p[order], correction), adjusted(p, correction)[order])
    assert adjusted([], correction).tolist() == error_rates([], correction).tolist() == []
    assert (adjusted([0.01], correction), error_rates([0.01], correction, ALPHA)) == ([0.01], [ALPHA])


@pytest.fixture(scope="module")
def drawn():
    """2,000 tables of ten correlated differences over 40 clusters, no effects: means, errors, degrees of freedom."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=(2000, 40, 1)), rng.normal(size=(2000, 40, 10))
    items = np.sqrt(0.5) * (common + own)
    error = items.std(axis=1, ddof=1) / np.sqrt(40)
    return items.mean(axis=1), error, 39


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_an_interval_excludes_0_exactly_if_the_corrected_p_value_is_significant(drawn, correction):
    mean, error, df = drawn
    effects, n_intervals = np.linspace(0, 0.8, 10), 0
    for difference, scale in zip(mean[:300] + effects, error[:300], strict=True):
        p = adjusted(2 * stats.t.sf(np.abs(difference) / scale, df), correction)
        half = stats.t.ppf(1 - error_rates(p, correction, ALPHA) / 2, df) * scale
        has_interval = np.isfinite(half)
        assert np.array_equal((np.abs(difference) > half)[has_interval], (p <= ALPHA)[has_interval])
        if correction in ("bh", "by"):
            assert np.array_equal(has_interval, p <= ALPHA)
        n_intervals += has_interval.sum()
    assert (n_intervals > 0) == (correction != "holm"), "the intervals of Bonferroni would contradict Holm"


@pytest.mark.slow
@pytest.mark.parametrize("correction", ["bonferroni", "bh", "by"])
def test_intervals_cover_true_differences_as_often_as_they_say(drawn, correction):
    """Bonferroni: all of a table together. The others: the mean share of selected rows whose interval misses."""
    mean, error, df = drawn
    truth = np.linspace(0, 0.8, 10)
    missed = []
    for difference, scale in zip(mean + truth, error, strict=True):
        p = adjusted(2 * stats.t.sf(np.abs(difference) / scale, df), correction)
        half = stats.t.ppf(1 - error_rates(p, correction, ALPHA) / 2, df) * scale
        misses = np.abs(difference - truth) > half  # False without an interval
        missed.append(
            misses.any() if correction == "bonferroni" else misses.sum() / max(np.isfinite(half).sum(), 1)
        )
    assert 0 < np.mean(missed) <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / len(mean))
