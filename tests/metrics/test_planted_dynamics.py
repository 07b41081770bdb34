"""Statistics of learning on made-up runs in which an effect is present, absent or reversed."""

from itertools import product

import numpy as np
import pytest

from hf_clipdyn.metrics.error_consistency import pair_statistics
from hf_clipdyn.metrics.influence import Influence, Units, mean_over_pairs
from hf_clipdyn.metrics.learning_order import learning_order, rank_agreement
from hf_clipdyn.metrics.phases import half_rise
from hf_clipdyn.metrics.scores import interval, mean, over

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
    order = learning_order(right).facts["accessibility"]
    score = rank_agreement(order, people, groups=classes)["spearman"]
    assert says(effect, *interval(score.value, over(score.influence), score.scale))


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
    kappas, known = (part[0] for part in pair_statistics(first, second))
    influences = [Influence.on(UNITS, one) for one in known.T]
    result = mean_over_pairs(kappas, within + ends, influences, signs=[1] * 3 + [-1] * 6)
    assert says(effect, *result["ci"])


@EFFECTS
def test_a_representation_that_leads_the_decision_is_found(effect):
    rng, samples = np.random.default_rng(5), np.arange(1, 21)
    windows = (samples >= 2) & (samples <= 4), samples >= 18
    leads = []
    for _ in range(8):
        shift = rng.normal(0, 0.05)
        curves = [
            1 / (1 + np.exp(-4 * (np.log2(samples) - 3.1 - shift - late))) + rng.normal(0, 0.02, 20)
            for late in (-0.15 * effect + rng.normal(0, 0.05), 0.15 * effect + rng.normal(0, 0.05))
        ]
        first, second = (half_rise(curve, samples, *windows).value for curve in curves)
        leads.append(second - first)
    score = mean(leads)
    assert says(effect, *interval(score.value, over(score.influence)))
