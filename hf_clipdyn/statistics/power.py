"""What a study can find: the power of an interval that has an error of the seeds and errors that are known.

The interval of a contrast has half-width² = t²(n - 1) s² / n + the sum of t²(d) V over the other errors, such as that
of the items, with V known and d its degrees of freedom. It lies above a limit with the probability

    E[Φ((effect - limit - half-width) / SE)],

where SE² = σ² / n + the sum of V, and the expectation is that over s², which is σ² χ²(n - 1) / (n - 1). With no other
error this is the noncentral t. The integral over the quantiles of χ² has 200 Gauss-Legendre points.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.errors import MetricError

_POINTS = 200
_MOST_SEEDS = 1000


@dataclass(frozen=True)
class Error:
    """One source of the error of an estimate.

    Attributes:
        source: in a word.
        variance: of the estimate, from this source.
        degrees_of_freedom: of its quantile of Student's t.
    """

    source: str
    variance: float
    degrees_of_freedom: float


def half_width(errors: Sequence[Error], confidence: float) -> float:
    """Half the width of an interval in which each error has a quantile of its own.

    At a nominal 98.3 %, with three or five seeds, it covers 98.5 to 99.6 %; a single quantile with Satterthwaite's
    degrees of freedom covers 95.8 to 98.4 % (200,000 simulated studies each; `tests/statistics/test_power.py`).

    Args:
        errors: with variances known or estimated; at least one.
        confidence: level of the interval.

    Examples:
        >>> from hf_clipdyn.statistics.power import Error, half_width
        >>> round(half_width([Error("seeds", 0.04**2, 4), Error("items", 0.03**2, 35)], 0.95), 4)
        0.1267
    """
    return math.sqrt(sum(_quantile(one.degrees_of_freedom, confidence) ** 2 * one.variance for one in errors))


@cache
def _quantile(degrees: float, confidence: float) -> float:
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


@cache
def _nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    places, weights = np.polynomial.legendre.leggauss(_POINTS)
    return (places + 1) / 2, weights / 2


def _half_widths(errors: Sequence[Error], confidence: float) -> tuple[NDArray[np.float64], float]:
    """Half-widths at the nodes of the first error's estimated variance, and the standard error."""
    seeds, *known = errors
    degrees = seeds.degrees_of_freedom
    if not degrees > 0:
        raise MetricError("The power needs the error of at least two seeds as the first one.")
    quantiles, _ = _nodes()
    estimated = seeds.variance * 2 * special.gammaincinv(degrees / 2, quantiles) / degrees
    own = _quantile(degrees, confidence) ** 2 * estimated
    others = half_width(known, confidence) ** 2 if known else 0.0
    return np.sqrt(own + others), math.sqrt(sum(one.variance for one in errors))


def power(effect: float, errors: Sequence[Error], confidence: float, *, limit: float = 0.0) -> float:
    """The probability that the interval lies above a limit.

    Args:
        effect: the true contrast.
        errors: that of the seeds first, σ² / n with n - 1 degrees of freedom; the variances of the others are known.
        confidence: level of the two-sided interval.
        limit: 0 for the direction, δ for "holds".

    Raises:
        MetricError: the first error is that of fewer than two seeds.

    Examples:
        >>> from hf_clipdyn.statistics.power import Error, power
        >>> round(power(0.15, [Error("seeds", 0.088**2 / 8, 7)], 0.99), 3)
        0.856
    """
    halves, error = _half_widths(errors, confidence)
    return float(_nodes()[1] @ special.ndtr((effect - limit - halves) / error))


def power_of_equivalence(effect: float, errors: Sequence[Error], confidence: float, limit: float) -> float:
    """The probability that the interval lies inside (-limit, limit); arguments as of `power`."""
    halves, error = _half_widths(errors, confidence)
    room = np.maximum(limit - halves, 0.0)
    inside = special.ndtr((room - effect) / error) - special.ndtr((-room - effect) / error)
    return float(_nodes()[1] @ inside)


def detectable_effect(
    errors: Sequence[Error], confidence: float, *, limit: float = 0.0, power_wanted: float = 0.8
) -> float:
    """The smallest true effect whose interval lies above a limit with this power; arguments as of `power`.

    Examples:
        >>> from hf_clipdyn.statistics.power import Error, detectable_effect
        >>> round(detectable_effect([Error("seeds", 0.02**2 / 5, 4)], 0.95), 4)
        0.0336
    """
    from scipy.optimize import brentq

    halves, error = _half_widths(errors, confidence)
    highest = float(halves.max()) + 9 * error
    found = brentq(lambda effect: power(effect, errors, confidence) - power_wanted, 0.0, highest, xtol=1e-12)
    return limit + float(found)


def seeds_needed(reached: Callable[[int], float], power_wanted: float = 0.8) -> int | None:
    """The smallest number of seeds with this power, from two on; None if 1,000 are too few.

    Args:
        reached: the power with n seeds.

    Examples:
        >>> from hf_clipdyn.statistics.power import Error, power, seeds_needed
        >>> seeds_needed(lambda n: power(0.15, [Error("seeds", 0.088**2 / n, n - 1)], 0.99))
        8
    """
    return next((n for n in range(2, _MOST_SEEDS + 1) if reached(n) >= power_wanted), None)
