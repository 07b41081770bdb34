"""Which spatial frequencies does recognition use? Noise in one band at a time (Subramanian et al. 2023).

Bands are numbered from 0, each an octave above the one before. A cell is a noise level and a band; each image is in one
cell, and the first level has no noise.
"""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints
from hf_clipdyn.metrics.bootstrap import Resampling
from hf_clipdyn.metrics.noise_robustness import halfway_place

__all__ = ["band_thresholds", "critical_bands", "gaussian_channel", "threshold_indices"]

_FEWEST_BANDS = 3
_WIDTH = 2 * math.sqrt(math.log(4))  # full width at half height of a Gaussian with sigma 1
_PUBLISHED_FIRST = 1.75  # cycles per image that the publication assigns to band 0


def critical_bands(
    right: ArrayLike,
    shown: ArrayLike,
    levels: ArrayLike,
    *,
    chance: float,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The noise that takes half of the accuracy above chance, for each band, and the band of highest sensitivity.

    Args:
        right: number of right answers in each cell, shape (levels, bands).
        shown: number of images in each cell, the same shape.
        levels: standard deviation of the noise, ascending from 0, shape (levels,).
        chance: accuracy of guessing.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. Images are resampled within cells.

    Returns:
        - ``clean``, the accuracy without noise, over all bands;
        - by band ``thresholds``, see `band_thresholds`, and ``thresholds_ci``, [low, high], whose ends may be 0 or inf;
          ``censored``: empty, ``above`` the loudest level, or ``below`` the softest;
        - ``bandwidth`` in octaves and ``centre``, a place on the scale of bands: of the Gaussian over the bands that is
          fitted to log2(loudest level / threshold) of the bands that are not censored. NaN for fewer than three;
        - ``n_bracketed``, the number of these; ``n`` images; ``causes``.

    Raises:
        MetricError: other shapes, more right answers than images, levels that do not ascend from 0.

    Examples:
        >>> from hf_clipdyn.metrics.critical_bands import critical_bands
        >>> right = [[20, 20, 20], [18, 16, 19], [15, 4, 18], [6, 2, 14]]
        >>> result = critical_bands(right, [[20] * 3] * 4, [0, 0.04, 0.08, 0.16], chance=0, n_resamples=0)
        >>> [round(one, 3) for one in result["thresholds"]], result["censored"]
        ([0.118, 0.057, inf], ['', '', 'above'])
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    hits, n, places = (np.asarray(one, np.float64) for one in (right, shown, levels))
    if hits.ndim != 2 or hits.shape != n.shape or places.shape != hits.shape[:1] or len(places) < 2:
        raise MetricError(
            "right and shown must have the shape (levels, bands), with two levels or more, "
            f"but have {hits.shape} and {n.shape} for {places.size} levels."
        )
    if not ((hits >= 0) & (hits <= n) & (n > 0)).all():
        raise MetricError(
            "Each cell must show at least one image, and have from 0 to that many right answers."
        )
    if places[0] != 0 or not (np.diff(places) > 0).all():
        raise MetricError("levels must ascend from 0: sort them, and add the images without noise.")
    thresholds = band_thresholds(hits / n, places, clean=_clean(hits, n), chance=chance)
    bracketed = np.isfinite(thresholds) & (thresholds > 0)
    fit, cause = _peak(np.flatnonzero(bracketed), np.log2(places[-1] / thresholds[bracketed]))
    causes = dict.fromkeys(fit, cause) if cause else {}
    if np.isnan(thresholds).any():
        causes["thresholds"] = "the accuracy without noise is not above chance"
    result: dict[str, Any] = {
        "clean": float(_clean(hits, n)),
        "thresholds": thresholds.tolist(),
        "censored": np.select([thresholds == np.inf, thresholds == 0], ["above", "below"], "").tolist(),
        **fit,
        "n_bracketed": int(bracketed.sum()),
        "n": int(n.sum()),
        "causes": causes,
    }
    if resampling:
        rng = np.random.default_rng(resampling.seed)
        drawn = rng.binomial(n.astype(np.int64), hits / n, size=(resampling.n_resamples, *n.shape))
        of_draws = band_thresholds(drawn / n, places, clean=_clean(drawn, n), chance=chance)
        ends = np.quantile(
            of_draws, resampling.quantiles, axis=0, method="nearest"
        )  # inf has no mean with a number
        result["thresholds_ci"] = ends.T.tolist()
    return result


def _clean(hits: ArrayLike, n: Floats) -> Floats:
    return np.asarray(np.asarray(hits)[..., 0, :].sum(axis=-1) / n[0].sum())


def _peak(bands: Ints, sensitivity: Floats) -> tuple[dict[str, float], str]:
    """The Gaussian through the sensitivities, and the cause if it has no width."""
    undefined = {"bandwidth": math.nan, "centre": math.nan}
    if len(bands) < _FEWEST_BANDS:
        return undefined, f"only {len(bands)} bands have a threshold between two levels; 3 are required"
    start = float(sensitivity.max()), float(bands[sensitivity.argmax()]), 1.0
    fit = _gaussian_fit(bands.astype(np.float64), sensitivity, start, math.inf)
    if fit is None:
        return undefined, "the fit of the Gaussian does not converge"
    return {"bandwidth": _WIDTH * abs(fit[2]), "centre": fit[1]}, ""


def band_thresholds(accuracy: ArrayLike, levels: ArrayLike, *, clean: ArrayLike, chance: float) -> Floats:
    """The noise at which the accuracy first falls halfway from its clean value to chance, by interpolation of its log.

    Args:
        accuracy: shape (..., levels, bands).
        levels: standard deviation of the noise, ascending, shape (levels,); one without noise is left out.
        clean: accuracy without noise, shape (...). With 1 and a ``chance`` of 0, the threshold is at 50 %.
        chance: accuracy of guessing.

    Returns:
        Shape (..., bands), in the units of ``levels``. inf if the accuracy never falls that far, 0 if it is below at
        the softest level already; NaN where clean is not above chance.

    Examples:
        >>> from hf_clipdyn.metrics.critical_bands import band_thresholds
        >>> accuracy = [[0.9, 0.4], [0.6, 0.3], [0.4, 0.2]]
        >>> band_thresholds(accuracy, [0.04, 0.08, 0.16], clean=1, chance=0).round(4).tolist()
        [0.1131, 0.0]
    """
    curves, places = np.asarray(accuracy, np.float64), np.asarray(levels, np.float64)
    noisy = places > 0
    by_band = np.moveaxis(curves[..., noisy, :], -2, -1)
    starts = np.broadcast_to(np.asarray(clean, np.float64)[..., None], by_band.shape[:-1])
    return np.exp2(halfway_place(by_band, np.log2(places[noisy]), starts, chance))


def threshold_indices(accuracy: ArrayLike, criterion: float = 0.5) -> Ints:
    """The published thresholds: from the loudest level down, the first with an accuracy above the criterion.

    Args:
        accuracy: shape (..., levels, bands), levels ascending, the first without noise.
        criterion: in [0, 1].

    Returns:
        Shape (..., bands): 0 for the loudest level, up to levels - 1 for the first one, also if none is above it.

    Examples:
        >>> from hf_clipdyn.metrics.critical_bands import threshold_indices
        >>> threshold_indices([[0.9, 0.9], [0.8, 0.4], [0.6, 0.2]]).tolist()
        [0, 2]
    """
    above = np.asarray(accuracy)[..., ::-1, :] > criterion
    return np.asarray(np.where(above.any(axis=-2), above.argmax(axis=-2), above.shape[-2] - 1))


def gaussian_channel(indices: ArrayLike, most: int = 4) -> dict[str, Any]:
    """The published fit, A exp(-(f - mu)² / (2 sigma²)) to the thresholds of bands f = 0, 1, ..., from (1, 0, 1).

    It fails often: in 40 of 85 networks A is at its bound, and a band that no noise disturbs makes the width a guess.
    Prefer `critical_bands`.

    Args:
        indices: of `threshold_indices`, shape (bands,).
        most: bound of A, the largest index.

    Returns:
        ``amplitude`` A in [0, ``most``], ``mu``, ``sigma``; ``bandwidth``, 2 sqrt(ln 4) |sigma| octaves (the
        publication keeps the sign of sigma); ``centre_frequency``, 1.75 * 2^mu cycles per image in the publication's
        frequencies, about twice the real ones; ``peak_sensitivity``, 2^(A - most); ``at_bound``; ``causes`` of NaN.

    Examples:
        >>> from hf_clipdyn.metrics.critical_bands import gaussian_channel
        >>> result = gaussian_channel([0, 0, 2, 2, 3, 4, 2])
        >>> round(result["bandwidth"], 3), round(result["centre_frequency"], 2), round(result["peak_sensitivity"], 3)
        (3.988, 39.42, 0.71)
    """
    values = np.asarray(indices, np.float64)
    bands = np.arange(len(values), dtype=np.float64)
    fit = _gaussian_fit(bands, values, (1.0, 0.0, 1.0), most)
    amplitude, mu, sigma = fit or (math.nan, math.nan, math.nan)
    result = {
        "amplitude": amplitude,
        "mu": mu,
        "sigma": sigma,
        "bandwidth": _WIDTH * abs(sigma),
        "centre_frequency": _PUBLISHED_FIRST * 2.0**mu,
        "peak_sensitivity": 2.0 ** (amplitude - most),
    }
    cause = {} if fit else dict.fromkeys(result, "the fit of the Gaussian does not converge")
    return {**result, "at_bound": amplitude > most - 1e-3, "causes": cause}


def _gaussian_fit(
    bands: Floats, values: Floats, start: tuple[float, float, float], most: float
) -> tuple[float, float, float] | None:
    def gaussian(f: Floats, amplitude: float, mu: float, sigma: float) -> Floats:
        return np.asarray(amplitude * np.exp(-((f - mu) ** 2) / (2 * sigma**2)))

    bounds = ([0, -np.inf, -np.inf], [most, np.inf, np.inf])
    try:
        with warnings.catch_warnings():  # three points leave no error, of which nothing is read
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            amplitude, mu, sigma = optimize.curve_fit(gaussian, bands, values, start, bounds=bounds)[
                0
            ].tolist()
    except RuntimeError:
        return None
    return amplitude, mu, sigma
