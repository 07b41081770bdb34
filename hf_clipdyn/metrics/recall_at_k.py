"""Recall at k of image-text retrieval, in both directions, with its chance level."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints, columns
from hf_clipdyn.metrics.scores import Score, Scores, mean, ratio


def recall_at_k(
    similarities: ArrayLike,
    caption_images: ArrayLike,
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> Scores:
    """Share of queries that have a right answer among the k most similar candidates.

    Ties are broken at random and the expectation is taken, so that embeddings that have all
    collapsed to one point score exactly chance, neither 0 nor 1.

    Args:
        similarities: larger is more similar, shape (n_images, n_captions).
        caption_images: index of the image that each caption describes, shape (n_captions,); every
            image has at least one caption.
        ks: numbers of candidates, each >= 1.

    Returns:
        For each k, in [0, 1]: ``image_to_text_recall_at_<k>`` (any caption of the image counts) and
        ``text_to_image_recall_at_<k>``, with what each image contributes together with its captions (the gallery that
        is searched stays as it is); ``image_to_text_chance_at_<k>`` and ``text_to_image_chance_at_<k>``, the same for
        candidates in random order, without an error.

    Raises:
        MetricError: wrong shapes, NaN, an index outside the images, an image without a caption.

    Examples:
        >>> from hf_clipdyn.metrics.recall_at_k import recall_at_k
        >>> result = recall_at_k([[0.9, 0.1], [0.3, 0.2]], [0, 1], ks=(1,))
        >>> result["image_to_text_recall_at_1"].value, result["text_to_image_recall_at_1"].value
        (0.5, 1.0)
    """
    (table,) = columns(similarities=similarities)
    owner = np.asarray(caption_images)
    n_images = len(table)
    if table.shape != (n_images, len(owner)) or not np.array_equal(np.unique(owner), np.arange(n_images)):
        raise MetricError(
            f"caption_images must name each of the {n_images} images at least once, and have one entry for each "
            f"column of similarities, whose shape is {table.shape}."
        )
    n_captions, n_own, depths = len(owner), np.bincount(owner, minlength=n_images), np.array(ks)
    scores: dict[str, Score] = {}
    for k, found in zip(ks, _image_to_text(table, owner, depths), strict=True):
        scores[f"image_to_text_recall_at_{k}"] = mean(found, "share")
        missed = _none_among(np.full(n_images, k), n_own, n_captions - n_own)
        scores[f"image_to_text_chance_at_{k}"] = Score(float(1 - missed.mean()), n=n_images)
    for k, found in zip(ks, _text_to_image(table, owner, depths), strict=True):
        of_images = np.bincount(owner, weights=found, minlength=n_images)
        scores[f"text_to_image_recall_at_{k}"] = replace(ratio(of_images, n_own), n=n_captions)
        scores[f"text_to_image_chance_at_{k}"] = Score(min(k / n_images, 1.0), n=n_captions)
    return Scores(scores, n_images=n_images, n_captions=n_captions)


def _image_to_text(table: Floats, owner: Ints, depths: Ints) -> Floats:
    """Probability that a caption of the image is among the first k, shape (len(depths), n_images)."""
    own = owner == np.arange(len(table))[:, None]
    best = np.where(own, table, -np.inf).max(axis=1, keepdims=True)
    equal = table == best
    greater = (table > best).sum(axis=1)
    tied_own, tied_other = (equal & own).sum(axis=1), (equal & ~own).sum(axis=1)
    return np.stack([1 - _none_among(k - greater, tied_own, tied_other) for k in depths])


def _text_to_image(table: Floats, owner: Ints, depths: Ints) -> Floats:
    """Probability that the caption's image is among the first k, shape (len(depths), n_captions)."""
    right = table[owner, np.arange(len(owner))]
    greater = (table > right).sum(axis=0)
    tied = (table == right).sum(axis=0)
    return np.asarray(np.clip((depths[:, None] - greater) / tied, 0.0, 1.0))


def _none_among(places: Ints, wanted: Ints, others: Ints) -> Floats:
    """Probability that none of ``wanted`` is on the first ``places`` when they and ``others`` are shuffled."""
    places = np.maximum(places, 0)
    with np.errstate(invalid="ignore"):
        log = (
            special.gammaln(others + 1)
            - special.gammaln(others - places + 1)
            - special.gammaln(others + wanted + 1)
            + special.gammaln(others + wanted - places + 1)
        )
    return np.where(places > others, 0.0, np.exp(np.where(places > others, 0.0, log)))
