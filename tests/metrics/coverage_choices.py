"""Designs of coverage_designs.py for shares of right answers and of people, for recall and for correlations."""

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
from coverage_designs import DESIGNS, Data, Design, Floats, Known, always, known, rows_of_means
from scipy import stats

from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.metrics.two_afc import two_afc

# --- shares ------------------------------------------------------------------------------------------------------


def right_answers(rng: np.random.Generator, n: int, share: float) -> Data:
    return {"share": rng.random(n) < share}, None


for at in (0.5, 0.9, 0.98):
    DESIGNS[f"accuracy {at:g}"] = Design(
        partial(right_answers, share=at),
        partial(rows_of_means, scales={"share": "count"}),
        always({"share": at}),
        (8, 20, 50, 200, 1000),
        metric="zero_shot_accuracy",
    )


def clustered_answers(rng: np.random.Generator, n: int, share: float, sizes: Sequence[int]) -> Data:
    """Objects with several images each; what makes an object easy has 36 % of the variance."""
    groups = np.repeat(np.arange(n), np.resize(sizes, n))
    ease = 0.6 * rng.normal(size=n)[groups] + 0.8 * rng.normal(size=len(groups))
    return {"share": ease < stats.norm.ppf(share)}, groups


for at in (0.5, 0.9, 0.98):
    for named, numbers_of in {"ten images": [10], "1 to 40 images": [1, 2, 5, 10, 40]}.items():
        DESIGNS[f"accuracy {at:g}, objects of {named}"] = Design(
            partial(clustered_answers, share=at, sizes=numbers_of),
            partial(rows_of_means, scales={"share": "count"}),
            always({"share": at}),
            (8, 20, 50, 200),
            metric="observer_agreement",
        )


# --- two alternatives --------------------------------------------------------------------------------------------


def judged_triplets(rng: np.random.Generator, reference_of: Floats, clarity: float) -> Data:
    """Votes of five people; what makes the triplets of one reference clear is common to them."""
    n = len(reference_of)
    easy = 0.6 * rng.normal(size=reference_of.max() + 1)[reference_of] + 0.8 * rng.normal(size=n)
    votes = rng.binomial(5, stats.norm.cdf(clarity * easy)) / 5
    margin = easy + 0.8 / clarity * rng.normal(size=n)
    # A larger margin is a larger distance of candidate 0, hence candidate 1 is chosen.
    return margin, np.zeros(n), votes, reference_of


def of_two_afc(data: Data) -> dict[str, Known]:
    *columns, shown = data  # the reference, or all three images
    found = two_afc(*columns)
    return {name: known(score, images=shown.reshape(len(shown), -1)) for name, score in found.items()}


@cache
def truth_of_triplets(clarity: float) -> dict[str, float]:
    many = judged_triplets(np.random.default_rng(10**6), np.arange(2_000_000), clarity)
    return {name: score.value for name, score in two_afc(*many[:3]).items()}


for name, at in {"doubted": 1.0, "clear": 8.0}.items():
    DESIGNS[f"two_afc, {name}"] = Design(
        lambda rng, n, at=at: judged_triplets(rng, np.repeat(np.arange(n), 8), at),
        of_two_afc,
        lambda _, at=at: truth_of_triplets(at),
        (8, 20, 50, 100),
        metric="two_afc",
    )


@cache
def shared_triplets(n: int) -> Floats:
    """30 triplets an image, drawn at random from n images, as of the hundred materials."""
    rng = np.random.default_rng(0)
    return np.array([rng.choice(n, 3, replace=False) for _ in range(30 * n if n > 8 else 56)])


def judged_materials(rng: np.random.Generator, triplets: Floats, noise: float, doubt: float) -> Data:
    """People see images as points in three dimensions, and a model sees them blurred."""
    points = rng.normal(size=(triplets.max() + 1, 3))
    seen = points + noise * rng.normal(size=points.shape)

    def distances(places: Floats) -> list[Floats]:
        reference, *candidates = places[triplets.T]
        return [np.linalg.norm(reference - candidate, axis=1) for candidate in candidates]

    first, second = distances(points)
    votes = rng.binomial(5, stats.norm.cdf((first - second) / doubt)) / 5
    return *distances(seen), votes, triplets


@cache
def truth_of_materials(noise: float, doubt: float) -> dict[str, float]:
    alone = np.arange(3_000_000).reshape(-1, 3)
    many = judged_materials(np.random.default_rng(10**6), alone, noise, doubt)
    return {name: score.value for name, score in two_afc(*many[:3]).items()}


for name, at in {"doubted": (0.7, 0.7), "clear": (0.05, 0.1)}.items():
    DESIGNS[f"two_afc, shared images, {name}"] = Design(
        lambda rng, n, at=at: judged_materials(rng, shared_triplets(n), *at),
        of_two_afc,
        lambda _, at=at: truth_of_materials(*at),
        (8, 20, 50, 100),
        metric="two_afc",
    )


# --- ranks and correlations --------------------------------------------------------------------------------------


def jnd_pairs(rng: np.random.Generator, n: int, noise: float) -> Data:
    strength = rng.normal(size=n)
    votes = rng.binomial(3, stats.norm.cdf((-strength - 0.3) / noise)) / 3
    return strength + noise * rng.normal(size=n), votes


def of_jnd(data: Data) -> dict[str, Known]:
    n = len(data[0])
    return {"jnd_map": known(jnd_map(*data, groups=np.arange(n) % 100)["jnd_map"])}


@cache
def truth_of_jnd(noise: float) -> dict[str, float]:
    many = jnd_pairs(np.random.default_rng(10**6), 1_000_000, noise)
    return {"jnd_map": jnd_map(*many, groups=np.arange(1_000_000) % 2)["jnd_map"].value}


for at in (0.7, 0.1):
    DESIGNS[f"jnd, noise {at:g}"] = Design(
        partial(jnd_pairs, noise=at),
        of_jnd,
        lambda _, at=at: truth_of_jnd(at),
        (8, 20, 50, 100, 600),
        metric="jnd_map",
    )


def captioned(rng: np.random.Generator, n: int, clarity: float) -> Data:
    """Three captions an image, which share its clarity."""
    owner = np.repeat(np.arange(n), 3)
    clear = clarity + rng.normal(size=n)
    scores = rng.normal(size=(n, 3 * n))
    scores[owner, np.arange(3 * n)] += clear[owner]
    return scores, owner


def of_recall(data: Data) -> dict[str, Known]:
    found = recall_at_k(*data, ks=(1, 5))
    return {name: known(score) for name, score in found.items() if score.influence is not None}


@cache
def truth_of_recall(clarity: float, n: int) -> dict[str, float]:
    """Of as many images: recall falls with the number of candidates."""
    draws = [
        recall_at_k(*captioned(np.random.default_rng(10**6 + at), n, clarity), ks=(1, 5))
        for at in range(max(1000, 40_000 // n))
    ]
    names = [name for name, score in draws[0].items() if score.influence is not None]
    return {name: float(np.mean([one[name].value for one in draws])) for name in names}


for at in (2.0, 4.0):
    DESIGNS[f"recall, clarity {at:g}"] = Design(
        partial(captioned, clarity=at),
        of_recall,
        partial(truth_of_recall, at),
        (8, 20, 50, 100),
        metric="recall_at_k",
    )


def opinion_scores(rng: np.random.Generator, n: int, noise: float) -> Data:
    """Twelve distorted versions of each reference, which shifts distances and opinions of all of them."""
    groups = np.repeat(np.arange(n), 12)
    level, size = rng.normal(size=len(groups)), len(groups)
    distances = level + noise * (rng.normal(size=n)[groups] + rng.normal(size=size))
    scores = -level + noise * (0.4 * rng.normal(size=n)[groups] + 0.6 * rng.normal(size=size))
    return distances, scores, groups


def of_opinions(data: Data) -> dict[str, Known]:
    found = iqa_correlation(*data[:2], groups=data[2])
    return {name: known(found[name]) for name in ("srcc", "krcc", "plcc")}


def truth_of_opinions(noise: float) -> dict[str, float]:
    r = -1 / np.sqrt((1 + 2 * noise**2) * (1 + 0.52 * noise**2))
    tau = 2 / np.pi * np.arcsin(r)
    return {"srcc": 6 / np.pi * np.arcsin(r / 2), "krcc": tau, "plcc": r}


for at in (1.4, 0.3, 0.1):
    DESIGNS[f"opinions, noise {at:g}"] = Design(
        partial(opinion_scores, noise=at),
        of_opinions,
        always(truth_of_opinions(at)),
        (8, 20, 25, 50, 81),
        fewer={50: 1000, 81: 1000},
        metric="iqa_correlation",
    )
