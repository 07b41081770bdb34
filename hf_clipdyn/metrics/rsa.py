"""Representational similarity: do a model and human observers find the same images alike (Kriegeskorte et al. 2008)?

All matrices of dissimilarities are vectors of the P = n (n - 1) / 2 pairs of n images, the upper triangle row by row
(``numpy.triu_indices(n, 1)``). Larger is less similar; the scale of each observer is arbitrary.
"""

from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats
from hf_clipdyn.metrics.embeddings import embeddings
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.scores import Score, Scores


def rsa(predictions: ArrayLike, references: ArrayLike) -> Scores:
    """Spearman's correlation of a model's dissimilarities with each observer's, averaged.

    Args:
        predictions: the model's dissimilarities, shape (P,).
        references: each observer's, shape (observers, P).

    Returns:
        ``alignment`` in [-1, 1]. Its influence has an entry for each image and observer, (n * observers,), image by
        image: both are drawn, so intervals need their crossed names as groups. ``n_images``, ``n_people`` and
        ``by_person``, its terms. Undefined where the dissimilarities of the model or of an observer are constant.

    Raises:
        MetricError: other shapes, a number that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.rsa import rsa
        >>> found = rsa([1, 2, 3, 4, 5, 6], [[1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]])
        >>> round(found["alignment"].value, 4), [round(one, 4) for one in found.facts["by_person"]]
        (0.9429, [1.0, 0.8857])
    """
    (found,) = rsa_of_models(cast("ArrayLike", [predictions]), references)
    return found


def rsa_of_models(predictions: ArrayLike, references: ArrayLike) -> list[Scores]:
    """`rsa` of several models, which share the ranks of human observers.

    Spearman's correlation favours predictions with ties. What an image contributes is what leaving it out with all its
    pairs changes. The variance over images and observers is then the sum of both variances minus the
    variance of their pairs, so that the noise of the measurement counts once (Schütt et al. 2023, doi
    10.7554/eLife.82566).

    Args:
        predictions: shape (models, P).
        references: shape (observers, P).

    Raises:
        MetricError: as for `rsa`.
    """
    (models,), (people,) = embeddings(predictions=predictions), embeddings(references=references)
    ends = _pairs_of_images(people)
    if models.shape[1] != people.shape[1]:
        raise MetricError(
            f"predictions have {models.shape[1]} pairs and references {people.shape[1]}: give the same pairs."
        )
    n_images, n_people = int(ends.max()) + 1, len(people)
    kept = [(ends != image).all(axis=0) for image in range(n_images)]
    without = np.array([_spearman(models[:, pairs], people[:, pairs]) for pairs in kept])
    by_image = left_out_influence(without)  # (images, models, people)
    found = []
    for by_person, of_images in zip(_spearman(models, people), by_image.transpose(1, 0, 2), strict=True):
        value = float(by_person.mean())
        cells = (of_images + (by_person - value) / n_images) / n_people
        cause = "the dissimilarities are constant" if np.isnan(value) else ""
        score = Score(value, cells.ravel(), "correlation", models.shape[1], cause)
        facts = {"n_images": n_images, "n_people": n_people, "by_person": by_person.tolist()}
        found.append(Scores({"alignment": score}, **facts))
    return found


def noise_ceiling(references: ArrayLike) -> dict[str, float]:
    """The highest alignment that a model could reach, estimated from human observers (Nili et al. 2014).

    Args:
        references: shape (observers, P), at least two observers.

    Returns:
        ``lower``: each observer with the mean of the others' ranks, averaged over observers; ``upper``: with the mean
        of all, the observer among them; ``pairwise``: mean over pairs of observers. The best model is between lower and
        upper.

    Raises:
        MetricError: as for `rsa`, or fewer than two observers.

    Examples:
        >>> from hf_clipdyn.metrics.rsa import noise_ceiling
        >>> ceiling = noise_ceiling([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
        >>> round(ceiling["lower"], 6), round(ceiling["upper"], 6)
        (1.0, 1.0)
    """
    (people,) = embeddings(references=references)
    if len(people) < 2:
        raise MetricError("references come from only one observer: a ceiling needs at least two.")
    _pairs_of_images(people)
    ranks = rankdata(people, axis=1)
    total = ranks.sum(axis=0)
    lower = np.diagonal(_spearman(total - ranks, people))
    between = _spearman(people, people)[np.triu_indices(len(people), 1)]
    upper = _spearman(total[None], people)
    return {"lower": float(lower.mean()), "upper": float(upper.mean()), "pairwise": float(between.mean())}


def _spearman(models: Floats, people: Floats) -> Floats:
    """Of every model with every person, (models, people); NaN where one of the two is constant."""
    sides = []
    for rows in (models, people):
        ranks = rankdata(rows, axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
        sides.append(ranks / np.where(lengths > 0, lengths, np.nan))
    return np.asarray(sides[0] @ sides[1].T)


def _pairs_of_images(people: Floats) -> Floats:
    """The numbers of both images of each pair, (2, P)."""
    n_pairs = people.shape[1]
    n = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n * (n - 1) // 2 != n_pairs or n < 3:
        raise MetricError(
            f"{n_pairs} dissimilarities do not form the upper triangle of a matrix of at least three "
            "images: give n (n - 1) / 2 of them."
        )
    return np.stack(np.triu_indices(n, 1))
