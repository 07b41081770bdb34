"""What several comparisons at once do to p values and intervals.

The rows of one statement are its **family**, fixed before anybody looks. Among m numbers without any change, about
m / 20 have p < .05. `adjusted` gives p values that can be compared with .05 again. `error_rates` gives the error rate
at which the interval of each number is made.

- ``bonferroni`` (p times m) bounds the chance of any false finding in the family, whatever the dependence of its
  numbers. The intervals, at the error rate alpha / m, cover all true differences together.
- ``holm`` (Holm 1979) bounds the same, and finds more. It has no intervals: those of Bonferroni could contain 0 where
  Holm finds a difference.
- ``bh`` (Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x) bounds the expected share of false
  findings among all findings, for numbers that depend on each other positively: for exploration. Only the R findings
  get an interval, at the error rate R alpha / m: on average, at most a share alpha of these intervals misses its true
  difference (false coverage rate; Benjamini and Yekutieli 2005, doi 10.1198/016214504000001907).
- ``by`` (Benjamini and Yekutieli 2001) does so under any dependence, with m multiplied by 1 + 1/2 + ... + 1/m.
- ``none`` changes nothing.

So an interval excludes 0 exactly if the corrected p value is below alpha.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Correction = Literal["bonferroni", "holm", "bh", "by", "none"]
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)
"""The corrections, the default first."""

Floats = NDArray[np.float64]


def adjusted(p_values: ArrayLike, correction: Correction = "bonferroni") -> Floats:
    """The p values of a family, corrected for its size.

    Args:
        p_values: shape (m,), of all numbers of the family.
        correction: one of `CORRECTIONS`.

    Returns:
        Shape (m,), in the same order: a number is significant at alpha if its corrected p value is at most alpha.

    Examples:
        >>> from hf_clipdyn.statistics.corrections import adjusted
        >>> adjusted([0.01, 0.04, 0.03, 0.005]).tolist()
        [0.04, 0.16, 0.12, 0.02]
        >>> adjusted([0.01, 0.04, 0.03, 0.005], "holm").tolist()
        [0.03, 0.06, 0.06, 0.02]
        >>> adjusted([0.01, 0.04, 0.03, 0.005], "bh").round(3).tolist()
        [0.02, 0.04, 0.04, 0.02]
    """
    p = np.asarray(p_values, np.float64)
    if correction == "none" or not p.size:
        return p
    if correction == "bonferroni":
        return np.minimum(p * len(p), 1.0)
    if correction != "holm":
        from scipy.stats import false_discovery_control  # takes half a second to load

        return np.asarray(false_discovery_control(p, method=correction))
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.minimum(p[order] * np.arange(len(p), 0, -1), 1.0))
    return stepped[np.argsort(order)]


def error_rates(p_adjusted: ArrayLike, correction: Correction = "bonferroni", alpha: float = 0.05) -> Floats:
    """The error rate at which the interval of each number of a family is made.

    Args:
        p_adjusted: shape (m,), from `adjusted`.
        correction: the same one.
        alpha: of the family.

    Returns:
        Shape (m,): 1 minus the confidence level; NaN for a number without an interval: one that ``bh`` or ``by`` does
        not select, and all of several with ``holm``.

    Examples:
        >>> from hf_clipdyn.statistics.corrections import error_rates
        >>> error_rates([0.04, 0.16, 0.12, 0.02]).tolist()
        [0.0125, 0.0125, 0.0125, 0.0125]
        >>> error_rates([0.02, 0.04, 0.04, 0.02], "bh", alpha=0.03).tolist()
        [0.015, nan, nan, 0.015]
    """
    p = np.asarray(p_adjusted, np.float64)
    m = len(p)
    if correction == "none" or m == 0:
        return np.full(m, alpha)
    if correction == "bonferroni":
        return np.full(m, alpha / m)
    if correction == "holm":
        return np.full(m, alpha if m == 1 else np.nan)
    selected = p <= alpha
    dependence = np.sum(1 / np.arange(1, m + 1)) if correction == "by" else 1.0
    return np.where(selected, selected.sum() * alpha / (m * dependence), np.nan)
