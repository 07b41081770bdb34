"""Representational similarity: do a model and people find the same images alike (Kriegeskorte et al. 2008)?

All matrices of dissimilarities are vectors of the P = n (n - 1) / 2 pairs of n images, the upper triangle row by row
(``numpy.triu_indices(n, 1)``). Larger is less similar; the scale of each person is arbitrary.

Pairs of images are not independent, and neither are the people's answers to one pair. The intervals draw images with
replacement, without the pairs of an image with itself, and people with replacement. The variance of both draws together
counts the noise of the measurement several times, so it is corrected (Schütt et al. 2023, doi 10.7554/eLife.82566):
2 (V_images + V_people) - V_both, at least the larger of the first two and at most V_both. A mean over drawn people has
a variance in closed form, so only images are drawn. Tau-a has no fast formula for drawn images: one image after the
other is left out (jackknife).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints
from hf_clipdyn.metrics.bootstrap import Resampling, bootstrap_weights, student_interval
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.weighted_correlation import TiedOrder, dense_ranks, rank_signs

__all__ = [
    "METHODS",
    "Method",
    "Variances",
    "noise_ceiling",
    "representational_similarity",
    "similarities_with_people",
    "similarity_influences",
]

Method: TypeAlias = Literal["spearman", "tau_a", "pearson"]
METHODS: tuple[Method, ...] = get_args(Method)
"""How two matrices are correlated. Spearman's favours predictions with ties, tau-a does not."""

_DRAWS = 16  # resamples at a time: the ranks of 16 people on 4,186 pairs then take 9 MB
_ROWS = 128  # rows of the matrix of signs at a time
_CONSTANT = "the dissimilarities are constant"


@dataclass(frozen=True)
class Variances:
    """Variances of a mean over people, for random draws of images, of people, or of both.

    Attributes:
        images: variance over draws of images.
        people: variance over draws of people.
        both: variance over draws of images and people together.

    Examples:
        >>> from hf_clipdyn.metrics.representational_similarity import Variances
        >>> round(Variances(images=0.02, people=0.01, both=0.04).corrected, 6)
        0.02
    """

    images: float
    people: float
    both: float

    @property
    def corrected(self) -> float:
        """2 (images + people) - both, at least the larger of these two and at most both."""
        wanted = 2 * (self.images + self.people) - self.both
        return min(max(wanted, self.images, self.people), self.both)


def representational_similarity(
    predictions: ArrayLike,
    references: ArrayLike,
    *,
    method: Method = "spearman",
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Correlation of a model's dissimilarities with those of each person, averaged over people.

    Args:
        predictions: (P,), the model's dissimilarities.
        references: (people, P), each person's.
        method: ``spearman``, ``tau_a`` (concordant minus discordant over all pairs of pairs; not SciPy's tau-b) or
            ``pearson``.
        groups: (n,), the category of each image: only pairs within a category count, and the result is the mean of the
            categories' correlations. Categories of fewer than three images are left out. None: all pairs.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        ``alignment`` in [-1, 1], ``by_person`` (its terms), ``n`` (pairs), ``n_images``, ``n_people``; with intervals
        ``alignment_ci`` (Student's t with one degree of freedom fewer than people or images, the fewer of them, on the
        corrected variance), ``by_person_ci`` (by the drawn images alone), ``variances`` (`Variances`) and
        ``by_person_variances``. ``causes``: constant dissimilarities, of the model or of a
        person, leave the value NaN.

    Raises:
        MetricError: other shapes, a number that is not finite, an unknown method.

    Examples:
        >>> from hf_clipdyn.metrics.representational_similarity import representational_similarity
        >>> people = [[1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]]
        >>> found = representational_similarity([1, 2, 3, 4, 5, 6], people, n_resamples=0)
        >>> [round(one, 4) for one in found["by_person"]]
        [1.0, 0.8857]
    """
    (result,) = similarities_with_people(
        np.asarray(predictions)[None],
        references,
        method=method,
        groups=groups,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        seed=seed,
    )
    return result


def similarities_with_people(
    predictions: ArrayLike,
    references: ArrayLike,
    *,
    method: Method = "spearman",
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """`representational_similarity` of several models, on the same draws of images.

    Args:
        predictions: (models, P), the dissimilarities of each model.
        references: (people, P), each person's.
        method, groups, n_resamples, confidence_level, seed: as for `representational_similarity`.

    Returns:
        What `representational_similarity` returns, for each model.

    Raises:
        MetricError: as for `representational_similarity`.

    Examples:
        >>> from hf_clipdyn.metrics.representational_similarity import similarities_with_people
        >>> models = [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]]
        >>> people = [[1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]]
        >>> [round(one["alignment"], 4) for one in similarities_with_people(models, people, n_resamples=0)]
        [0.9429, -0.9429]
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    if method not in METHODS:
        raise MetricError(f"method must be one of {', '.join(METHODS)}, but is {method!r}.")
    people = _matrices("references", references)
    models = _matrices("predictions", predictions)
    n_images = _n_images(people.shape[1])
    if models.shape[1] != people.shape[1]:
        raise MetricError(
            f"predictions have {models.shape[1]} pairs and references {people.shape[1]}: give the same pairs."
        )
    parts = _parts(groups, n_images)
    values = np.mean([_correlations(models[:, part], people[:, part], method) for part in parts], axis=0)
    draws = None
    if resampling and method == "tau_a":
        draws = _Draws(values, _without_each_image(models, people, parts, method), (n_images - 1) / n_images)
    elif resampling:
        rng = np.random.default_rng(resampling.seed)
        counts = bootstrap_weights(np.ones(n_images, np.int64), resampling.n_resamples, rng)
        draws = _Draws(values, _drawn(models, people, parts, counts, method), 1 / resampling.n_resamples)
    counted = {"n": sum(map(len, parts)), "n_images": n_images, "n_people": len(people)}
    return [_result(row, at, draws, counted, resampling) for at, row in enumerate(values)]


def similarity_influences(
    predictions: ArrayLike,
    references: ArrayLike,
    *,
    method: Method = "spearman",
    groups: ArrayLike | None = None,
) -> list[Floats]:
    """What each image contributes to the correlation with each person, by leaving it out.

    Args:
        predictions, references, method, groups: as for `similarities_with_people`.

    Returns:
        For each model an array (images, people); NaN where a correlation is undefined without an image.

    Raises:
        MetricError: as for `representational_similarity`.

    Examples:
        >>> from hf_clipdyn.metrics.representational_similarity import similarity_influences
        >>> people = [[1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]]
        >>> similarity_influences([[1, 2, 3, 4, 6, 5]], people)[0].round(2).T.tolist()
        [[0.28, -0.09, -0.09, -0.09], [-0.09, 0.28, -0.09, -0.09]]
    """
    people, models = _matrices("references", references), _matrices("predictions", predictions)
    parts = _parts(groups, _n_images(people.shape[1]))
    left_out = left_out_influence(_without_each_image(models, people, parts, method))
    return [left_out[:, model] for model in range(len(models))]


def noise_ceiling(
    references: ArrayLike, *, method: Method = "spearman", groups: ArrayLike | None = None
) -> dict[str, Any]:
    """The highest similarity that a model could reach, estimated from people (Nili et al. 2014).

    Args:
        references: (people, P), at least two people.
        method, groups: as for `representational_similarity`.

    Returns:
        ``lower``: each person with the mean of the others' ranks (for ``pearson``: of their standardised values);
        ``upper``: with the mean of all, the person's own among them; ``lower_by_person``; ``pairwise``: mean over
        pairs of people. The best model is between lower and upper.

    Raises:
        MetricError: as for `representational_similarity`, or fewer than two people.

    Examples:
        >>> from hf_clipdyn.metrics.representational_similarity import noise_ceiling
        >>> ceiling = noise_ceiling([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
        >>> round(ceiling["lower"], 6), round(ceiling["upper"], 6)
        (1.0, 1.0)
    """
    from scipy import stats

    people = _matrices("references", references)
    if len(people) < 2:
        raise MetricError("references come from only one person: a ceiling needs at least two.")
    parts = _parts(groups, _n_images(people.shape[1]))
    if method == "pearson":
        levels = (people - people.mean(axis=1, keepdims=True)) / people.std(axis=1, keepdims=True)
    else:
        levels = stats.rankdata(people, axis=1)
    total = levels.sum(axis=0)
    others, everybody = total - levels, total[None]
    own = [
        float(np.mean([_correlations(other[None, part], one[None, part], method) for part in parts]))
        for other, one in zip(others, people, strict=True)
    ]
    of_all = np.mean([_correlations(everybody[:, part], people[:, part], method) for part in parts], axis=0)
    between = np.mean([_correlations(people[:, part], people[:, part], method) for part in parts], axis=0)
    pairwise = between[np.triu_indices(len(people), 1)]
    return {
        "lower": float(np.mean(own)),
        "upper": float(of_all.mean()),
        "lower_by_person": own,
        "pairwise": float(pairwise.mean()),
    }


# --- values ------------------------------------------------------------------------------------------------------


def _correlations(models: Floats, people: Floats, method: Method) -> Floats:
    """Of every model with every person, (models, people); NaN where one of the two is constant."""
    from scipy import stats

    if method == "tau_a":
        return np.array([[_tau_a(model, person) for person in people] for model in models])
    if method == "spearman":
        models, people = stats.rankdata(models, axis=1), stats.rankdata(people, axis=1)
    return np.asarray(_standardised(models) @ _standardised(people).T)


def _tau_a(x: Floats, y: Floats) -> float:
    """Concordant minus discordant over all pairs: SciPy's tau-b without its correction for ties."""
    from scipy import stats

    tau_b = float(stats.kendalltau(x, y).statistic)
    untied = [1 - _tied_share(column) for column in (x, y)]
    return tau_b * float(np.sqrt(untied[0] * untied[1]))


def _tied_share(column: Floats) -> float:
    counts = np.unique(column, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / (len(column) * (len(column) - 1)))


def _standardised(rows: Floats) -> Floats:
    """Rows of mean 0 and length 1; a constant row is NaN."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    centred[rows.max(axis=1) == rows.min(axis=1)] = np.nan
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))


# --- draws -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Draws:
    """Correlations (models, people), and with drawn images (draws, models, people)."""

    values: Floats
    drawn: Floats
    factor: float  # from the sum of squared deviations to a variance

    def of_persons(self, model: int) -> Floats:
        """Variance of the correlation with each person, (people,), by the drawn images."""
        drawn = self.drawn[:, model]
        known = drawn[~np.isnan(drawn).any(axis=1)]
        factor = self.factor * len(drawn) / max(len(known), 1)
        return np.asarray(factor * np.square(known - known.mean(axis=0)).sum(axis=0))

    def variances(self, model: int) -> Variances:
        """Of the mean over people of one model."""
        values, drawn = self.values[model], self.drawn[:, model]
        drawn = drawn[~np.isnan(drawn).any(axis=1)]
        deviations = drawn - drawn.mean(axis=0)
        factor = self.factor * len(self.drawn) / max(len(drawn), 1)
        of_mean = factor * float(np.square(deviations.mean(axis=1)).sum())
        of_people = drawn.mean(axis=0).var() + factor * deviations.var(axis=1).sum()
        return Variances(
            images=of_mean,
            people=float(values.var()) / len(values),
            both=of_mean + float(of_people) / len(values),
        )


def _drawn(models: Floats, people: Floats, parts: Sequence[Ints], counts: Floats, method: Method) -> Floats:
    """Correlations (draws, models, people) if images count otherwise, by ``counts`` (draws, images).

    The weight of a pair is the product of its images' counts.
    """
    first, second = np.triu_indices(counts.shape[1], 1)
    level = _Ranks if method == "spearman" else _Centred
    prepared = [(part, level(models[:, part]), level(people[:, part])) for part in parts]
    drawn = []
    for start in range(0, len(counts), _DRAWS):
        some = counts[start : start + _DRAWS].T
        correlations = []
        for part, of_models, of_people in prepared:
            weights = some[first[part]] * some[second[part]]
            correlations.append(_weighted_correlations(of_models(weights), of_people(weights), weights.T))
        drawn.append(_mean_where_defined(correlations))
    return np.concatenate(drawn)


def _without_each_image(models: Floats, people: Floats, parts: Sequence[Ints], method: Method) -> Floats:
    """Correlations without each image in turn, (images, models, people)."""
    n_images = _n_images(people.shape[1])
    if method != "tau_a":
        return _drawn(models, people, parts, 1.0 - np.eye(n_images), method)
    # From the signs of all pairs of pairs in one pass.
    ends = np.stack(np.triu_indices(n_images, 1), axis=1)
    taus = [_tau_a_without_each(models[:, part], people[:, part], ends[part], n_images) for part in parts]
    return np.asarray(np.mean(taus, axis=0))


class _Ranks:
    """Mid-ranks of each row in every weighted sample, minus half the weights: of weighted mean 0.

    Args:
        rows: (rows, P).
    """

    def __init__(self, rows: Floats) -> None:
        self._orders = [TiedOrder(row) for row in rows]

    def __call__(self, weights: Floats) -> Floats:
        """Weights of the pairs, (P, draws) -> (draws, rows, P)."""
        samples = np.ascontiguousarray(weights.T)
        result = np.empty((len(samples), len(self._orders), samples.shape[1]))
        for at, one in enumerate(self._orders):
            result[:, at, one.order] = one.midranks(one.totals(samples[:, one.order]))
        result -= samples.sum(axis=1)[:, None, None] / 2
        return result


class _Centred:
    """The same interface for Pearson's correlation: the rows around their mean, in every sample."""

    def __init__(self, rows: Floats) -> None:
        self._rows = rows - rows.mean(axis=1, keepdims=True)

    def __call__(self, weights: Floats) -> Floats:
        return np.broadcast_to(self._rows, (weights.shape[1], *self._rows.shape))


def _weighted_correlations(models: Floats, people: Floats, weights: Floats) -> Floats:
    """Of every model with every person in each draw, (draws, models, people); NaN where a sample is constant.

    Args:
        models, people: (draws, rows, P).
        weights: (draws, P).
    """
    n = weights.sum(axis=1)
    weighted = models * weights[:, None, :]
    sums = [weighted.sum(axis=2), (people @ weights[:, :, None])[..., 0]]
    products = weighted @ people.transpose(0, 2, 1)
    squares = [
        np.einsum("brp,brp->br", weighted, models),
        np.einsum("brp,brp,bp->br", people, people, weights),
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        variances = [square - total**2 / n[:, None] for square, total in zip(squares, sums, strict=True)]
        lengths = [
            np.sqrt(np.where(one > 1e-12 * square, one, np.nan))
            for one, square in zip(variances, squares, strict=True)
        ]
        covariances = products - sums[0][:, :, None] * sums[1][:, None, :] / n[:, None, None]
        return np.asarray(covariances / (lengths[0][:, :, None] * lengths[1][:, None, :]))


def _tau_a_without_each(models: Floats, people: Floats, ends: Ints, n_images: int) -> Floats:
    """Tau-a without each image, (images, models, people).

    With C the signs of concordance and r its row sums, leaving out the pairs of an image takes twice their row sums
    from the total, and adds back what is between these pairs.
    """
    of_models, of_people = (np.stack([dense_ranks(row) for row in rows]) for rows in (models, people))
    rows = np.concatenate(
        [
            _concordance(of_models, of_people, np.arange(start, min(start + _ROWS, len(ends))))
            for start in range(0, len(ends), _ROWS)
        ]
    )
    total, n = rows.sum(axis=0), len(ends)
    left_out = np.empty((n_images, *total.shape))
    for image in range(n_images):
        own = np.flatnonzero((ends == image).any(axis=1))
        pairs = np.arange(len(own))
        between = _concordance(of_models[:, own], of_people[:, own], pairs).sum(axis=0)
        rest = n - len(own)
        sums = total - 2 * rows[own].sum(axis=0) + between
        left_out[image] = sums / (rest * (rest - 1)) if rest > 1 else np.nan
    return left_out


def _concordance(models: NDArray[Any], people: NDArray[Any], rows: Ints) -> Floats:
    """For these pairs, concordant minus discordant partners among all pairs, (rows, models, people)."""
    of_models, of_people = (
        np.stack([rank_signs(one, rows) for one in side], axis=1).astype(np.float32)
        for side in (models, people)
    )
    return np.asarray(of_models @ of_people.transpose(0, 2, 1), np.float64)  # whole numbers below 2^24: exact


# --- shapes ------------------------------------------------------------------------------------------------------


def _result(
    values: Floats, at: int, draws: _Draws | None, counted: dict[str, int], resampling: Resampling
) -> dict[str, Any]:
    alignment = float(values.mean())
    cause = {"alignment": _CONSTANT} if np.isnan(alignment) else {}
    result: dict[str, Any] = {
        "alignment": alignment,
        "by_person": values.tolist(),
        **counted,
        "causes": cause,
    }
    if draws is None:
        return result
    if cause:
        return result | {
            "alignment_ci": [float("nan")] * 2,
            "by_person_ci": [[float("nan")] * 2] * len(values),
        }
    level = resampling.confidence_level
    result["variances"] = variances = draws.variances(at)
    result["by_person_variances"] = of_persons = draws.of_persons(at).tolist()
    freedom = min(counted["n_images"], counted["n_people"]) - 1
    result["alignment_ci"] = [float("nan")] * 2
    if freedom > 0:
        result["alignment_ci"] = student_interval(alignment, variances.corrected, "linear", level, freedom)
    result["by_person_ci"] = [
        student_interval(value, variance, "linear", level, counted["n_images"] - 1)
        for value, variance in zip(values.tolist(), of_persons, strict=True)
    ]
    return result


def _matrices(name: str, values: ArrayLike) -> Floats:
    """``values`` as (rows, P) finite numbers."""
    try:
        table = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise MetricError(f"{name} must be numbers, one row for each matrix.") from None
    if table.ndim != 2 or not table.size:
        raise MetricError(f"{name} must have one row for each matrix, but have the shape {table.shape}.")
    if not np.isfinite(table).all():
        raise MetricError(f"{name} must be finite, but {int((~np.isfinite(table)).sum())} numbers are not.")
    return table


def _n_images(n_pairs: int) -> int:
    n = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n * (n - 1) // 2 != n_pairs or n < 3:
        raise MetricError(
            f"{n_pairs} dissimilarities do not form the upper triangle of a matrix of at least three "
            "images: give n (n - 1) / 2 of them."
        )
    return int(n)


def _parts(groups: ArrayLike | None, n_images: int) -> list[Ints]:
    """Numbers of the pairs that are correlated together."""
    if groups is None:
        return [np.arange(n_images * (n_images - 1) // 2)]
    names = np.asarray(groups)
    if names.shape != (n_images,):
        raise MetricError(
            f"groups must have one name for each of the {n_images} images, but have {names.shape}."
        )
    first, second = (names[ends] for ends in np.triu_indices(n_images, 1))
    parts = [np.flatnonzero((first == name) & (second == name)) for name in np.unique(names)]
    large = [part for part in parts if len(part) >= 3]
    if not large:
        raise MetricError("groups have fewer than three images each: no correlation is defined within them.")
    return large


def _mean_where_defined(parts: Sequence[Floats]) -> Floats:
    """Mean over the groups; a draw that leaves a group without a value has the mean of the others."""
    stacked = np.stack(parts)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0))
