"""Agreement of a perceptual distance, or of a quality score, with opinion scores of image quality."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, columns, names, of_one_length
from hf_clipdyn.metrics.scores import Scale, Score, Scores, groups_of_rows, left_out

_LEFT_OUT = ("krcc", "plcc", "plcc_logistic", "rmse_logistic")
_LEAST_WIDTH = 1e-300  # a step of zero width is the limit that the fit may run into; it stays a step


def iqa_correlation(
    predictions: Annotated[ArrayLike, "float64"],
    references: Annotated[ArrayLike, "float64"],
    *,
    groups: ArrayLike | None = None,
    predictions_are: Literal["distance", "score"] = "distance",
    higher_is_better: bool = True,
    logistic: Literal[4] | None = None,
) -> Scores:
    """SRCC, KRCC and PLCC of predictions with opinion scores, raw and after a logistic fit.

    The correlations are signed: a distance that agrees with people is negative against MOS (higher is better) and
    positive against DMOS (lower is better). Use ``alignment`` to compare data sets.

    Args:
        predictions: distances to the reference image, or quality scores, shape (n,).
        references: opinion scores (MOS or DMOS), shape (n,).
        groups: reference image of each row, shape (n,). The distorted versions of one picture depend on each other:
            without groups, the interval is too narrow for the usual data sets (53 % coverage instead of 95 % was seen).
            The influence has an entry for each sorted group; without groups each row is one, or each of a hundred
            groups of more than 1,000 rows.
        predictions_are: "distance" (larger is worse) or "score" (larger is better).
        higher_is_better: of the references: True for MOS (TID2013; KADID-10k in spite of its file's name), False for
            DMOS (CSIQ, LIVE).
        logistic: 4 for the fit of (b1 - b2) / (1 + exp(-(x - b3) / b4)) + b2 by least squares (VQEG); None for no fit.
            Predictions that fall as the references rise are negated first, so that x and -x fit alike.

    Returns:
        ``srcc`` (Spearman's), ``krcc`` (Kendall's tau-b) and ``plcc`` (Pearson's), in [-1, 1], signed; ``alignment``,
        the SRCC with the sign that makes larger closer to people; with ``logistic`` also ``plcc_logistic`` (Pearson's
        with the fitted values, positive by its construction) and ``rmse_logistic`` (in units of the references), whose
        intervals keep the fit. Undefined for constant predictions or references. ``n`` rows, ``n_groups``.

    Raises:
        MetricError: different lengths, no rows, NaN, an unknown ``predictions_are`` or ``logistic``.

    Examples:
        >>> from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
        >>> result = iqa_correlation([0.1, 0.4, 0.2, 0.9], [4.5, 2.5, 4.0, 1.0]).report()
        >>> round(result["srcc"], 6), round(result["alignment"], 6)
        (-1.0, 1.0)

    References:
        ponomarenko2015image
    """
    if predictions_are not in ("distance", "score"):
        raise MetricError(f"predictions_are must be 'distance' or 'score', but is {predictions_are!r}.")
    if logistic not in (None, 4):
        raise MetricError(f"logistic must be None or 4 (parameters), but is {logistic!r}.")
    x, y = columns(predictions=predictions, references=references)
    srcc = spearman(x, y, groups=groups)
    clusters = groups_of_rows(len(x)) if groups is None else np.asarray(groups)
    sign = (1 if predictions_are == "score" else -1) * (1 if higher_is_better else -1)
    aligned = replace(srcc, value=sign * srcc.value, influence=sign * np.asarray(srcc.influence))
    fitted = _fitted(x, y) if logistic and not srcc.cause else None
    unfit = f"a logistic function of 4 parameters cannot be fitted to {len(x)} rows" if fitted is None else ""

    arrays = (x, y, np.full(len(x), np.nan) if fitted is None else fitted)
    contributions = left_out(_correlations, arrays, clusters)
    by_name = dict(zip(_LEFT_OUT, zip(_correlations(*arrays), contributions.T, strict=True), strict=True))
    scores = {"srcc": srcc, "alignment": aligned}
    for name, (value, influence) in by_name.items():
        after = name.endswith("logistic")
        scale: Scale = "linear" if name == "rmse_logistic" else "correlation"
        scores[name] = Score(value, influence, scale, len(x), srcc.cause or (unfit if after else ""))
    listed = ["srcc", "krcc", "plcc", "alignment", *(_LEFT_OUT[2:] if logistic else ())]
    return Scores({name: scores[name] for name in listed}, n=len(x), n_groups=len(contributions))


def spearman(x: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None) -> Score:
    """Spearman's rank correlation, with its influence in closed form: it takes two sorts.

    Args:
        x, y: shape (n,).
        groups: as of `iqa_correlation`; the influences of the rows of a group are added.

    Raises:
        MetricError: different lengths, no rows, NaN.

    Examples:
        >>> from hf_clipdyn.metrics.iqa_correlation import spearman
        >>> found = spearman([1, 2, 3, 4], [1, 3, 2, 4])
        >>> round(found.value, 3), found.influence.round(3).tolist()
        (0.8, [0.05, -0.15, -0.15, 0.05])
    """
    from scipy.stats import rankdata

    first, second = columns(predictions=x, references=y)
    n = len(first)
    (clusters,) = names(groups=groups_of_rows(n) if groups is None else groups)
    of_one_length(predictions=first, groups=clusters)
    codes = np.unique(clusters, return_inverse=True)[1]
    if cause := _constant(first, second):
        return Score(np.nan, np.full(codes.max() + 1, np.nan), "correlation", n, cause)
    ranks = [rankdata(column) for column in (first, second)]
    u, v = ((rank - 0.5) / n - 0.5 for rank in ranks)  # the places in the distributions, around 0

    def above(rank: Floats, weights: Floats) -> Floats:
        """The mean of the weights at larger values, and of half of those at equal ones."""
        at = (2 * rank).astype(np.int64)  # of ties a half
        totals = np.bincount(at, weights)
        return np.asarray((totals.sum() - np.cumsum(totals) + totals / 2)[at] / n)

    cross, own_u, own_v = u @ v / n, u @ u / n, v @ v / n
    value = float(cross / np.sqrt(own_u * own_v))
    of_cross = u * v + above(ranks[0], v) + above(ranks[1], u) - 3 * cross
    of_own = (u * u + 2 * above(ranks[0], u)) / own_u + (v * v + 2 * above(ranks[1], v)) / own_v - 6
    influence = (of_cross / np.sqrt(own_u * own_v) - value / 2 * of_own) / n
    return Score(value, np.asarray(np.bincount(codes, influence), np.float64), "correlation", n)


def _correlations(x: Floats, y: Floats, fitted: Floats) -> list[float]:
    """The values of `_LEFT_OUT`; all of them NaN where x or y is constant."""
    from scipy.stats import kendalltau

    if _constant(x, y):
        return [np.nan] * len(_LEFT_OUT)
    rmse = np.sqrt(np.mean((fitted - y) ** 2))
    return [float(kendalltau(x, y).statistic), _pearson(x, y), _pearson(fitted, y), float(rmse)]


def _constant(x: Floats, y: Floats) -> str:
    """Why no correlation is defined, or an empty string."""
    if len(x) < 2:
        return "there is only one row"
    constant = [name for name, column in (("predictions", x), ("references", y)) if np.ptp(column) == 0]
    return f"the {' and the '.join(constant)} are constant" if constant else ""


def _pearson(x: Floats, y: Floats) -> float:
    # SciPy's warns of nearly constant input, which the distances of an untrained model are.
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) else np.nan


def _fitted(x: Floats, y: Floats) -> Floats | None:
    """The values of the logistic; None where the rows do not determine it.

    The derivatives are exact and the parameters scaled by them, so that distances of any unit, also those of an
    untrained model, near 1e-9, are fitted alike. Where the fit stops early, its best point so far counts.
    """
    from scipy.optimize import least_squares
    from scipy.special import expit

    if len(x) <= 4:
        return None
    x = -x if spearman(x, y).value < 0 else x

    def curve(b: Floats) -> Floats:
        z = (x - b[2]) / _width(b)
        return np.asarray(b[0] * expit(z) + b[1] * expit(-z))

    def derivatives(b: Floats) -> Floats:
        z = (x - b[2]) / _width(b)
        high, low = expit(z), expit(-z)
        steepness = (b[0] - b[1]) * high * low / _width(b)
        found = np.stack([high, low, -steepness, -steepness * z], axis=1)
        return np.asarray(np.nan_to_num(found, posinf=1e100, neginf=-1e100))

    def residuals(b: Floats) -> Floats:
        return np.asarray(np.nan_to_num(curve(b) - y, nan=1e10))

    start = [y.max(), y.min(), x.mean(), x.std() / 4]  # that of the reference implementations
    how: dict[str, Any] = {"jac": derivatives, "method": "lm", "x_scale": "jac", "max_nfev": 20_000}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        fit = least_squares(residuals, start, **how)
        values = curve(fit.x)
    return values if np.isfinite(values).all() and np.ptp(values) > 0 else None


def _width(parameters: NDArray[np.float64]) -> float:
    width = float(parameters[3])
    return width if abs(width) > _LEAST_WIDTH else _LEAST_WIDTH
