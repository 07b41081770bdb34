"""Do 95 % intervals cover the true value in 95 % of 1,000 draws of data that depend as real ones do?

The true values follow from the normal models that the draws come from, in closed form where there
is one. Draws are cheap and seeds fixed, so that a change of a construction shows.
"""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.metrics.cue_preference import cue_preference
from hf_clipdyn.metrics.error_consistency import error_consistency
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.noise_robustness import noise_robustness
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.metrics.saliency import saliency
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES, shape_bias
from hf_clipdyn.metrics.two_afc import two_afc
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

pytestmark = pytest.mark.slow
DRAWS = 1000


def coverage(draw, truth):
    """Share of draws whose interval holds the truth, for each key of ``truth``."""
    hits = dict.fromkeys(truth, 0)
    for seed in range(DRAWS):
        result = draw(np.random.default_rng(seed), seed)
        for key, value in truth.items():
            low, high = result[f"{key}_ci"] if not isinstance(key, tuple) else result[f"{key[0]}_ci"][key[1]]
            hits[key] += low <= value <= high
    return {key: count / DRAWS for key, count in hits.items()}


def assert_covered(draw, truth):
    assert_nominal(coverage(draw, truth))


def assert_nominal(shares):
    assert all(0.92 <= share <= 0.98 for share in shares.values()), shares


@cache
def crossed_exemplars():
    """1,200 conflicts that cross 160 shape and 48 texture exemplars, as those of Geirhos et al. do."""
    rows = [
        (i, j, 10 * i + (5 * j + k) % 10, 3 * j + (i + k) % 3)
        for i in range(16)
        for j in range(16)
        if i != j
        for k in range(5)
    ]
    return np.array(rows).T


def crossed_latent(rng, spread_shape=0.6, spread_texture=0.6):
    """Evidence for the shape over the texture: effects of both exemplars, and of the image; variance 1."""
    _, _, shape_exemplar, texture_exemplar = crossed_exemplars()
    rest = np.sqrt(1 - spread_shape**2 - spread_texture**2)
    return (
        spread_shape * rng.normal(size=160)[shape_exemplar]
        + spread_texture * rng.normal(size=48)[texture_exemplar]
        + rest * rng.normal(size=len(shape_exemplar))
    )


@pytest.mark.parametrize(("shape_share", "texture_share"), [(0.3, 0.3), (0.6, 0.1)])
def test_shape_bias_covers_with_crossed_exemplars(shape_share, texture_share):
    names = np.array(GEIRHOS_CLASSES)
    i, j, shape_exemplar, texture_exemplar = crossed_exemplars()
    shapes, textures = names[i], names[j]
    upper, lower = stats.norm.isf(shape_share), stats.norm.ppf(texture_share)

    def draw(rng, seed):
        latent = crossed_latent(rng)
        decisions = np.where(latent > upper, shapes, np.where(latent < lower, textures, "na"))
        return shape_bias(
            decisions, shapes, textures, shape_exemplars=shape_exemplar, texture_exemplars=texture_exemplar
        )

    truth = {
        "shape_bias": shape_share / (shape_share + texture_share),
        "cue_accuracy": shape_share + texture_share,
        "shape_accuracy": shape_share,
        "texture_accuracy": texture_share,
    }
    assert_covered(draw, truth)


@pytest.mark.parametrize("preference", [0.5, 0.85])
def test_cue_preference_covers_with_crossed_exemplars(preference):
    _, _, shape_exemplar, texture_exemplar = crossed_exemplars()

    def draw(rng, seed):
        latent = crossed_latent(rng, 0.4, 0.7) + stats.norm.ppf(preference)
        return cue_preference(
            -latent, np.zeros(1200), shape_exemplars=shape_exemplar, texture_exemplars=texture_exemplar
        )

    assert_covered(draw, {"shape_preference": preference})


def test_the_same_draws_are_not_covered_when_rows_are_resampled():
    """Why exemplars are asked for: the interval over rows is known to be too narrow."""

    def draw(rng, seed):
        return cue_preference(-crossed_latent(rng, 0.4, 0.7), np.zeros(1200), n_resamples=300, seed=seed)

    assert coverage(draw, {"shape_preference": 0.5})["shape_preference"] < 0.7


@pytest.mark.parametrize(("n_references", "per_reference"), [(25, 24), (81, 12)])
def test_iqa_correlations_cover_with_random_effects_of_the_references(n_references, per_reference):
    """The references hold 17 % of the variance of the distances and 4 % of that of the scores.

    Of the opinion scores of TID2013, KADID-10k, CSIQ and LIVE they hold 0 to 1.3 %.
    """
    groups = np.repeat(np.arange(n_references), per_reference)

    def draw(rng, seed):
        level = rng.normal(size=len(groups))
        distances = level + 0.5 * rng.normal(size=n_references)[groups] + 0.5 * rng.normal(size=len(groups))
        scores = -level + 0.2 * rng.normal(size=n_references)[groups] + 0.3 * rng.normal(size=len(groups))
        return iqa_correlation(distances, scores, groups=groups).report(groups)

    r = -1 / np.sqrt((1 + 0.5**2 + 0.5**2) * (1 + 0.2**2 + 0.3**2))
    srcc = 6 / np.pi * np.arcsin(r / 2)
    assert_covered(draw, {"srcc": srcc, "krcc": 2 / np.pi * np.arcsin(r), "plcc": r, "alignment": -srcc})


@pytest.mark.parametrize("n_images", [40, 300])
def test_error_consistency_covers_for_observers_who_share_the_difficulty_of_the_images(n_images):
    shared, biases = 0.5, np.array([0.3, -0.2])

    def draw(rng, seed):
        difficulty = np.sqrt(shared) * rng.normal(size=n_images)
        evidence = difficulty + np.sqrt(1 - shared) * rng.normal(size=(2, n_images)) + biases[:, None]
        return error_consistency(*(evidence > 0), seed=seed)

    both = stats.multivariate_normal([0, 0], [[1, shared], [shared, 1]]).cdf(biases)
    p1, p2 = stats.norm.cdf(biases)
    observed, expected = 1 - p1 - p2 + 2 * both, p1 * p2 + (1 - p1) * (1 - p2)
    assert_covered(draw, {"kappa": (observed - expected) / (1 - expected), "observed": observed})


@pytest.mark.parametrize("n_references", [30, 100])
def test_two_afc_covers_for_votes_of_several_people_on_triplets_that_share_a_reference(n_references):
    groups = np.repeat(np.arange(n_references), 8)

    def triplets(rng, reference_of):
        n = len(reference_of)
        easy = 0.6 * rng.normal(size=reference_of.max() + 1)[reference_of] + 0.8 * rng.normal(size=n)
        votes = rng.binomial(5, stats.norm.cdf(easy)) / 5
        return easy + 0.8 * rng.normal(size=n), votes

    def draw(rng, seed):
        margin, votes = triplets(rng, groups)
        return two_afc(margin, np.zeros(len(margin)), votes).report(groups)

    margin, votes = triplets(np.random.default_rng(10**6), np.arange(3_000_000))
    population = two_afc(margin, np.zeros(len(margin)), votes).report()
    # A larger margin is a larger distance of candidate 0, hence candidate 1 is chosen.
    assert population["two_afc"] > 0.6
    assert_covered(draw, {key: population[key] for key in ("two_afc", "human", "ceiling")})


@pytest.mark.parametrize("n_images", [40, 200])
@pytest.mark.parametrize(("last", "reached"), [(0.3, 0.98), (0.45, 0.6)])
def test_noise_robustness_covers_for_images_that_are_seen_at_every_level(n_images, last, reached):
    """Halfway to chance is .475: many samples with a true last accuracy of .45 do not fall so far.

    Those have no threshold and no interval of it; its share is that of the others.
    """
    accuracies, levels = (0.85, 0.7, last), [0.0, 0.1, 0.3]
    groups, sigmas = np.tile(np.arange(n_images), 3), np.repeat(levels, n_images)
    thresholds = stats.norm.isf(accuracies)[:, None]
    estimates = []

    def draw(rng, seed):
        ease = np.sqrt(0.7) * rng.normal(size=n_images) + np.sqrt(0.3) * rng.normal(size=(3, n_images))
        right = (ease > thresholds).ravel().astype(int)
        result = noise_robustness(right, np.ones(len(right)), sigmas, groups=groups, n_classes=10, seed=seed)
        estimates.append(result["threshold"])
        assert np.isnan(result["threshold_ci"]).all() == np.isnan(result["threshold"])
        return result

    clean = accuracies[0]
    area = (0.1 * (0.85 + 0.7) / 2 + 0.2 * (0.7 + last) / 2) / 0.3
    threshold = 0.1 + 0.2 * (0.7 - (clean + 0.1) / 2) / (0.7 - last)
    truth = {"area": area, "threshold": threshold, "clean_accuracy": clean, ("accuracy", 2): last}
    for level in (1, 2):
        truth["relative_drop", level] = (clean - accuracies[level]) / clean
        truth["chance_corrected_drop", level] = (clean - accuracies[level]) / (clean - 0.1)
    shares = coverage(draw, truth)
    has_threshold = float(np.isfinite(estimates).mean())
    assert has_threshold > reached
    shares["threshold"] /= has_threshold
    assert_nominal(shares)


@pytest.mark.parametrize("n_images", [30, 80])
def test_saliency_covers_for_observers_whose_fixations_depend_on_the_image(n_images):
    """15 observers with 3 fixations each: every image has its own region of interest, of its own strength."""
    y, x = np.mgrid[:8, :8]
    saliency_map = np.exp(-((x - 3.5) ** 2 + (y - 3.5) ** 2) / 8)

    def fixations(rng):
        centre, spread = 4 + rng.normal(size=2), rng.uniform(0.5, 2.5)
        return np.clip(centre + spread * rng.normal(size=(45, 2)), 0, 7.999)

    def draw(rng, seed):
        points = (fixations(rng) for _ in range(n_images))
        maps = (saliency_map for _ in range(n_images))
        return saliency(maps, points, metrics=["nss", "auc"], n_resamples=400, seed=seed)

    rng = np.random.default_rng(10**6)
    many = 40_000
    population = saliency(
        (saliency_map for _ in range(many)),
        (fixations(rng) for _ in range(many)),
        metrics=["nss", "auc"],
        n_resamples=0,
    )
    assert_covered(draw, {key: population[key] for key in ("nss", "auc")})


def test_jnd_map_covers_for_votes_of_three_people():
    def pairs(rng, n):
        strength = rng.normal(size=n)
        votes = rng.binomial(3, stats.norm.cdf(-strength - 0.3)) / 3
        return strength + 0.7 * rng.normal(size=n), votes

    population = jnd_map(*pairs(np.random.default_rng(10**6), 1_000_000))["jnd_map"].value
    assert_covered(lambda rng, _: jnd_map(*pairs(rng, 600)).report(), {"jnd_map": population})


@pytest.mark.parametrize("per_class", [4, 40])
def test_zero_shot_accuracy_covers_for_classes_of_unlike_difficulty_with_equally_many_images(per_class):
    accuracies = np.linspace(0.4, 0.8, 10)
    truth = np.repeat(np.arange(10), per_class)

    def draw(rng, seed):
        luck = rng.random(len(truth))[:, None]
        # The class stands first where luck is good, sixth where it is bad, and else third.
        place = np.where(luck < accuracies[truth][:, None], 0, np.where(luck < 0.95, 2, 5))
        order = (np.arange(10) - place + truth[:, None]) % 10
        return zero_shot_accuracy(order, truth, seed=seed)

    assert_covered(draw, {"top1": accuracies.mean(), "top5": 0.95})


def test_retrieval_recall_covers_for_captions_that_share_the_difficulty_of_their_image():
    owner = np.repeat(np.arange(100), 3)

    def similarities(rng):
        clarity = 2 + rng.normal(size=100)
        scores = rng.normal(size=(100, 300))
        scores[owner, np.arange(300)] += clarity[owner]
        return scores

    def draw(rng, seed):
        return recall_at_k(similarities(rng), owner, ks=(1, 5)).report()

    names = [f"{way}_recall_at_{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5)]
    others = [np.random.default_rng(10**6 + i) for i in range(2000)]
    population = [recall_at_k(similarities(rng), owner, ks=(1, 5)).report() for rng in others]
    assert_covered(draw, {name: np.mean([result[name] for result in population]) for name in names})
