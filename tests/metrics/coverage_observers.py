"""Designs of coverage_designs.py for observers who agree, for rankings, for cues and for curves over levels."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
from coverage_designs import DESIGNS, Data, Design, Floats, Known, always, known
from scipy import stats

from hf_clipdyn.metrics.error_consistency import observer_consistency, observer_pairs, pair_statistics
from hf_clipdyn.metrics.learning_order import rank_agreement
from hf_clipdyn.metrics.noise_robustness import accuracy_curve
from hf_clipdyn.metrics.observer_agreement import observer_agreement
from hf_clipdyn.metrics.scores import Scale, interval, mean, over, ratio

# --- agreement of observers --------------------------------------------------------------------------------------


def observers(rng: np.random.Generator, n: int, accuracies: tuple[float, ...], shared: float) -> Data:
    """Observers who share the difficulty of the images: whether each is right, (n, observers)."""
    difficulty = np.sqrt(shared) * rng.normal(size=n)
    evidence = difficulty[:, None] + np.sqrt(1 - shared) * rng.normal(size=(n, len(accuracies)))
    return (evidence < stats.norm.ppf(accuracies)).astype(float), np.arange(n)


def kappa_of(p1: float, p2: float, shared: float) -> float:
    both = stats.multivariate_normal([0, 0], [[1, shared], [shared, 1]]).cdf(stats.norm.ppf([p1, p2]))
    observed, expected = 1 - p1 - p2 + 2 * both, p1 * p2 + (1 - p1) * (1 - p2)
    return float((observed - expected) / (1 - expected))


def of_kappa(data: Data) -> dict[str, Known]:
    right, groups = data
    values, influences = pair_statistics(right[:, :1], right[:, 1:2])
    influence = over(influences[0, :, 0], groups)
    return {
        "kappa": Known(float(values[0, 0]), influence, *scale_of_kappa(rarest(right[:, :1], right[:, 1:2]))),
        "observed": Known(float(values[3, 0]), over(influences[3, :, 0], groups), "count"),
    }


def rarest(first: Floats, second: Floats) -> float:
    """How often an observer of a pair has the rarer of its two outcomes, at least; the mean over pairs."""
    counts = np.stack([first.sum(axis=0), second.sum(axis=0)])
    return float(np.minimum(counts, len(first) - counts).min(axis=0).mean())


def scale_of_kappa(rare: float) -> tuple[Scale, None, str]:
    return "correlation" if rare >= 5 else "none", None, "few errors" if rare < 40 else ""


for p1, p2, shared in (
    (0.62, 0.42, 0.5),
    (0.9, 0.8, 0.5),
    (0.9, 0.9, 0.98),
    (0.97, 0.9, 0.3),
    (0.99, 0.9, 0.5),
    (0.5, 0.5, 0.0),
):
    DESIGNS[f"kappa at {p1:g} and {p2:g}, shared {shared:g}"] = Design(
        partial(observers, accuracies=(p1, p2), shared=shared),
        of_kappa,
        always(
            {
                "kappa": kappa_of(p1, p2, shared),
                "observed": 1
                - p1
                - p2
                + 2
                * stats.multivariate_normal([0, 0], [[1, shared], [shared, 1]]).cdf(stats.norm.ppf([p1, p2])),
            }
        ),
        (20, 50, 160, 1280),
        metric="error_consistency",
    )


def of_people(data: Data) -> dict[str, Known]:
    """Kappa of a model with each person, and of people with each other, averaged; the difference of accuracies."""
    right, groups = data
    people, model = right[:, 1:], right[:, :1]
    result = {}
    for name, one in {"model": model[:, 0], "people": None}.items():
        found = observer_consistency(people, one)["kappa"]
        rare = rarest(*observer_pairs(people, one))
        result[name] = Known(found.value, over(found.influence, groups), *scale_of_kappa(rare))
    agreed = observer_agreement(people, model[:, 0])["accuracy_difference"]
    value, influence = agreed.value, over(agreed.influence, groups)
    caution = "near 0" if value < 3 * np.sqrt(influence.variance) else ""
    return result | {"accuracy_difference": Known(value, influence, "linear", None, caution)}


def truth_of_people(model: float, people: tuple[float, ...], shared: float) -> dict[str, float]:
    between = [kappa_of(a, b, shared) for at, a in enumerate(people) for b in people[at + 1 :]]
    return {
        "model": float(np.mean([kappa_of(model, one, shared) for one in people])),
        "people": float(np.mean(between)),
        "accuracy_difference": float(np.mean([(model - one) ** 2 for one in people])),
    }


for model, people in ((0.6, (0.7, 0.75, 0.8, 0.85)), (0.85, (0.9, 0.95, 0.93, 0.97, 0.9, 0.95))):
    DESIGNS[f"kappa averaged over people, model at {model:g}"] = Design(
        partial(observers, accuracies=(model, *people), shared=0.5),
        of_people,
        always(truth_of_people(model, people, 0.5)),
        (8, 20, 50, 160, 1280),
        metric="error_consistency",
    )


def margins(rng: np.random.Generator, n: int, r: float) -> Data:
    """Two skewed rankings of the same items."""
    shared = rng.normal(size=n)
    x, y = (np.sqrt(r) * shared + np.sqrt(1 - r) * rng.normal(size=n) for _ in range(2))
    return np.exp(x), y


def of_order(data: Data) -> dict[str, Known]:
    found = rank_agreement(*data)["spearman"]
    return {"spearman": Known(found.value, over(found.influence, None), found.scale)}


for at in (0.3, 0.9):
    DESIGNS[f"learning order, correlation {at:g}"] = Design(
        partial(margins, r=at),
        of_order,
        always({"spearman": 6 / np.pi * np.arcsin(at / 2)}),
        (8, 20, 50, 100, 500),
        metric="learning_order",
    )

# --- cues --------------------------------------------------------------------------------------------------------


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


def crossed(
    rng: np.random.Generator, n: int, shares: tuple[float, float], spread: tuple[float, float]
) -> Data:
    """Evidence for the shape over the texture: effects of both exemplars, and of the image; variance 1."""
    cells = conflicts(n)
    effects = [rng.normal(size=cells[:, way].max() + 1)[cells[:, way]] for way in (0, 1)]
    rest = np.sqrt(1 - spread[0] ** 2 - spread[1] ** 2) * rng.normal(size=len(cells))
    latent = spread[0] * effects[0] + spread[1] * effects[1] + rest
    return latent > stats.norm.isf(shares[0]), latent < stats.norm.ppf(shares[1]), cells


def of_cues(data: Data) -> dict[str, Known]:
    shape, texture, cells = data
    both = shape | texture
    return {
        "shape_bias": known(ratio(shape, both, "count"), cells),
        "cue_accuracy": known(mean(both, "count"), cells),
        "shape_accuracy": known(mean(shape, "count"), cells),
    }


for s, t in ((0.3, 0.3), (0.6, 0.1), (0.5, 0.02)):
    DESIGNS[f"cues, shape {s:g}, texture {t:g}"] = Design(
        partial(crossed, shares=(s, t), spread=(0.6, 0.6)),
        of_cues,
        always({"shape_bias": s / (s + t), "cue_accuracy": s + t, "shape_accuracy": s}),
        (8, 20, 48),
        metric="shape_bias",
    )

# --- curves over levels ------------------------------------------------------------------------------------------

LEVELS = np.array([0.0, 0.1, 0.3])


def noisy(rng: np.random.Generator, n: int, accuracies: tuple[float, ...]) -> Data:
    """Whether images are right at each level, (n, levels): 70 % of the variance is that of the image."""
    ease = np.sqrt(0.7) * rng.normal(size=(n, 1)) + np.sqrt(0.3) * rng.normal(size=(n, len(accuracies)))
    return ((ease < stats.norm.ppf(accuracies)).astype(float),)


def of_noise(data: Data) -> dict[str, Known]:
    return of_curve(*data, LEVELS)


def of_curve(right: Floats, places: Floats) -> dict[str, Known]:
    """The numbers of a curve over levels, and those of its last level; those that are undefined are left out."""
    by_level, whole = accuracy_curve(right, places, n_classes=10)
    names = ("accuracy", "chance_corrected_drop", "area", "threshold")
    known = {
        name: Known(score.value, over(score.influence), score.scale, None, score.cause)
        for name, score in (by_level[-1] | whole).items()
        if name in names and score.influence is not None and np.isfinite(score.value)
    }
    if "threshold" in known:
        threshold = known["threshold"]
        low, high = np.clip(interval(threshold.value, threshold.influence), places[0], places[-1])
        known["threshold"] = replace(threshold, ends=(low, high))
    return known


def truth_of_noise(clean: float, middle: float, last: float) -> dict[str, float]:
    half = (clean + 0.1) / 2
    found = {
        "accuracy": last,
        "chance_corrected_drop": (clean - last) / (clean - 0.1),
        "area": (0.1 * (clean + middle) / 2 + 0.2 * (middle + last) / 2) / 0.3,
    }
    if last < half - 1e-9 and half < middle:
        found["threshold"] = 0.1 + 0.2 * (middle - half) / (middle - last)
    return found


for of in ((0.85, 0.7, 0.3), (0.85, 0.7, 0.45), (0.97, 0.95, 0.9), (0.2, 0.18, 0.15)):
    DESIGNS[f"noise, accuracies {of[0]:g}, {of[1]:g}, {of[2]:g}"] = Design(
        partial(noisy, accuracies=of),
        of_noise,
        always(truth_of_noise(*of)),
        (20, 50, 200, 1000),
        metric="noise_robustness",
    )
