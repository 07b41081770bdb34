"""Learning of single items: numbers of the authors' code, and planted learners."""

import numpy as np
import pytest
from recipes import trials
from scipy import stats

from hf_clipdyn.metrics.learning_order import learning_order, rank_agreement
from hf_clipdyn.metrics.phases import half_rise

RIGHT = trials(3, 8, 40, (7, 31, 13, 17, 3, 101), 8, 11)[2]


@pytest.fixture(scope="module")
def order():
    return learning_order(RIGHT)


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("first_learned", "1525646344133253444561425232438722202424"),
        ("stably_learned", "1507646776106753480568775206078767800876"),
        ("forgotten", "0021000111011200012001120011220012301121"),
    ],
)
def test_items_are_learned_and_forgotten_when_the_authors_code_says(order, name, digits):
    assert "".join(map(str, order.facts[name][0])) == digits


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("forgetting_events", [34, 44, 40], [44.9, 47.25, 41.8]),
        ("never_learned", [1, 2, 1], [0.0651291416, 0.1166110107, 0.0660854004]),
        ("unforgettable", [15, 14, 16], None),
    ],
)
def test_the_numbers_of_items_match_the_authors_code(order, name, values, expected):
    alone = [learning_order(RIGHT[run : run + 1])[name].value * 40 for run in range(3)]
    assert alone == pytest.approx(values, abs=5e-11)
    assert order[name].value * 40 == pytest.approx(np.mean(values))
    if expected:
        assert np.multiply(order.facts[f"{name}_expected"], 40) == pytest.approx(expected, abs=5e-11)


@pytest.mark.parametrize(("name", "rho"), [("accessibility", -0.0868514405), ("first_learned", 0.2680332679)])
def test_the_orders_of_two_runs_correlate_as_published(name, rho):
    alone = [learning_order(RIGHT[run : run + 1]) for run in (0, 1)]
    ranks = [np.ravel(one.facts[name]) for one in alone]
    ranks = [np.where(one == 0, 9, one) for one in ranks] if name == "first_learned" else ranks
    assert rank_agreement(*ranks)["spearman"].value == pytest.approx(rho, abs=5e-11)


def test_a_random_learner_has_the_expected_numbers():
    """Permuting the items of each run and revision keeps all accuracies and nothing else."""
    right = np.arange(20_000) % 10 < [[[3], [5], [8]], [[2], [6], [6]]]
    right = np.random.default_rng(0).permuted(right, axis=-1)
    result = learning_order(right)
    for name in ("never_learned", "forgetting_events", "unforgettable"):
        assert result[name].value == pytest.approx(np.mean(result.facts[f"{name}_expected"]), rel=0.03)


def test_the_rank_correlation_is_scipys_in_each_group():
    rng = np.random.default_rng(0)
    x, y, groups = rng.integers(0, 8, 300), rng.normal(size=300), np.arange(300) % 3
    y += 0.2 * x + groups
    result = rank_agreement(x, y, groups=groups)
    expected = np.mean([stats.spearmanr(x[groups == one], y[groups == one])[0] for one in range(3)])
    assert result["spearman"].value == pytest.approx(expected)
    assert len(result["spearman"].influence) == 100, "blocks of items are left out"
    few = rank_agreement([1, 2, 3, 4, 4, 4, 1, 2], [1, 3, 2, 1, 2, 3, 1, 2], groups=list("aaabbbcc"))
    assert few.facts["n_groups"] == 1, "a constant one and one of two items have no ranks"


# --- when a number rises -----------------------------------------------------------------------------------------

SAMPLES = 2.0 ** np.arange(8)
EARLY, LATE = np.arange(8) < 2, np.arange(8) > 5


def rise(middle):
    return 0.2 + 0.5 / (1 + np.exp(-8 * (np.log2(SAMPLES) - middle)))


@pytest.mark.parametrize("middle", [2.0, 3.5, 4.5])
def test_the_half_rise_is_where_it_was_planted(middle):
    result = half_rise(rise(middle), SAMPLES, EARLY, LATE)
    assert (result.value, result.cause) == (pytest.approx(middle, abs=0.01), "")


def test_one_lucky_revision_does_not_decide_when_a_number_rises():
    curve = rise(4.5)
    curve[2] = 0.9
    assert half_rise(curve, SAMPLES, EARLY, LATE).value > 3.5


def test_a_flat_half_counts_with_its_middle():
    assert half_rise([0, 0.5, 0.5, 1], [1, 2, 4, 8], [1, 0, 0, 0], [0, 0, 0, 1]).value == 1.5
