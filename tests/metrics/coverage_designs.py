"""Data with a known truth, drawn again and again: how often does the interval of each metric contain it?

A design draws data of G clusters that depend as real ones do, and returns the numbers of a metric. The committed table
has a row for each number: its truth, the clusters, how many draws, and what was found (`scripts/coverage.py`). A truth
is a closed form, or the mean of a million items or of a thousand draws: commit 90c8ab8f computed them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.cue_preference import anchor_preference, triplet_preferences
from hf_clipdyn.metrics.error_consistency import error_consistency, observer_consistency
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.label_distribution import label_distribution
from hf_clipdyn.metrics.learning_order import rank_agreement
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.noise_robustness import accuracy_curve
from hf_clipdyn.metrics.observer_agreement import observer_agreement
from hf_clipdyn.metrics.odd_one_out import odd_one_out_scores
from hf_clipdyn.metrics.psychophysics import agreement, exemplar_interval, means_without_each
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.metrics.rsa import rsa
from hf_clipdyn.metrics.scores import Score, few_clusters, interval, mean, over, ratio
from hf_clipdyn.metrics.two_afc import two_afc

Floats = np.ndarray
Rng = np.random.Generator
Numbers = tuple[Mapping[str, Score], Mapping[str, Any]]
"""The numbers of one draw, and what its rows have in common: the keywords of `over`."""

COVERAGE = Path(__file__).parents[1] / "goldens" / "coverage.tsv"


def read_coverage() -> pd.DataFrame:
    return pd.read_csv(COVERAGE, sep="\t", comment="#")


@dataclass
class Covered:
    """Of one number: its intervals, how many contain the truth, their mean width, and how many carry a note."""

    intervals: int = 0
    hits: int = 0
    width: float = 0.0
    noted: int = 0
    noted_misses: int = 0


def covered(name: str, n_clusters: int, draws: int, truth: Mapping[str, float]) -> dict[str, Covered]:
    """How often the intervals of a design contain the true values."""
    found = {number: Covered() for number in truth}
    for seed in range(draws):
        scores, common = DESIGNS[name](np.random.default_rng(seed), n_clusters)
        for number, counts in found.items():
            score = scores[number]
            influence = None if score.influence is None else over(score.influence, **common)
            if influence is None or math.isnan(score.value):
                continue
            low, high = interval(score.value, influence, score.scale)
            if math.isnan(low):
                continue
            is_hit, has_note = low <= truth[number] <= high, bool(score.cause or few_clusters(influence))
            counts.intervals += 1
            counts.hits += is_hit
            counts.width += high - low
            counts.noted += has_note
            counts.noted_misses += has_note and not is_hit
    for counts in found.values():
        counts.width /= max(counts.intervals, 1)
    return found


# --- shares ------------------------------------------------------------------------------------------------------


def right_answers(rng: Rng, n: int, share: float) -> Numbers:
    return {"share": mean(rng.random(n) < share, "count")}, {}


def clustered_answers(rng: Rng, n: int, share: float, sizes: Sequence[int]) -> Numbers:
    """Objects with several images each; what makes an object easy has 36 % of the variance."""
    groups = np.repeat(np.arange(n), np.resize(sizes, n))
    ease = 0.6 * rng.normal(size=n)[groups] + 0.8 * rng.normal(size=len(groups))
    return {"share": mean(ease < stats.norm.ppf(share), "count")}, {"groups": groups}


def judged_triplets(rng: Rng, n: int, clarity: float) -> Numbers:
    """Votes of five people; what makes the eight triplets of one reference clear is common to them."""
    reference_of = np.repeat(np.arange(n), 8)
    size = len(reference_of)
    easy = 0.6 * rng.normal(size=n)[reference_of] + 0.8 * rng.normal(size=size)
    votes = rng.binomial(5, stats.norm.cdf(clarity * easy)) / 5
    margin = easy + 0.8 / clarity * rng.normal(size=size)
    # A larger margin is a larger distance of candidate 0, hence candidate 1 is chosen.
    return two_afc(margin, np.zeros(size), votes), {"images": reference_of[:, None]}


@cache
def triplets_of(n: int, each: int, most: int) -> Floats:
    """So many triplets an image, drawn at random from n images."""
    rng = np.random.default_rng(0)
    return np.array([rng.choice(n, 3, replace=False) for _ in range(min(each * n, most))])


def judged_materials(rng: Rng, n: int, noise: float, doubt: float) -> Numbers:
    """People see images as points in three dimensions, and a model sees them blurred."""
    triplets = triplets_of(n, 30, 10**6 if n > 8 else 56)
    points = rng.normal(size=(n, 3))
    seen = points + noise * rng.normal(size=points.shape)

    def distances(places: Floats) -> list[Floats]:
        reference, *candidates = places[triplets.T]
        return [np.linalg.norm(reference - candidate, axis=1) for candidate in candidates]

    first, second = distances(points)
    votes = rng.binomial(5, stats.norm.cdf((first - second) / doubt)) / 5
    return two_afc(*distances(seen), votes), {"images": triplets}


def odd_ones(rng: Rng, n: int, noise: float) -> Numbers:
    """People and a model see objects as points, each with its own noise at each judgement."""
    triplets, points = triplets_of(n, 40, 4000), rng.normal(size=(n, 3))
    places = points[triplets]
    model = (points + noise * rng.normal(size=points.shape))[triplets]

    def similarities(places: Floats) -> Floats:
        """Of the pair without each image, (n, 3)."""
        pairs = [places[:, (k + 1) % 3] - places[:, (k + 2) % 3] for k in range(3)]
        return -np.linalg.norm(np.stack(pairs, axis=1), axis=2)

    chosen = similarities(places + 0.3 * rng.normal(size=places.shape)).argmax(axis=1)
    right, _ = odd_one_out_scores(similarities(model), chosen)
    return {"accuracy": mean(right, "share")}, {"images": triplets}


@cache
def conflicts(n: int) -> Floats:
    """Images that cross 3 n shape and n texture exemplars, at 25 images a texture exemplar; 48 is the released set."""
    if n == 48:
        rows = [
            (10 * i + (5 * j + k) % 10, 3 * j + (i + k) % 3)
            for i in range(16)
            for j in range(16)
            if i != j
            for k in range(5)
        ]
        return np.array(rows)
    rng = np.random.default_rng(0)
    cells = rng.permutation(3 * n * n)[: min(25 * n, 3 * n * n // 2)]
    return np.stack([cells // n, cells % n], axis=1)


def cues(rng: Rng, n: int, shape: float, texture: float) -> Numbers:
    """Evidence for the shape over the texture: effects of both exemplars, and of the image; variance 1."""
    cells = conflicts(n)
    effects = [rng.normal(size=cells[:, way].max() + 1)[cells[:, way]] for way in (0, 1)]
    latent = 0.6 * effects[0] + 0.6 * effects[1] + np.sqrt(0.28) * rng.normal(size=len(cells))
    of_shape, of_texture = latent > stats.norm.isf(shape), latent < stats.norm.ppf(texture)
    both = of_shape | of_texture
    scores = {
        "shape_bias": ratio(of_shape, both, "count"),
        "cue_accuracy": mean(both, "count"),
        "shape_accuracy": mean(of_shape, "count"),
    }
    return scores, {"groups": cells}


def preferences(rng: Rng, n: int, spread: Sequence[float]) -> Numbers:
    """Embeddings around a common direction, as CLIP's are, to which shapes, textures and each image add so much.

    So do their classes, which stay in all draws: of six shapes and two textures, or ten and three of the released set.
    """
    cells, each = (conflicts(n)[::4], [10, 3]) if n == 48 else (conflicts(n), [6, 2])
    classes, stay = cells // each, np.random.default_rng(7)
    rows = 10 * np.eye(8)[0] + spread[2] * rng.normal(size=(len(cells), 8))
    for way in (0, 1):
        rows += spread[3] * stay.normal(size=(16, 8))[classes[:, way]]
        rows += spread[way] * rng.normal(size=(cells[:, way].max() + 1, 8))[cells[:, way]]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return anchor_preference(*triplet_preferences(rows, *classes.T, *cells.T)), {"groups": cells}


# --- ranks, correlations and distributions -----------------------------------------------------------------------


def jnd_pairs(rng: Rng, n: int, noise: float) -> Numbers:
    strength = rng.normal(size=n)
    votes = rng.binomial(3, stats.norm.cdf((-strength - 0.3) / noise)) / 3
    return jnd_map(strength + noise * rng.normal(size=n), votes, groups=np.arange(n) % 100), {}


def captioned(rng: Rng, n: int, clarity: float) -> Numbers:
    """Three captions an image, which share its clarity. Recall falls with the number of candidates."""
    owner = np.repeat(np.arange(n), 3)
    clear = clarity + rng.normal(size=n)
    scores = rng.normal(size=(n, 3 * n))
    scores[owner, np.arange(3 * n)] += clear[owner]
    return recall_at_k(scores, owner, ks=(1, 5)), {}


def opinions(rng: Rng, n: int, noise: float) -> Numbers:
    """Twelve distorted versions of each reference, which shifts distances and opinions of all of them."""
    groups = np.repeat(np.arange(n), 12)
    level, size = rng.normal(size=len(groups)), len(groups)
    distances = level + noise * (rng.normal(size=n)[groups] + rng.normal(size=size))
    scores = -level + noise * (0.4 * rng.normal(size=n)[groups] + 0.6 * rng.normal(size=size))
    return iqa_correlation(distances, scores, groups=groups), {}


def rankings(rng: Rng, n: int, r: float) -> Numbers:
    """Two skewed rankings of the same items."""
    shared = rng.normal(size=n)
    x, y = (np.sqrt(r) * shared + np.sqrt(1 - r) * rng.normal(size=n) for _ in range(2))
    return rank_agreement(np.exp(x), y), {}


def scores_of_maps(rng: Rng, n: int) -> Numbers:
    """Scores of images as broad and skewed as those of saliency maps: AUC, NSS, KL, IG and CC."""
    scores = {
        "auc, broad": mean(rng.beta(3.5, 1.5, n), "share"),
        "auc, skewed": mean(rng.beta(8.0, 0.6, n), "share"),
        "nss": mean(rng.gamma(0.8, 3.0, n)),
        "kl": mean(rng.gamma(2.0, 0.4, n)),
        "ig": mean(1.0 + rng.standard_t(5, n)),
        "cc": mean(np.tanh(0.9 + 0.4 * rng.normal(size=n)), "correlation"),
    }
    return scores, {}


def doubted(rng: Rng, n: int) -> Numbers:
    """Ten classes; 40 people doubt about some images more than about others, and so does the model."""
    labels = np.arange(n) % 10
    doubt = rng.uniform(0.3, 2.0, n)[:, None]
    scores = 3 * np.eye(10)[labels] + 0.5 * rng.normal(size=(n, 10))
    counts = np.stack([rng.multinomial(40, one) for one in special.softmax(scores / doubt, axis=1)])
    seen = scores + 0.4 * rng.normal(size=(n, 10))
    model = special.softmax(seen / (doubt * np.exp(rng.normal(0, 0.5, (n, 1)))), axis=1)
    return label_distribution(model, counts, labels, groups=np.arange(n) % 100), {}


# --- observers, levels and contrasts -----------------------------------------------------------------------------


def observers(rng: Rng, n: int, accuracies: Sequence[float], shared: float) -> Floats:
    """Observers who share the difficulty of the images: whether each is right, (n, observers)."""
    difficulty = np.sqrt(shared) * rng.normal(size=n)
    evidence = difficulty[:, None] + np.sqrt(1 - shared) * rng.normal(size=(n, len(accuracies)))
    return (evidence < stats.norm.ppf(accuracies)).astype(float)


def two_observers(rng: Rng, n: int, accuracies: Sequence[float], shared: float) -> Numbers:
    return error_consistency(*observers(rng, n, accuracies, shared).T), {}


def model_and_people(rng: Rng, n: int, accuracies: Sequence[float]) -> Numbers:
    """Kappa of a model with each person, and of people with each other, averaged; the difference of accuracies."""
    right = observers(rng, n, accuracies, shared=0.5)
    model, people = right[:, 0], right[:, 1:]
    scores = {
        "model": observer_consistency(people, model)["kappa"],
        "people": observer_consistency(people)["kappa"],
        "accuracy_difference": observer_agreement(people, model)["accuracy_difference"],
    }
    return scores, {}


def noise_levels(rng: Rng, n: int, accuracies: Sequence[float]) -> Numbers:
    """Of images at three levels, the numbers of the last one and of the curve: 70 % of the variance is the image's."""
    ease = np.sqrt(0.7) * rng.normal(size=(n, 1)) + np.sqrt(0.3) * rng.normal(size=(n, len(accuracies)))
    right = (ease < stats.norm.ppf(accuracies)).astype(float)
    by_level, of_curve = accuracy_curve(right, [0.0, 0.1, 0.3], n_classes=10)
    return by_level[-1] | of_curve, {}


CONDITIONS = np.linspace(-2, -0.5, 10)


def contrasts(rng: Rng, n: int, error: float, noise: float) -> Numbers:
    """log10 contrasts of equal response of n exemplars in ten conditions; people's are `CONDITIONS`."""
    truth = CONDITIONS + error * np.cos(3 * CONDITIONS)
    means = means_without_each(
        (truth + noise * (rng.normal(size=(n, 1)) + rng.standard_t(6, size=(n, 10)))).T
    )
    found = agreement(10**means, 10**CONDITIONS)

    def of_exemplars(metric: str, values: Floats) -> Score:
        def ends(*_: Any) -> tuple[float, float]:
            return exemplar_interval(metric, values)

        return Score(float(values[0]), left_out_influence(values[1:]), ends)

    scores = {name: of_exemplars(name, getattr(found, name)) for name in ("log_rmse", "alignment")}
    return scores | {"contrast": Score(float(means[0, 0]), left_out_influence(means[1:, 0]))}, {}


# --- embeddings --------------------------------------------------------------------------------------------------


def two_views(rng: Rng, n: int, noise: float) -> list[Floats]:
    """Two embeddings of the same items, of 12 dimensions with unlike variances; of infinite noise nothing is common."""
    spread = np.arange(1, 13) ** -0.5
    shared = spread * rng.normal(size=(n, 12)) * np.isfinite(noise)
    return [shared + min(noise, 1.0) * spread * rng.normal(size=(n, 12)) for _ in range(2)]


def similar_views(rng: Rng, n: int, noise: float) -> Numbers:
    return cka(*two_views(rng, n, noise)), {}


def views_with_neighbours(rng: Rng, n: int, noise: float) -> Numbers:
    return mutual_knn(*two_views(rng, n, noise), k=5), {}


def paired(rng: Rng, n: int) -> Numbers:
    images = rng.normal(size=(n, 8)) * np.arange(1, 9) ** -0.5 + 0.5
    texts = images + 0.5 * rng.normal(size=images.shape) - 0.8 * np.eye(8)[0]
    return contrastive_geometry(images, texts), {}


def dissimilarities(rng: Rng, people: int, images: int, models: int = 1) -> list[Numbers]:
    """Images and people are drawn; models and people see noisy versions of the same images."""
    latent = rng.normal(size=(images, 3))
    first, second = np.triu_indices(images, 1)

    def seen(sd: float) -> Floats:
        place = latent + rng.normal(0, sd, latent.shape)
        return np.linalg.norm(place[first] - place[second], axis=1)

    of_models = [seen(0.7) for _ in range(models)]
    persons = np.stack([seen(rng.uniform(0.5, 1.5)) for _ in range(people)])
    crossed = np.stack(np.divmod(np.arange(images * people), people), axis=1)
    return [(rsa(one, persons), {"groups": crossed}) for one in of_models]


def one_of_dissimilarities(rng: Rng, people: int, images: int) -> Numbers:
    return dissimilarities(rng, people, images)[0]


# --- the designs -------------------------------------------------------------------------------------------------

SIZES = {"ten images": [10], "1 to 40 images": [1, 2, 5, 10, 40]}
SPREADS = {
    "alike": (1, 1, 1, 1),
    "exemplars": (2, 2, 0.5, 1),
    "textures": (0.3, 1, 0.3, 1),
    "no classes": (1, 1, 0.3, 0.1),
}
PAIRS = [
    (0.62, 0.42, 0.5),
    (0.9, 0.8, 0.5),
    (0.9, 0.9, 0.98),
    (0.97, 0.9, 0.3),
    (0.99, 0.9, 0.5),
    (0.5, 0.5, 0.0),
]
GROUPS = [(0.6, 0.7, 0.75, 0.8, 0.85), (0.85, 0.9, 0.95, 0.93, 0.97, 0.9, 0.95)]
CURVES = [(0.85, 0.7, 0.3), (0.85, 0.7, 0.45), (0.97, 0.95, 0.9), (0.2, 0.18, 0.15)]
ERRORS = [(0.3, 0.1), (0.03, 0.1), (0.3, 0.4)]

DESIGNS: dict[str, Callable[[Rng, int], Numbers]] = {
    **{f"accuracy {at:g}": partial(right_answers, share=at) for at in (0.5, 0.9, 0.98)},
    **{
        f"accuracy {at:g}, objects of {named}": partial(clustered_answers, share=at, sizes=sizes)
        for at in (0.5, 0.9, 0.98)
        for named, sizes in SIZES.items()
    },
    "two_afc, doubted": partial(judged_triplets, clarity=1.0),
    "two_afc, clear": partial(judged_triplets, clarity=8.0),
    "two_afc, shared images, doubted": partial(judged_materials, noise=0.7, doubt=0.7),
    "two_afc, shared images, clear": partial(judged_materials, noise=0.05, doubt=0.1),
    **{f"odd one out, noise {at:g}": partial(odd_ones, noise=at) for at in (0.7, 0.05)},
    **{
        f"cues, shape {s:g}, texture {t:g}": partial(cues, shape=s, texture=t)
        for s, t in ((0.3, 0.3), (0.6, 0.1), (0.5, 0.02))
    },
    **{f"cue preference, {name}": partial(preferences, spread=of) for name, of in SPREADS.items()},
    **{f"jnd, noise {at:g}": partial(jnd_pairs, noise=at) for at in (0.7, 0.1)},
    **{f"recall, clarity {at:g}": partial(captioned, clarity=at) for at in (2.0, 4.0)},
    **{f"opinions, noise {at:g}": partial(opinions, noise=at) for at in (1.4, 0.3, 0.1)},
    **{f"learning order, correlation {at:g}": partial(rankings, r=at) for at in (0.3, 0.9)},
    "saliency, means over images": scores_of_maps,
    "label distribution": doubted,
    **{
        f"kappa at {p1:g} and {p2:g}, shared {r:g}": partial(two_observers, accuracies=(p1, p2), shared=r)
        for p1, p2, r in PAIRS
    },
    **{
        f"kappa averaged over people, model at {of[0]:g}": partial(model_and_people, accuracies=of)
        for of in GROUPS
    },
    **{
        f"noise, accuracies {of[0]:g}, {of[1]:g}, {of[2]:g}": partial(noise_levels, accuracies=of)
        for of in CURVES
    },
    **{f"contrasts, error {e:g}, noise {n:g}": partial(contrasts, error=e, noise=n) for e, n in ERRORS},
    **{f"cka, noise {at:g}": partial(similar_views, noise=at) for at in (np.inf, 0.8, 0.2)},
    **{f"mutual knn, noise {at:g}": partial(views_with_neighbours, noise=at) for at in (0.8, 0.2)},
    **{f"rsa, {n} images": partial(one_of_dissimilarities, images=n) for n in (24, 40, 92)},
    "geometry": paired,
}
