"""Statistics of learning on made-up runs in which an effect is present, absent or reversed."""

from itertools import product

import numpy as np
import pytest

from hf_clipdyn.metrics.error_consistency import kappa_forms, pair_statistics
from hf_clipdyn.metrics.estimate import Influence, Units, mean_over_pairs, weighted_sum
from hf_clipdyn.metrics.explained_information import explained_information
from hf_clipdyn.metrics.learning_order import learning_order, rank_agreement

N = 1200
UNITS = Units("images", np.arange(N)[:, None], N)
EFFECTS = pytest.mark.parametrize("effect", [1, 0, -1], ids=["present", "absent", "reversed"])


def says(effect, low, high):
    """Whether an interval is on the side of the effect, or contains 0."""
    return low > 0 if effect > 0 else high < 0 if effect < 0 else low <= 0 <= high


@EFFECTS
def test_the_order_of_people_within_classes_is_found(effect):
    rng = np.random.default_rng(3)
    people, classes = rng.random(N), np.arange(N) % 10
    ease = effect * people + 0.3 * classes + rng.normal(size=N)
    right = ease + rng.normal(size=(1, 10, N)) > np.linspace(3, 0.5, 10)[:, None]
    order = learning_order(right, n_resamples=0)["accessibility"]
    result = rank_agreement(order, people, groups=classes, reliability=0.695)
    assert says(effect, *result["spearman_ci"])
    assert abs(result["corrected"]) > abs(result["spearman"])


@pytest.mark.parametrize(
    ("effect", "shared", "noise"),
    [(1, 1.2, 1.0), (0, 0.0, 1.0), (-1, 0.0, 0.1)],
    ids=["present", "absent", "reversed"],
)
def test_an_arm_whose_seeds_share_errors_of_their_own_is_found(effect, shared, noise):
    """Kappa within the main arm minus that with the other arm, which is reversed if the other one has less noise."""
    rng = np.random.default_rng(1)
    common, own = rng.normal(size=(2, N))
    main, other = rng.normal(size=(2, 3, N))
    main, other = common + shared * own + main > -0.5, common + noise * other > -0.5
    ends = [(a, b) for a, b in product(range(3), repeat=2) if a != b]
    within = [(a, b) for a, b in ends if a < b]
    first = np.stack([main[a] for a, _ in within + ends], axis=1).astype(float)
    second = np.stack([*(main[b] for _, b in within), *(other[b] for _, b in ends)], axis=1).astype(float)
    influences = [Influence.on(UNITS, one) for one in pair_statistics(first, second)[1][0].T]
    kappas = kappa_forms(first, second)["kappa_unbiased"]
    result = mean_over_pairs(kappas, within + ends, influences, signs=[1] * 3 + [-1] * 6)
    assert says(effect, *result["ci"])


@EFFECTS
def test_a_share_that_a_linear_model_explains_less_and_less_is_found(effect):
    """Early minus late, of models that answer as the linear one does on a share of the images, else better."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, N)
    linear = np.where(rng.random(N) < 0.75, labels, 1 - labels)
    better = np.where(rng.random(N) < 0.85, labels, 1 - labels)
    copied = {"early": 0.5 + 0.4 * effect, "late": 0.5 - 0.4 * effect}
    found = [
        explained_information(np.where(rng.random(N) < share, linear, better), linear, labels)
        for share in copied.values()
    ]
    influences = [Influence.on(UNITS, one["influences"]["explained_share"]) for one in found]
    difference = found[0]["explained_share"] - found[1]["explained_share"]
    half = 1.96 * np.sqrt(weighted_sum(influences, [1, -1]).variance)
    assert says(effect, difference - half, difference + half)
