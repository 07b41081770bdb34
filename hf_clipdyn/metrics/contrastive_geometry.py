"""How embeddings of paired images and texts separate, spread and use their dimensions.

Rows are scaled to length 1. All numbers but the debiased participation ratio depend on n: compare the same images in
all revisions, and for RankMe and the effective rank at least 10 times as many as dimensions.

The influence of a pair is that of leaving it out: exact, but of the ranks to the second order, and unknown there for
fewer than two pairs per dimension. Never draw pairs with replacement: a duplicate is at distance 0, which turns a
uniformity of -3.98 into -3.57.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats
from hf_clipdyn.metrics.cka import unbiased_hsic
from hf_clipdyn.metrics.embeddings import centred, embeddings, unit_rows
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.scores import Score, Scores

_RANKME = 1e-7
_PER_DIMENSION = 2  # fewer pairs than this per dimension: the influences on a rank are unknown
_ALIKE = 1e-6  # singular values that differ less, relative to one of them, are taken as equal
_ALONE = "there is only one pair"
_CAUSES = {
    "uniformity": _ALONE,
    "effective_rank_centred": "all embeddings are equal",
    "participation_ratio": "all embeddings are equal",
    "participation_ratio_debiased": "all embeddings are equal, or there are fewer than four",
}


def contrastive_geometry(
    images: Annotated[ArrayLike, ["float64"]], texts: Annotated[ArrayLike, ["float64"]]
) -> Scores:
    """Modality gap, alignment, uniformity and dimensionality of the embeddings of paired images and texts.

    Args:
        images: embeddings of the images, shape (n, d), of any length but 0.
        texts: embeddings of their texts, shape (n, d), row by row.

    Returns:
        Of both together, with rows of length 1:

        - ``gap`` in [0, 2], the distance of the mean image from the mean text (Liang et al. 2022). ``gap_chance`` is
          what finite samples of one distribution have, about sqrt(2/n).
        - ``alignment`` in [0, 4], the mean squared distance of the pairs (Wang and Isola 2020); smaller is closer.
          ``alignment_chance`` is the same for images and the texts of others.

        Of the images, and with ``_text`` instead of ``_image`` of the texts:

        - ``uniformity_image`` <= 0, the natural logarithm of the mean of exp(-2 distance²) over different images; 0 if
          all are equal, -4 for orthogonal ones; smaller is more uniform.
        - ``rankme_image`` (Garrido et al. 2023) and ``effective_rank_image`` (Roy and Vetterli 2007) in [1, d], the
          exponential of the entropy of the singular values, with and without their 1e-7;
          ``effective_rank_centred_image``, the latter around the mean image.
        - ``participation_ratio_image`` in [1, d], (sum of the eigenvalues)² / sum of their squares, of the covariance;
          ``participation_ratio_debiased_image``, the same with unbiased sums of squares; may exceed d.
        - ``norm_image``, the mean length before scaling.

        ``n`` pairs.

    Raises:
        MetricError: different shapes, a number that is not finite, an embedding of length 0.

    Examples:
        >>> from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
        >>> found = contrastive_geometry([[1, 0], [0, 1]], [[1, 0], [0, 2]])
        >>> found["gap"].value, round(found["uniformity_image"].value, 6), found["norm_text"].value
        (0.0, -4.0, 1.5)

    References:
        liang2022mind
    """
    unscaled = embeddings(images=images, texts=texts)
    widths = [rows.shape[1] for rows in unscaled]
    if widths[0] != widths[1]:
        raise MetricError(
            f"images and texts must have the same number of dimensions, but have {widths[0]} and {widths[1]}."
        )
    sides = unit_rows(images=unscaled[0], texts=unscaled[1])
    n = len(sides[0])
    scores = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        numbers = [("", *one) for one in _of_both(*sides)]
        for name, rows, before in zip(("image", "text"), sides, unscaled, strict=True):
            numbers += [(f"_{name}", *one) for one in _of_side(rows)]
            numbers.append((f"_{name}", "norm", _without_each(np.linalg.norm(before, axis=1)) / _counts(n)))
    for side, name, values in numbers:
        cause = _CAUSES.get(name, "") if np.isnan(values[0]) else ""
        influence = left_out_influence(values[1:]) if n > 1 else np.full(1, np.nan)
        scores[f"{name}{side}"] = Score(float(values[0]), influence, "linear", n, cause)
    gap, alignment = scores["gap"].value, scores["alignment"].value
    others = n - 1 or np.nan
    cosine = (n * float(np.dot(*(rows.mean(axis=0) for rows in sides))) - (1 - alignment / 2)) / others
    chances = {"gap_chance": float(np.sqrt(np.fmax((alignment - gap**2) / others, 0 * others)))}
    return Scores(scores, n=n, **chances, alignment_chance=2 - 2 * cosine)


def _counts(n: int) -> Floats:
    """Of all rows and without each, (1 + n,)."""
    return np.asarray(np.r_[float(n), np.repeat(n - 1.0, n)])


def _without_each(rows: Floats) -> Floats:
    """Sums of all rows and without each, (n, ...) -> (1 + n, ...)."""
    whole = rows.sum(axis=0)
    return np.asarray(np.concatenate([whole[None], whole - rows]))


def _of_both(images: Floats, texts: Floats) -> Iterator[tuple[str, Floats]]:
    """Names with values, of all pairs and without each."""
    n = _counts(len(images))
    yield "gap", np.linalg.norm(_without_each(images - texts), axis=1) / n
    yield "alignment", _without_each(np.square(images - texts).sum(axis=1)) / n


def _of_side(rows: Floats) -> Iterator[tuple[str, Floats]]:
    """Names with values, of all embeddings of one kind and without each."""
    n = _counts(len(rows))
    several = np.where(n > 1, n, np.nan)
    near = np.exp(4 * (rows @ rows.T - 1))
    np.fill_diagonal(near, 0)
    of_pairs = near.sum() - 2 * np.r_[0.0, near.sum(axis=1)]
    yield "uniformity", np.log(of_pairs / (n * (several - 1)))
    shares, ranks = _effective_rank(rows)
    yield "rankme", ranks + (np.exp(entr(shares + _RANKME).sum()) - ranks[0])
    yield "effective_rank", ranks
    deviations = centred(rows)
    undefined = np.full(len(n), np.nan)
    yield "effective_rank_centred", _effective_rank(deviations)[1] if deviations.any() else undefined
    squares = np.square(deviations).sum(axis=1)
    trace = _without_each(squares) - np.r_[0.0, squares] / several  # around the mean of those that are left
    yield "participation_ratio", trace**2 / _squared_covariance(deviations)
    unbiased = unbiased_hsic(deviations, deviations)
    yield (
        "participation_ratio_debiased",
        (trace / (several - 1)) ** 2 / np.where(unbiased > 0, unbiased, np.nan),
    )


def _squared_covariance(rows: Floats) -> Floats:
    """Sum of the squared entries of the scatter of centred rows, of all and without each, (1 + n,).

    Without a row x, the scatter S loses c x x', with c = n / (n - 1), since the mean moves too.
    """
    n, scatter = len(rows), rows.T @ rows
    c = n / (n - 1) if n > 1 else np.nan
    along = np.einsum("ij,ij->i", rows @ scatter, rows)
    less = 2 * c * along - c**2 * np.square(np.square(rows).sum(axis=1))
    whole = float(np.square(scatter).sum())
    return np.asarray((whole or np.nan) - np.r_[0.0, less])


def _effective_rank(rows: Floats) -> tuple[Floats, Floats]:
    """The share of each singular value, and the exponential of their entropy, of all rows and without each, (1 + n,).

    Without a row, the values are those of the second order. A row takes its scatter E from R'R, whose eigenvalues are
    s². In the basis of its eigenvectors, a sum of f(s²) changes by -Σ f'(s[j]²) E[j, j] + Σ D[j, k] E[j, k]² / 2, for
    the divided differences D of f' (Daleckii and Krein). With twice as many rows as dimensions, the first order alone
    gives two thirds of the standard error.
    """
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    every = singular / singular.sum()
    rank = np.exp(entr(every).sum())
    kept = every > np.finfo(float).eps
    leverages, shares = np.square(left[:, kept]), every[kept]
    if len(rows) < _PER_DIMENSION * len(shares):
        return every, np.append(rank, np.full(len(rows), np.nan))
    logs, first, second = np.log(shares), shares[:, None], shares
    gaps = first - second
    of_logs = ((logs[:, None] + 1) * second - (logs + 1) * first) / gaps
    of_logs = np.where(np.abs(gaps) < _ALIKE * second, -(logs[:, None] + logs) / 2, of_logs)
    scale = first * second / (first + second)

    def second_order(weights: Floats) -> Floats:
        return np.asarray(((leverages @ weights) * leverages).sum(axis=1) / 4)

    sums = 1 - leverages @ shares / 2 - second_order(scale)
    logarithms = leverages @ (shares * (logs + 1)) / 2 - second_order(scale * of_logs)
    weighted = (shares * logs).sum() - logarithms
    return every, np.append(rank, np.exp(np.log(sums) - weighted / sums))
