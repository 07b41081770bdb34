"""Agreement of a perceptual distance (or quality score) with human opinion scores (IQA)."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints, as_codes, as_numbers, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling, Scale, Statistic, resampled_intervals
from hf_clipdyn.metrics.influence import without_each
from hf_clipdyn.metrics.logistic_fit import fit_logistic
from hf_clipdyn.metrics.weighted_correlation import WeightedKendall, WeightedPearson, WeightedSpearman

__all__ = ["correlation_influences", "iqa_correlation"]

_FEW = 10  # below it the left-out correlations of a jackknife are often all the same


def iqa_correlation(
    predictions: ArrayLike,
    references: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    predictions_are: Literal["distance", "score"] = "distance",
    higher_is_better: bool = True,
    logistic: Literal[4, 5] | None = None,
    kendall: bool = True,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """SRCC, KRCC and PLCC of predictions with opinion scores, raw and after a logistic fit.

    The correlations are signed: a distance that agrees with humans is negative against MOS (higher
    is better) and positive against DMOS (lower is better). Use ``alignment`` to compare data sets.

    Args:
        predictions: distances to the reference image, or quality scores; shape (n,).
        references: opinion scores (MOS or DMOS), shape (n,).
        groups: reference image of each row, shape (n,), strings or numbers. The distorted versions
            of one picture are not independent, so the intervals are over the references: jackknife
            below 50 of them, else the percentile bootstrap. None: every row is on its own, and the
            interval is too narrow for the usual data sets (53 % coverage instead of 95 % was seen); fewer
            than 10 rows have Fisher's interval, with the standard error of the coefficient.
        predictions_are: "distance" (larger is worse) or "score" (larger is better).
        higher_is_better: of the references: True for MOS (TID2013; KADID-10k in spite of its
            file's name), False for DMOS (CSIQ, LIVE).
        logistic: number of parameters of the fit behind PLCC, 4 or 5 (VQEG; see `fit_logistic`);
            None for no fit. The fit of the full sample is kept in every resample.
        kendall: False leaves ``krcc`` out, whose cost grows with the power 1.5 of the rows.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        - ``srcc``, ``krcc`` (tau-b), ``plcc``, in [-1, 1], signed.
        - ``alignment``: the SRCC, oriented so that larger is always closer to humans.
        - with ``logistic``: ``plcc_logistic`` (Pearson with the fitted values, positive by its
          construction) and ``rmse_logistic`` (in units of the references).
        - ``n``, and ``n_groups`` (= n without groups).
        - ``<key>_ci``: [low, high]. NaN, with a cause, where the error cannot be estimated:
          for fewer than 4 rows (5 for ``krcc``); for fewer than 10 rows, a correlation of exactly 1 or -1, and all
          fits; for fewer than 10 groups, where leaving out any group changes nothing. [-1, 1] where a correlation is
          undefined without one of fewer than 50 groups.
        - ``causes``. Constant predictions or references leave all correlations NaN.

    Raises:
        MetricError: different lengths, no rows, NaN, an unknown ``predictions_are`` or ``logistic``.

    Examples:
        >>> from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
        >>> result = iqa_correlation([0.1, 0.4, 0.2, 0.9], [4.5, 2.5, 4.0, 1.0], n_resamples=0)
        >>> round(result["srcc"], 6), round(result["alignment"], 6)
        (-1.0, 1.0)
    """
    from scipy import stats

    resampling = Resampling(n_resamples, confidence_level, seed)
    if predictions_are not in ("distance", "score"):
        raise MetricError(f"predictions_are must be 'distance' or 'score', but is {predictions_are!r}.")
    if logistic not in (None, 4, 5):
        raise MetricError(f"logistic must be None, 4 or 5 (parameters), but is {logistic!r}.")
    x, y = as_numbers("predictions", predictions), as_numbers("references", references)
    check_lengths({"predictions": x, "references": y})
    n = len(x)
    clusters, n_groups = as_codes("groups", groups, n)

    sign = (1 if predictions_are == "score" else -1) * (1 if higher_is_better else -1)
    fitted = None
    names = ["srcc", *(["krcc"] if kendall else []), "plcc", "alignment"]
    fit_names = ["plcc_logistic", "rmse_logistic"] if logistic else []
    values = dict.fromkeys([*names, *fit_names], float("nan"))
    cause = _constant(x, y)
    causes = dict.fromkeys(values, cause) if cause else {}
    if not cause:
        values["srcc"] = float(stats.spearmanr(x, y).statistic)
        if kendall:
            values["krcc"] = float(stats.kendalltau(x, y).statistic)
        values |= {"plcc": _pearson(x, y), "alignment": sign * values["srcc"]}
        if logistic:
            fitted = _fitted_values(x, y, logistic)
        if fitted is not None:
            rmse = float(np.sqrt(np.mean((fitted - y) ** 2)))
            values |= {"plcc_logistic": _pearson(fitted, y), "rmse_logistic": rmse}
        else:
            causes = dict.fromkeys(
                fit_names, f"a logistic function of {logistic} parameters cannot be fitted to {n} rows"
            )
    result: dict[str, Any] = {**values, "n": n, "n_groups": n_groups, "causes": causes}
    if not resampling:
        return result

    if n_groups == n < _FEW:
        intervals = {name: _fisher(name, value, n, confidence_level) for name, value in values.items()}
    else:
        statistic = _statistic(x, y, fitted, clusters, n_groups, sign, kendall)
        correlations: list[Scale] = ["fisher"] * (len(names) + 1)
        ones = np.ones(n_groups, dtype=np.int64)
        ends = resampled_intervals(statistic, ones, [*correlations, "linear"], resampling)
        intervals = dict(zip(values, ends.tolist(), strict=False))
    for name, value in values.items():
        interval = [float("nan")] * 2 if np.isnan(value) else intervals[name]
        if n_groups < min(n, _FEW) and not isinstance(interval, str) and interval[1] - interval[0] <= 1e-9:
            interval = (
                f"with fewer than {_FEW} groups, the error cannot be estimated if leaving out any "
                f"of the {n_groups} groups changes nothing"
            )
        if isinstance(interval, str):
            causes[f"{name}_ci"], interval = interval, [float("nan")] * 2
        result[f"{name}_ci"] = interval
    return result


def correlation_influences(
    predictions: ArrayLike,
    references: ArrayLike,
    groups: ArrayLike,
    *,
    higher_is_better: bool = True,
    logistic: Literal[4, 5] | None = None,
    kendall: bool = True,
) -> dict[str, Floats]:
    """What each group of rows contributes to the correlations of distances, by leaving it out.

    Args:
        predictions, references: as for `iqa_correlation`, shape (n,).
        groups: reference image of each row, shape (n,).
        higher_is_better, logistic, kendall: as for `iqa_correlation`.

    Returns:
        For each value of `iqa_correlation` an array (G,) in the order of the sorted groups; NaN where leaving out a
        group leaves it undefined. Nothing for one group or constant numbers.

    Raises:
        MetricError: different lengths, no rows, NaN.

    Examples:
        >>> from hf_clipdyn.metrics.iqa_correlation import correlation_influences
        >>> found = correlation_influences(
        ...     [0.1, 0.4, 0.2, 0.9, 0.3, 0.5], [4.5, 2.5, 4.0, 1.0, 3.0, 3.5], ["a", "a", "b", "b", "c", "c"]
        ... )
        >>> found["srcc"].round(3).tolist()
        [0.044, -0.222, 0.178]
    """
    x, y = as_numbers("predictions", predictions), as_numbers("references", references)
    check_lengths({"predictions": x, "references": y})
    clusters, n_groups = as_codes("groups", groups, len(x))
    if n_groups < 2 or _constant(x, y):
        return {}
    fitted = _fitted_values(x, y, logistic) if logistic else None
    statistic = _statistic(x, y, fitted, clusters, n_groups, -1 if higher_is_better else 1, kendall)
    names = ["srcc", *(["krcc"] if kendall else []), "plcc", "alignment", "plcc_logistic", "rmse_logistic"]
    return dict(zip(names, without_each(statistic, n_groups).T, strict=True))


def _fisher(name: str, value: float, n: int, confidence_level: float) -> list[float] | str:
    """Symmetric interval after arctanh, by the large-sample error of the coefficient, or why there is none.

    The squared error is 1 / (n - 3) for Pearson's (Fisher 1921), (1 + r² / 2) / (n - 3) for Spearman's (Bonett and
    Wright 2000, doi 10.1007/BF02294183), 0.437 / (n - 4) for Kendall's (Fieller, Hartley and Pearson 1957, doi
    10.1093/biomet/44.3-4.470).
    """
    needed = 5 if name == "krcc" else 4
    if name in ("plcc_logistic", "rmse_logistic"):
        return f"the error of a fit cannot be estimated from {n} rows; at least {_FEW} are needed"
    if n < needed:
        return f"the error cannot be estimated from {n} rows; at least {needed} are needed"
    if 1 - abs(value) < 1e-9:
        return (
            f"with fewer than {_FEW} rows, the error of a correlation of exactly {value:.0f} cannot be "
            f"estimated (n = {n})"
        )
    variances = {"krcc": 0.437 / max(n - 4, 1), "plcc": 1 / (n - 3)}
    variance = variances.get(name, (1 + value**2 / 2) / (n - 3))
    half = special.ndtri((1 + confidence_level) / 2) * np.sqrt(variance)
    low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
    return [float(low), float(high)]


def _fitted_values(x: Floats, y: Floats, n_parameters: Literal[4, 5]) -> Floats | None:
    fit = fit_logistic(x, y, n_parameters)
    if fit is None:
        return None
    values = fit(x)
    return values if np.isfinite(values).all() and np.ptp(values) > 0 else None


def _constant(x: Floats, y: Floats) -> str:
    """Why no correlation is defined, or an empty string."""
    if len(x) < 2:
        return "there is only one row"
    constant = [name for name, column in (("predictions", x), ("references", y)) if np.ptp(column) == 0]
    return f"the {' and the '.join(constant)} are constant" if constant else ""


def _pearson(x: Floats, y: Floats) -> float:
    # SciPy's warns of nearly constant input, which the distances of an untrained model are.
    return float(np.corrcoef(x, y)[0, 1])


def _statistic(
    x: Floats, y: Floats, fitted: Floats | None, clusters: Ints, n_clusters: int, sign: int, kendall: bool
) -> Statistic:
    """Weights of the clusters (B, K) -> (B, 5 or 6): srcc, krcc, plcc, alignment, plcc and rmse of the fit."""
    spearman = WeightedSpearman(x, y, clusters)
    tau = [WeightedKendall(x, y, clusters, n_clusters)] if kendall else []
    pearson = WeightedPearson(x, y, clusters, n_clusters)
    pearson_fit = None if fitted is None else WeightedPearson(fitted, y, clusters, n_clusters)

    def statistic(weights: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            srcc = spearman(weights)
            columns = [srcc, *(one(weights) for one in tau), pearson(weights), sign * srcc]
            if pearson_fit is None:
                columns += [np.full(len(weights), np.nan)] * 2
            else:
                columns += [pearson_fit(weights), pearson_fit.rmse(weights)]
        return np.stack(columns, axis=1)

    return statistic
