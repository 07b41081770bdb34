"""Recall at k of image-text retrieval, in both directions, with its chance level."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints, as_class_ids
from hf_clipdyn.metrics.bootstrap import Resampling, resampled_intervals

__all__ = ["recall_at_k"]


def recall_at_k(
    similarities: ArrayLike,
    caption_images: ArrayLike,
    *,
    ks: Sequence[int] = (1, 5, 10),
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of queries that have a right answer among the k most similar candidates.

    Ties are broken at random and the expectation is taken, so that embeddings that have all
    collapsed to one point score exactly chance, neither 0 nor 1.

    Args:
        similarities: larger is more similar, shape (n_images, n_captions).
        caption_images: index of the image that each caption describes, shape (n_captions,); every
            image has at least one caption.
        ks: numbers of candidates, each >= 1.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. Images are resampled, each with its captions;
            the gallery that is searched stays as it is.

    Returns:
        For each k, in [0, 1]: ``image_to_text_recall_at_<k>`` (any caption of the image counts) and
        ``text_to_image_recall_at_<k>``; ``image_to_text_chance_at_<k>`` and
        ``text_to_image_chance_at_<k>``, the same for candidates in random order;
        ``<recall>_ci`` [low, high]; ``n_images`` and ``n_captions``; ``influences``: of each recall an array
        (n_images,), see `hf_clipdyn.metrics.influence`.

    Raises:
        MetricError: wrong shapes, NaN, an index outside the images, an image without a caption.

    Examples:
        >>> from hf_clipdyn.metrics.recall_at_k import recall_at_k
        >>> result = recall_at_k([[0.9, 0.1], [0.3, 0.2]], [0, 1], ks=(1,), n_resamples=0)
        >>> result["image_to_text_recall_at_1"], result["text_to_image_recall_at_1"]
        (0.5, 1.0)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    table, owner = _validated(similarities, caption_images)
    if not ks or min(ks) < 1:
        raise MetricError(f"ks must be whole numbers of 1 or more, but they are {list(ks)}.")
    n_images, n_captions = table.shape
    n_own = np.bincount(owner, minlength=n_images)
    depths = np.array(ks)

    found_texts = _image_to_text(table, owner, depths)
    found_images = _text_to_image(table, owner, depths)
    per_image = np.stack([np.bincount(owner, weights=row, minlength=n_images) for row in found_images])

    def recalls(weights: Floats) -> Floats:
        to_text = weights @ found_texts.T / weights.sum(axis=1, keepdims=True)
        to_image = weights @ per_image.T / (weights @ n_own)[:, None]
        return np.concatenate([to_text, to_image], axis=1)

    ones = np.ones(n_images, dtype=np.int64)
    names = [f"{way}_recall_at_{k}" for way in ("image_to_text", "text_to_image") for k in ks]
    result: dict[str, Any] = dict(zip(names, recalls(ones[None].astype(np.float64))[0].tolist(), strict=True))
    for k in ks:
        missed = _none_among(np.full(n_images, k), n_own, n_captions - n_own)
        result[f"image_to_text_chance_at_{k}"] = float(1 - missed.mean())
        result[f"text_to_image_chance_at_{k}"] = min(k / n_images, 1.0)
    contributions = [(row - row.mean()) / n_images for row in found_texts]
    contributions += [(row - row.sum() / n_captions * n_own) / n_captions for row in per_image]
    result |= {"n_images": n_images, "n_captions": n_captions}
    result["influences"] = dict(zip(names, contributions, strict=True))
    if resampling:
        intervals = resampled_intervals(recalls, ones, ["share"] * len(names), resampling).tolist()
        result |= {f"{name}_ci": interval for name, interval in zip(names, intervals, strict=True)}
    return result


def _validated(similarities: ArrayLike, caption_images: ArrayLike) -> tuple[Floats, Ints]:
    table = np.asarray(similarities, dtype=np.float64)
    owner = as_class_ids("caption_images", caption_images)
    if table.ndim != 2 or table.shape[1] != len(owner):
        raise MetricError(
            f"similarities must have the shape (images, captions) = (…, {len(owner)}), but have {table.shape}."
        )
    if not np.isfinite(table).all():
        raise MetricError("similarities must be finite, but some are NaN or infinite.")
    if owner.max() >= len(table):
        raise MetricError(
            f"caption_images names image {owner.max()}, but there are only {len(table)} images."
        )
    without = np.setdiff1d(np.arange(len(table)), owner)
    if len(without):
        raise MetricError(f"Every image needs a caption, but image {without[0]} has none.")
    return table, owner


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
