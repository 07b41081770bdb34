"""Contrasts at which a distance reaches a criterion, and how far they are from the contrasts that human observers need.

All errors are in log10 units of contrast. Every function works on the last axis and broadcasts over the others.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.metrics.checks import Floats
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.scores import interval, over, root_interval

FEWEST_CONDITIONS = 4
"""With fewer conditions no agreement is defined."""


def iso_response_contrast(contrasts: ArrayLike, distances: ArrayLike, criterion: ArrayLike) -> Floats:
    """The smallest contrast at which a distance reaches a criterion, by interpolation of log D over log C.

    Args:
        contrasts: ascending and positive, shape (k,).
        distances: at these contrasts, not negative, shape (..., k).
        criterion: shape (...).

    Returns:
        Shape (...). NaN where the contrast is outside the grid, or the criterion is not positive.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import iso_response_contrast
        >>> iso_response_contrast([0.01, 0.02, 0.04], [[1.0, 2.0, 4.0], [3.0, 4.0, 5.0]], [2.0, 2.0]).tolist()
        [0.02, nan]
    """
    c, d = np.asarray(contrasts, np.float64), np.asarray(distances, np.float64)
    d0 = np.broadcast_to(np.asarray(criterion, np.float64), d.shape[:-1])
    reached = d >= d0[..., None]
    above = reached.argmax(axis=-1)
    below = np.maximum(above - 1, 0)
    d_above, d_below = (np.take_along_axis(d, at[..., None], axis=-1)[..., 0] for at in (above, below))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log(d0 / d_below) / np.log(d_above / d_below)
        between = c[below] * (c[above] / c[below]) ** share
    # At a point of the grid nothing is interpolated; from a distance of 0, whose logarithm is infinite, nothing can be.
    contrast = np.where((d_above == d0) | (d_below == 0), c[above], between)
    is_inside = reached.any(axis=-1) & (d0 > 0) & ((above > 0) | (d_above == d0))
    return np.asarray(np.where(is_inside, contrast, np.nan))


class Agreement(NamedTuple):
    """The distance between the contrasts of a model and of human observers; each field has the shape of the leading
    axes.

    Attributes:
        log_rmse: root mean square of log10 model - log10 human, without their mean difference; 0 for observers.
        alignment: 1 - log_rmse / log_rmse of an observer whose contrasts are all equal: 1 for humans, 0 for that
            observer.
        n: conditions that count.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import agreement
        >>> found = agreement([0.01, 0.02, 0.04, 0.08], [0.01, 0.02, 0.04, 0.16])
        >>> round(float(found.log_rmse), 4), int(found.n)
        (0.1303, 4)
    """

    log_rmse: Floats
    alignment: Floats
    n: NDArray[np.int64]


def agreement(model: ArrayLike, people: ArrayLike) -> Agreement:
    """Compare contrasts by condition with human observers' contrasts; conditions without a contrast do not count.

    The criterion sets the level of the model's contrasts, so only the shape counts: the mean difference is removed.

    Args:
        model: shape (..., k); NaN leaves a condition out.
        people: shape (k,).

    Returns:
        NaN with fewer than `FEWEST_CONDITIONS` conditions.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import agreement
        >>> found = agreement([0.01, 0.02, 0.04, 0.08], [0.02, 0.04, 0.08, 0.16])
        >>> float(found.log_rmse.round(9)), float(found.alignment.round(9))
        (0.0, 1.0)
    """
    own, human = np.log10(np.asarray(model, np.float64)), np.log10(np.asarray(people, np.float64))
    error, n = _spread(own - human)
    with np.errstate(invalid="ignore", divide="ignore"):
        alignment = 1 - error / _spread(np.where(np.isnan(own), np.nan, human))[0]
    is_enough = n >= FEWEST_CONDITIONS
    return Agreement(np.where(is_enough, error, np.nan), np.where(is_enough, alignment, np.nan), n)


def flat_log_rmse(people: ArrayLike) -> float:
    """`Agreement.log_rmse` of an observer without the effect, whose contrasts are all equal.

    Args:
        people: contrasts of observers, shape (k,).

    Returns:
        In log10 units, >= 0.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import flat_log_rmse
        >>> round(flat_log_rmse([0.01, 0.1, 1]), 4)
        0.8165
    """
    return float(_spread(np.log10(np.asarray(people, np.float64)))[0])


def means_without_each(values: Floats) -> Floats:
    """Means over all exemplars, then over all but each of them.

    Args:
        values: shape (k, exemplars).

    Returns:
        Shape (1 + exemplars, k); (1, k) for a single one.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.psychophysics import means_without_each
        >>> means_without_each(np.array([[1.0, 2.0, 6.0]])).tolist()
        [[3.0], [4.0], [3.5], [1.5]]
    """
    n = values.shape[1]
    means = values.mean(axis=1)[None]
    return means if n == 1 else np.concatenate([means, (values.sum(axis=1) - values.T) / (n - 1)])


def exemplar_interval(metric: str, values: Floats) -> tuple[float, float]:
    """The 95 % interval of a number, from its values over all exemplars and without each of them.

    Errors and agreements have the interval of a root mean square. The interval of a contrast is symmetric on its
    logarithm.

    Args:
        metric: ``log_rmse``, ``alignment`` or ``contrast``.
        values: shape (1 + exemplars,), with two exemplars at least.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.psychophysics import exemplar_interval
        >>> [round(end, 3) for end in exemplar_interval("log_rmse", np.array([0.2, 0.19, 0.21, 0.2, 0.22]))]
        [0.091, 0.243]
    """
    value, without = float(values[0]), values[1:]
    if metric == "contrast":
        logs = np.log10(values)
        low, high = interval(float(logs[0]), over(left_out_influence(logs[1:])), "linear")
        return 10**low, 10**high
    if metric == "log_rmse":
        return root_interval(value, without)
    # An agreement is 1 minus a quotient of root mean squares.
    low, high = root_interval(1 - value, 1 - without)
    return 1 - high, 1 - low


def one_against_others(thresholds: Floats) -> dict[str, float]:
    """`Agreement` of each observer with the geometric mean of the others, averaged over observers.

    Args:
        thresholds: contrasts, shape (k, observers).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.psychophysics import one_against_others
        >>> alike = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.4, 0.4]])
        >>> round(one_against_others(alike)["alignment"], 9)
        1.0
    """
    from scipy.stats import gmean  # which takes half a second to load, and a report needs none

    found = [
        agreement(single, gmean(np.delete(thresholds, at, axis=1), axis=1))
        for at, single in enumerate(thresholds.T)
    ]
    return {
        name: float(np.mean([getattr(each, name) for each in found])) for name in ("log_rmse", "alignment")
    }


def _spread(values: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Standard deviation over what is not NaN on the last axis, and the number of that; 0 of nothing."""
    n = (~np.isnan(values)).sum(axis=-1)
    counted = np.maximum(n, 1)
    centred = values - (np.nansum(values, axis=-1) / counted)[..., None]
    return np.asarray(np.sqrt(np.nansum(centred**2, axis=-1) / counted)), n
