"""How embeddings of paired images and texts separate, spread and use their dimensions.

Rows are scaled to length 1. All numbers but the gap's unbiased square and the debiased participation ratio depend on n:
compare the same images in all revisions, and for RankMe and the effective rank at least 10 times as many as dimensions.

Intervals are those of the jackknife over the pairs of an image and its text, or over groups of them: exact, except for
the ranks (to the second order, and unknown for fewer than two items per dimension) and for neural collapse (to the
first, the delta method). Never resample pairs with replacement: a duplicate is at distance 0, which turns a uniformity
of -3.98 into -3.57.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._left_out import LeftOut, as_rows, centred, unit_rows
from hf_clipdyn.metrics._validation import Floats, as_codes, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling

__all__ = ["contrastive_geometry", "neural_collapse"]

_RANKME = 1e-7
_PER_DIMENSION = 2  # fewer items than this per dimension: the influences on a rank are unknown
_ALIKE = 1e-6  # singular values that differ less, relative to one of them, are taken as equal
_PINV = 1e-10  # smaller eigenvalues, relative to the largest, are 0
_FEW = {
    "gap_squared_unbiased": "there is only one pair",
    "relative_modality_gap": "there is only one pair, or all embeddings of both kinds are equal",
    "uniformity": "there is only one pair",
    "effective_rank_centred": "all embeddings are equal",
    "participation_ratio": "all embeddings are equal",
    "participation_ratio_debiased": "all embeddings are equal, or there are fewer than four",
}


def contrastive_geometry(
    images: ArrayLike,
    texts: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Modality gap, alignment, uniformity and dimensionality of the embeddings of paired images and texts.

    Args:
        images: embeddings of the images, shape (n, d), of any length but 0.
        texts: embeddings of their texts, shape (n, d), row by row.
        groups: of each pair, shape (n,): what depends on each other and is left out together (the image, if it has
            several texts); None for single pairs.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. 0 skips the intervals. The jackknife draws
            nothing, so the number and the seed are otherwise without effect.

    Returns:
        Of both together, with rows of length 1:

        - ``gap`` in [0, 2], the distance of the mean image from the mean text (Liang et al. 2022); about sqrt(2/n) for
          equal distributions. ``gap_squared_unbiased``, its square without that bias; may be negative.
        - ``relative_modality_gap`` in [0, 1], for d = (1 - cos)/2: mean d of the pairs, divided by itself plus the mean
          d within images and within texts (Schrodi et al. 2025).
        - ``alignment`` in [0, 4], the mean squared distance of the pairs (Wang and Isola 2020); smaller is closer.

        Of the images, and with ``_text`` instead of ``_image`` of the texts:

        - ``uniformity_image`` <= 0, the natural logarithm of the mean of exp(-2 distance²) over different images; 0 if
          all are equal, -4 for orthogonal ones; smaller is more uniform.
        - ``rankme_image`` (Garrido et al. 2023) and ``effective_rank_image`` (Roy and Vetterli 2007) in [1, d], the
          exponential of the entropy of the singular values, with and without their 1e-7;
          ``effective_rank_centred_image``, the latter around the mean image.
        - ``participation_ratio_image`` in [1, d], (sum of the eigenvalues)² / sum of their squares, of the covariance;
          ``participation_ratio_debiased_image``, the same with unbiased sums of squares; may exceed d.
        - ``norm_image``, the mean length before scaling.

        ``n`` pairs; ``<name>_ci``: [low, high]; ``influences``: of each number an array (G,), by the sorted groups, see
        `hf_clipdyn.metrics.influence`; ``causes``.

    Raises:
        MetricError: different shapes, a number that is not finite, an embedding of length 0.

    Examples:
        >>> from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
        >>> result = contrastive_geometry([[1, 0], [0, 1]], [[1, 0], [0, 2]], n_resamples=0)
        >>> result["gap"], result["alignment"], round(result["uniformity_image"], 6), result["norm_text"]
        (0.0, 0.0, -4.0, 1.5)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    given = _paired(images, texts)
    rows = {name: unit_rows(name, values) for name, values in given.items()}
    items = LeftOut(groups, len(rows["images"]), resampling)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimates = dict(_of_both(items, rows["images"], rows["texts"]))
        for side in ("image", "text"):
            named = f"{side}s"
            estimates |= {f"{name}_{side}": values for name, values in _of_side(items, rows[named])}
            estimates[f"norm_{side}"] = items.total(np.linalg.norm(given[named], axis=1)) / items.n
    causes = {name: _FEW.get(name.removesuffix("_image").removesuffix("_text"), "") for name in estimates}
    return items.results(estimates, causes)


def neural_collapse(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """How far the features of a class shrink to its mean, and the means spread evenly (Papyan, Han and Donoho 2020).

    Args:
        features: shape (n, d), not scaled to length 1, with d >= K - 1 and n much larger than d, for K classes.
        labels: the class of each item, shape (n,), strings or numbers.
        groups: of each item, shape (n,): what depends on each other; None for single items.
        n_resamples, confidence_level, seed: see `contrastive_geometry`.

    Returns:
        Numbers >= 0, all 0 at collapse. W is the covariance within classes, over all items; B that of the class means,
        which weigh equally.

        - ``nc1``, trace(pinv(B) W)/K; the pseudo-inverse amplifies noise. ``nc1_ratio``, trace(W)/trace(B) (Tirer et
          al. 2023), is more robust.
        - ``nc2_norms``, standard deviation over mean of the distances of the class means from their mean;
          ``nc2_angles`` in [0, sqrt(2)], the Frobenius distance of their inner products, scaled to norm 1, from those
          of a simplex.

        ``n`` items, ``n_classes``; ``<name>_ci``: [low, high], in the first order; ``influences``; ``causes``.

    Raises:
        MetricError: different lengths, other shapes, a number that is not finite, a missing label.

    Examples:
        >>> from hf_clipdyn.metrics.contrastive_geometry import neural_collapse
        >>> result = neural_collapse([[0, 1], [0, 3], [4, 1], [4, 3]], ["cat", "cat", "dog", "dog"], n_resamples=0)
        >>> round(result["nc1_ratio"], 6), result["nc2_norms"]
        (0.25, 0.0)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    rows = as_rows("features", features)
    classes, n_classes = as_codes("labels", labels, len(rows))
    items = LeftOut(groups, len(rows), resampling)
    by_class = np.eye(n_classes)[classes] / np.bincount(classes)[classes, None]
    scaled = rows / (np.abs(rows).max() or 1.0)
    class_means = by_class.T @ scaled
    deviations = centred(class_means)
    if deviations is None:
        cause = "there is only one class" if n_classes == 1 else "all classes have the same mean"
        names = ("nc1", "nc1_ratio", "nc2_norms", "nc2_angles")
        undefined = np.full(1 + items.n_groups, np.nan)
        result = items.results(dict.fromkeys(names, undefined), dict.fromkeys(names, cause))
    else:
        means = class_means - class_means.mean(axis=0)
        found = _collapse(means, scaled - class_means[classes], by_class)
        result = items.results({name: items.first_order(*pair) for name, pair in found}, {})
    return result | {"n_classes": n_classes}


def _paired(images: ArrayLike, texts: ArrayLike) -> dict[str, Floats]:
    given = {"images": as_rows("images", images), "texts": as_rows("texts", texts)}
    check_lengths(given)
    widths = [rows.shape[1] for rows in given.values()]
    if widths[0] != widths[1]:
        raise MetricError(
            f"images and texts must have the same number of dimensions, but have {widths[0]} and {widths[1]}."
        )
    return given


def _of_both(items: LeftOut, images: Floats, texts: Floats) -> Iterator[tuple[str, Floats]]:
    """Names and values, (1 + G,) each."""
    n, several = items.n, np.where(items.n > 1, items.n, np.nan)
    sums = [items.total(rows) for rows in (images, texts)]
    distances = items.total(np.square(images - texts).sum(axis=1)) / n
    gap = np.square(sums[0] - sums[1]).sum(axis=1) / n**2
    yield "gap", np.sqrt(gap)
    yield "gap_squared_unbiased", gap - (distances - gap) / (several - 1)
    between = distances / 4
    cosines = [(np.square(total).sum(axis=1) - n) / (n * (several - 1)) for total in sums]
    within = sum((1 - cosine) / 2 for cosine in cosines) / 2
    whole = between + within
    yield "relative_modality_gap", between / np.where(whole > 1e-15, whole, np.nan)
    yield "alignment", distances


def _of_side(items: LeftOut, rows: Floats) -> Iterator[tuple[str, Floats]]:
    """Names and values of one kind of embeddings, (1 + G,) each."""
    n, several = items.n, np.where(items.n > 1, items.n, np.nan)
    kernel = rows @ rows.T
    near = np.exp(4 * (kernel - 1))
    np.fill_diagonal(near, 0)
    yield "uniformity", np.log(items.pairs(near) / (n * (several - 1)))
    deviations = centred(rows)
    undefined = np.full(1 + items.n_groups, np.nan)
    shares, ranks = _effective_rank(items, rows)
    yield "rankme", ranks + (np.exp(special.entr(shares + _RANKME).sum()) - ranks[0])
    yield "effective_rank", ranks
    yield "effective_rank_centred", undefined if deviations is None else _effective_rank(items, deviations)[1]
    if deviations is None:
        yield "participation_ratio", undefined
        yield "participation_ratio_debiased", undefined
        return
    kernel = deviations @ deviations.T
    squares = np.diag(kernel).copy()
    sums = items.kernel_sums(kernel, kernel)
    trace = items.total(squares) - sums.first / n
    yield "participation_ratio", trace**2 / sums.biased
    np.fill_diagonal(kernel, 0)
    unbiased = items.kernel_sums(kernel, kernel).unbiased
    yield (
        "participation_ratio_debiased",
        (trace / (several - 1)) ** 2 / np.where(unbiased > 0, unbiased, np.nan),
    )


def _effective_rank(items: LeftOut, rows: Floats) -> tuple[Floats, Floats]:
    """The share of each singular value, and the exponential of their entropy, (1 + G,).

    Without a group, the values are those of the second order. A group takes its scatter E from R'R, whose eigenvalues
    are s². In the basis of its eigenvectors, a sum of f(s²) changes by -Σ f'(s[j]²) E[j, j] + Σ D[j, k] E[j, k]² / 2,
    for the divided differences D of f' (Daleckii and Krein). With twice as many items as dimensions, the first order
    alone gives two thirds of the standard error.
    """
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    every = singular / singular.sum()
    rank = np.exp(special.entr(every).sum())
    kept = every > np.finfo(float).eps
    left, shares = left[:, kept], every[kept]
    if len(rows) < _PER_DIMENSION * len(shares):
        return every, np.append(rank, np.full(items.n_groups, np.nan))
    logs, first, second = np.log(shares), shares[:, None], shares
    gaps = first - second
    of_logs = ((logs[:, None] + 1) * second - (logs + 1) * first) / gaps
    of_logs = np.where(np.abs(gaps) < _ALIKE * second, -(logs[:, None] + logs) / 2, of_logs)
    scale = first * second / (first + second)
    leverages = items.within(np.square(left))
    sums = 1 - leverages @ shares / 2 - _half_products(items, left, scale / 2)
    logarithms = leverages @ (shares * (logs + 1)) / 2 - _half_products(items, left, scale * of_logs / 2)
    weighted = (shares * logs).sum() - logarithms
    return every, np.append(rank, np.exp(np.log(sums) - weighted / sums))


def _half_products(items: LeftOut, left: Floats, weights: Floats) -> Floats:
    """Σ weights[j, k] (U'U)[j, k]² / 2 over the rows U of each group, (G,)."""
    if items.n_groups == len(left):
        squares = items.within(np.square(left))
        return np.asarray(((squares @ weights) * squares).sum(axis=1) / 2)
    groups = (left[items.codes == group] for group in range(items.n_groups))
    return np.array([(weights * np.square(rows.T @ rows)).sum() / 2 for rows in groups])


def _collapse(means: Floats, within: Floats, by_class: Floats) -> Iterator[tuple[str, tuple[float, Floats]]]:
    """Names, values and their derivatives by the weight of each item, (n,).

    An item moves the mean of its class by its deviation, divided by the weight of the class.

    Args:
        means: of the classes, around their mean, (K, d).
        within: deviations of the items from the means of their classes, (n, d).
        by_class: the share of each item in the mean of its class, (n, K).
    """
    (n, n_classes), squares = by_class.shape, np.square(within).sum(axis=1)
    left, lengths, right = np.linalg.svd(means, full_matrices=False)
    known = np.square(lengths) > _PINV * lengths[0] ** 2
    left, lengths, right = left[:, known], lengths[known], right[known].T
    inside = within @ right
    covariance = inside.T @ inside / n
    outside = within.T @ inside / n - right @ covariance
    nc1_items = np.square(inside / lengths).sum(axis=1)
    nc1 = float(nc1_items.mean())
    shift = within @ outside / lengths**3 - inside / lengths**2 @ covariance / lengths
    yield "nc1", (nc1, (nc1_items - nc1) / n + 2 * (shift * (by_class @ left)).sum(axis=1))

    trace_within, trace_between = float(squares.mean()), float(np.square(lengths).sum()) / n_classes
    moved = within @ means.T  # half of what each item adds to the squared length of a mean that it moves
    of_between = 2 * (moved * by_class).sum(axis=1) / n_classes
    ratio = trace_within / trace_between
    yield "nc1_ratio", (ratio, ((squares - trace_within) / n - ratio * of_between) / trace_between)

    norms = np.linalg.norm(means, axis=1)
    mean, deviation = float(norms.mean()), float(norms.std())
    own = by_class.sum(axis=1, keepdims=True)
    of_norms = moved / np.maximum(norms, np.finfo(float).tiny) * (by_class - own / n_classes)
    slopes = (norms - mean) / (deviation or 1.0) / n_classes / mean - deviation / mean**2 / n_classes
    yield "nc2_norms", (deviation / mean, of_norms @ slopes)

    products = means @ means.T
    length = np.linalg.norm(products)
    cosine = min(float(np.trace(products) / length / np.sqrt(n_classes - 1)), 1.0)
    of_length = 2 * (within @ (products @ means).T * by_class).sum(axis=1) / length
    of_cosine = n_classes * of_between / length / np.sqrt(n_classes - 1) - cosine * of_length / length
    angle = float(np.sqrt(2 - 2 * cosine))
    yield "nc2_angles", (angle, -of_cosine / angle if angle > 1e-7 else 0 * of_cosine)
