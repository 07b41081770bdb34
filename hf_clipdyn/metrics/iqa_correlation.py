"""Agreement of a perceptual distance (or quality score) with human opinion scores (IQA)."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, columns, names, of_one_length
from hf_clipdyn.metrics.scores import Scale, Score, Scores, groups_of_rows, left_out

_FITS = ("plcc_logistic", "rmse_logistic")


def iqa_correlation(
    predictions: Annotated[ArrayLike, "float64"],
    references: Annotated[ArrayLike, "float64"],
    *,
    groups: ArrayLike | None = None,
    predictions_are: Literal["distance", "score"] = "distance",
    higher_is_better: bool = True,
    logistic: Literal[4] | None = None,
    only_alignment: bool = False,
) -> Scores:
    """SRCC, KRCC and PLCC of predictions with opinion scores, raw and after a logistic fit.

    The correlations are signed: a distance that agrees with humans is negative against MOS (higher
    is better) and positive against DMOS (lower is better). Use ``alignment`` to compare data sets.

    Args:
        predictions: distances to the reference image, or quality scores; shape (n,).
        references: opinion scores (MOS or DMOS), shape (n,).
        groups: reference image of each row, shape (n,), strings or numbers. The distorted versions of one picture are
            not independent, so the influence is by reference image, in their order. Without groups every row is on its
            own, and the interval is too narrow for the usual data sets.
        predictions_are: "distance" (larger is worse) or "score" (larger is better).
        higher_is_better: of the references: True for MOS (TID2013; KADID-10k in spite of its
            file's name), False for DMOS (CSIQ, LIVE).
        logistic: 4 for the fit of a logistic with four parameters (VQEG) behind PLCC, whose influence keeps the fit of
            all rows; None for no fit.
        only_alignment: whether to leave out all others, which take longer.

    Returns:
        ``srcc``, ``krcc`` (tau-b), ``plcc``, in [-1, 1], signed; ``alignment``, the SRCC, oriented so that larger is
        always closer to humans; with ``logistic`` also ``plcc_logistic`` (Pearson with the fitted values, positive by
        its construction) and ``rmse_logistic`` (in units of the references); ``n``, and ``n_groups`` (= n without
        groups). Constant predictions or references leave all correlations undefined.

    Raises:
        MetricError: different lengths, no rows, NaN, an unknown ``predictions_are`` or ``logistic``.

    Examples:
        >>> from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
        >>> result = iqa_correlation([0.1, 0.4, 0.2, 0.9], [4.5, 2.5, 4.0, 1.0])
        >>> round(result["srcc"].value, 6), round(result["alignment"].value, 6)
        (-1.0, 1.0)

    References:
        ponomarenko2015image
    """
    if logistic not in (None, 4):
        raise MetricError(f"logistic must be None or 4 (parameters), but is {logistic!r}.")
    if predictions_are not in ("distance", "score"):
        raise MetricError(f"predictions_are must be 'distance' or 'score', but is {predictions_are!r}.")
    x, y = columns(predictions=predictions, references=references)
    n = len(x)
    (given,) = names(groups=groups_of_rows(n) if groups is None else groups)
    of_one_length(predictions=x, groups=given)
    found, codes = np.unique(given, return_inverse=True)
    facts = {"n": n, "n_groups": n if groups is None else len(found)}
    sign = (1 if predictions_are == "score" else -1) * (1 if higher_is_better else -1)
    fits = _FITS if logistic else ()
    wanted = ["alignment"] if only_alignment else ["srcc", "krcc", "plcc", "alignment", *fits]
    if cause := _constant(x, y):
        return Scores({name: Score(np.nan, None, "correlation", n, cause) for name in wanted}, **facts)
    srcc, of_rows = _spearman(x, y)
    of_groups = np.asarray(np.bincount(codes, of_rows), np.float64)
    scores = {
        "srcc": Score(srcc, of_groups, "correlation", n),
        "alignment": Score(sign * srcc, sign * of_groups, "correlation", n),
    }
    if only_alignment:
        return Scores({"alignment": scores["alignment"]}, **facts)
    fitted = _fitted(x, y) if logistic else None

    def others(x: Floats, y: Floats, fitted: Floats) -> list[float]:
        tau, pearson = _tau(x, y), _pearson(x, y)
        return [tau, pearson, _pearson(fitted, y), float(np.sqrt(np.mean((fitted - y) ** 2)))]

    arrays = x, y, np.full(n, np.nan) if fitted is None else fitted
    found_others = zip(
        ("krcc", "plcc", *_FITS), others(*arrays), left_out(others, arrays, codes).T, strict=True
    )
    for name, value, influence in found_others:
        cause = "" if value == value else f"a logistic function of 4 parameters cannot be fitted to {n} rows"
        scale: Scale = "linear" if name == "rmse_logistic" else "correlation"
        scores[name] = Score(value, influence, scale, n, cause)
    return Scores({name: scores[name] for name in wanted}, **facts)


def _constant(x: Floats, y: Floats) -> str:
    """Why no correlation is defined, or an empty string."""
    if len(x) < 2:
        return "there is only one row"
    constant = [name for name, column in (("predictions", x), ("references", y)) if np.ptp(column) == 0]
    return f"the {' and the '.join(constant)} are constant" if constant else ""


def _pearson(x: Floats, y: Floats) -> float:
    """NaN for a constant column. SciPy's warns of nearly constant ones, as the distances of an untrained model are."""
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y))) if x.any() and y.any() else np.nan


def _tau(x: Floats, y: Floats) -> float:
    """Kendall's tau-b; NaN for a constant column."""
    from scipy import stats

    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    # The method is that of the p value, which is not asked for; this one is the fastest.
    return float(stats.kendalltau(x, y, method="auto" if len(x) < 3 else "asymptotic").statistic)


def _spearman(x: Floats, y: Floats) -> tuple[float, Floats]:
    """The correlation of mid-ranks, and what each row contributes to it: also as one that shifts the others' ranks."""
    from scipy import stats

    n = len(x)
    codes = [np.unique(column, return_inverse=True)[1] for column in (x, y)]
    ranks = [(stats.rankdata(code) - 0.5) / n for code in codes]

    def above(one: int, weights: Floats) -> Floats:
        """Of each row the mean weight of the rows with larger values, and half of that of equal ones."""
        totals = np.bincount(codes[one], weights)
        return np.asarray((totals.sum() - np.cumsum(totals) + totals / 2)[codes[one]] / n)

    def product(one: int, other: int) -> tuple[float, Floats]:
        """The covariance of two columns of ranks, and what each row contributes to n times it."""
        both = ranks[one] * ranks[other]
        shifts = above(one, ranks[other]) + above(other, ranks[one])
        return float(both.mean()) - 0.25, both + shifts - 3 * both.mean()

    (cross, of_cross), (own_x, of_x), (own_y, of_y) = product(0, 1), product(0, 0), product(1, 1)
    value = cross / np.sqrt(own_x * own_y)
    of_scale = value / 2 * (of_x / own_x + of_y / own_y)
    return float(value), (of_cross / np.sqrt(own_x * own_y) - of_scale) / n


def _fitted(x: Floats, y: Floats) -> Floats | None:
    """The values of the least-squares logistic (b1 - b2) / (1 + exp(-(x - b3) / b4)) + b2; None without one.

    It starts at [max y, min y, mean x, std x / 4]. Predictions that fall as the references rise are negated first. The
    derivatives are exact and the parameters scaled by them, so that distances of any unit, also those of an untrained
    model, near 1e-9, are fitted alike.
    """
    from scipy import optimize, special

    if len(x) <= 4:
        return None
    x = -x if _spearman(x, y)[0] < 0 else x

    def curve(b: Floats) -> tuple[Floats, Floats]:
        """Values (n,) and their derivatives by the parameters (n, 4)."""
        width = (
            b[3] if abs(b[3]) > 1e-300 else 1e-300
        )  # the limit of a step, which the optimiser may run into
        z = (x - b[2]) / width
        high, low = special.expit(z), special.expit(-z)
        steepness = (b[0] - b[1]) * high * low / width
        slopes = np.stack([high, low, -steepness, -steepness * z], axis=1)
        return b[0] * high + b[1] * low, slopes

    def residuals(b: Floats) -> Floats:
        return np.nan_to_num(curve(b)[0] - y, nan=1e10)

    def derivatives(b: Floats) -> Floats:
        return np.nan_to_num(curve(b)[1], posinf=1e100, neginf=-1e100)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        fit = optimize.least_squares(
            residuals,
            [y.max(), y.min(), x.mean(), x.std() / 4],
            derivatives,
            method="lm",
            x_scale="jac",
            max_nfev=20_000,
        )
        values = curve(fit.x)[0]
    return values if np.isfinite(values).all() and np.ptp(values) > 0 else None
