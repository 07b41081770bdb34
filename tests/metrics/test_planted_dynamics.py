"""Statistics of learning on made-up runs in which an effect is present, absent or reversed."""

from itertools import product

import numpy as np
import pytest

from hf_clipdyn.metrics.bootstrap import student_interval
from hf_clipdyn.metrics.error_consistency import kappa_forms, pair_statistics
from hf_clipdyn.metrics.influence import Influence, Units, mean_over_pairs
from hf_clipdyn.metrics.learning_order import learning_order, rank_agreement
from hf_clipdyn.metrics.phases import half_rise_lead, settling
from hf_clipdyn.metrics.representation import representation_similarity

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


def over_seeds(values):
    """Student's interval of 95 % over seeds."""
    table = np.array(values)
    return student_interval(table.mean(), table.var(ddof=1) / len(table), "linear", 0.95, len(table) - 1)


def layer(rng, settled, n=100, d=16):
    """Embeddings of a layer over training, whose share of its last state is given."""
    start, end = rng.normal(size=(2, n, d))
    states = [(1 - share) * start + share * end + 0.3 * rng.normal(size=(n, d)) for share in settled]
    return [*states[:-1], end]


@EFFECTS
@pytest.mark.parametrize("name", ["cka_debiased", "angular_shape_distance"])
def test_lower_layers_that_settle_earlier_are_found(name, effect):
    """By the CKA with the last revision, and by the angular distance from it."""
    rng, samples, differences = np.random.default_rng(4), [0, 1, 2, 4, 8, 16, 32], []
    for _ in range(5):
        curves = []
        for depth in range(4):
            middle = 2.5 + 0.8 * effect * (depth - 1.5) + 0.3 * rng.normal()
            settled = np.clip(0.5 + (np.log2([0.5, *samples[1:]]) - middle) / 4, 0, 1)
            states = layer(rng, [0, *settled[1:]])
            found = [representation_similarity(one, states[-1], n_resamples=0)[name] for one in states]
            curves.append(found if name == "cka_debiased" else 1 - np.array(found) / (np.pi / 2))
        differences.append(settling(curves, samples)["lower_minus_upper"])
    assert says(effect, *over_seeds(differences))


def test_layers_that_resemble_their_end_before_training_have_no_progress():
    curves = [[0.95, 0.97, 1.0], [0.2, 0.9, 1.0]]
    result = settling(curves, [0, 1, 2])
    assert np.isnan(result["mean_progress"]).tolist() == [True, False]
    assert np.isnan(result["lower_minus_upper"])
    assert "above 0.9 already" in result["causes"]["lower_minus_upper"]
    assert settling(curves[1:], [0, 1, 2])["causes"] == {"lower_minus_upper": "there is only one layer"}


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
        leads.append(half_rise_lead(*curves, samples, *windows)["lead"])
    assert says(effect, *over_seeds(leads))
