"""The logistic that maps a quality measure onto opinion scores before Pearson's correlation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hf_clipdyn.metrics._validation import Floats

__all__ = ["fit_logistic"]

_Curve: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats]]


def fit_logistic(
    predictions: ArrayLike, references: ArrayLike, n_parameters: Literal[4, 5]
) -> Callable[[ArrayLike], Floats] | None:
    """Least-squares logistic from predictions to opinion scores.

    - 4 parameters: (b1 - b2) / (1 + exp(-(x - b3) / b4)) + b2, started at
      [max y, min y, mean x, std x / 4].
    - 5 parameters (VQEG): b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5. It has local optima:
      it is fitted from two starts (standardised x from [max y - min y, 1, 0, 0, mean y], and x as
      it is from [10, 0, mean y, 0.1, 0.1]) and the smaller residual is kept.

    Predictions that fall as the references rise are negated first, so that x and -x fit alike.

    Args:
        predictions: shape (n,), not constant.
        references: shape (n,).
        n_parameters: 4 or 5.

    Returns:
        The fitted curve, a function of predictions; None where the rows do not determine it.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.logistic_fit import fit_logistic
        >>> distances = np.linspace(0, 1, 20)
        >>> scores = 1 + 4 / (1 + np.exp((distances - 0.5) / 0.1))
        >>> curve = fit_logistic(distances, scores, 4)
        >>> curve([0.0, 0.5, 1.0]).round(2).tolist()
        [4.97, 3.0, 1.03]
    """
    from scipy import stats

    x, y = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if len(x) <= n_parameters or np.ptp(x) == 0:
        return None
    direction = -1.0 if stats.spearmanr(x, y).statistic < 0 else 1.0
    x = direction * x
    centre, spread = float(x.mean()), float(x.std())
    # The starts are those of the reference implementations, each in the scale that it works in.
    if n_parameters == 4:
        attempts = [(_logistic4, 0.0, 1.0, [y.max(), y.min(), centre, spread / 4])]
    else:
        attempts = [
            (_logistic5, centre, spread, [np.ptp(y), 1.0, 0.0, 0.0, y.mean()]),
            (_logistic5, 0.0, 1.0, [10.0, 0.0, y.mean(), 0.1, 0.1]),
        ]
    fits = [
        _Fit(curve, direction, shift, scale, _least_squares(curve, (x - shift) / scale, y, start))
        for curve, shift, scale, start in attempts
    ]
    return min(fits, key=lambda fit: float(np.sum((fit(direction * x) - y) ** 2)))


@dataclass(frozen=True)
class _Fit:
    """A fitted curve in the units of the predictions."""

    curve: _Curve
    direction: float
    shift: float
    scale: float
    parameters: Floats

    def __call__(self, predictions: ArrayLike) -> Floats:
        x = self.direction * np.asarray(predictions, dtype=np.float64)
        return self.curve((x - self.shift) / self.scale, self.parameters)[0]


def _logistic4(x: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Values (n,) and their derivatives by the parameters (n, 4)."""
    # A step of zero width is the limit that the optimiser may run into; keep it a step.
    width = b[3] if abs(b[3]) > 1e-300 else 1e-300
    z = (x - b[2]) / width
    high, low = special.expit(z), special.expit(-z)
    steepness = (b[0] - b[1]) * high * low / width
    return b[0] * high + b[1] * low, np.stack([high, low, -steepness, -steepness * z], axis=1)


def _logistic5(x: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Values (n,) and their derivatives by the parameters (n, 5)."""
    distance = x - b[2]
    high, low = special.expit(b[1] * distance), special.expit(-b[1] * distance)
    slope = b[0] * high * low
    derivatives = [high - 0.5, slope * distance, -slope * b[1], x, np.ones_like(x)]
    return b[0] * (high - 0.5) + b[3] * x + b[4], np.stack(derivatives, axis=1)


def _least_squares(curve: _Curve, x: Floats, y: Floats, start: list[float]) -> Floats:
    """Levenberg-Marquardt; where it stops early, the best point so far is as good as its residual says.

    The derivatives are exact and the parameters scaled by them, so that distances of any unit, also those of an
    untrained model, near 1e-9, are fitted alike.
    """

    from scipy import optimize

    def residuals(parameters: Floats) -> Floats:
        return np.nan_to_num(curve(x, parameters)[0] - y, nan=1e10)

    def derivatives(parameters: Floats) -> Floats:
        return np.nan_to_num(curve(x, parameters)[1], posinf=1e100, neginf=-1e100)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        fit = optimize.least_squares(
            residuals, start, derivatives, method="lm", x_scale="jac", max_nfev=20_000
        )
        return np.asarray(fit.x)
