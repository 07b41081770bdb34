"""How well one map predicts where people look on one image: eight metrics.

Conventions are those of the MIT/Tübingen benchmark and of Bylinskii et al. 2019 (arXiv 1604.03605).
Fixations are arrays of x, y in pixels, shape (n, 2), from the upper left corner. Undefined values are NaN;
`image_scores` names the causes. All functions raise a `MetricError` for numbers that are not finite, a fixation outside
the map, different shapes, a negative density or an unknown convention.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints
from hf_clipdyn.metrics.fixation_maps import as_map, fixation_pixels

__all__ = [
    "METRICS",
    "SimConvention",
    "auc",
    "auc_judd",
    "cc",
    "chosen_metrics",
    "image_scores",
    "information_gain",
    "kl_divergence",
    "nss",
    "shuffled_auc",
    "sim",
]

METRICS = ("nss", "auc", "auc_judd", "sauc", "cc", "sim", "kl", "ig")
"""All metrics, in the order of the results. Larger is better, except for ``kl``."""

SimConvention: TypeAlias = Literal["mit", "shift"]

_EPS = 2.2204e-16  # of the MIT benchmark's KL
_UNIFORM_SHARE = 0.01  # mixed into both densities of the information gain


def nss(saliency_map: ArrayLike, fixations: ArrayLike) -> float:
    """Normalised scanpath saliency: mean of the standardised map at the fixations (Peters et al. 2005).

    Args:
        saliency_map: shape (H, W), any unit.
        fixations: the points themselves, shape (n, 2). On a blurred fixation map NSS is another,
            smaller number (1.69 instead of 1.93 in one case).

    Returns:
        In standard deviations (population), unbounded; 0 for chance and for a constant map. NaN
        without fixations.
    """
    return _single("nss", saliency_map, fixations)


def auc(saliency_map: ArrayLike, fixations: ArrayLike) -> float:
    """Area under the ROC of fixations against all pixels (uniform negatives); ties count one half.

    Args:
        saliency_map: shape (H, W), any unit; only its order matters.
        fixations: shape (n, 2); repeats count.

    Returns:
        In [0, 1]; exactly 0.5 for a constant map. NaN without fixations.
    """
    return _single("auc", saliency_map, fixations)


def auc_judd(saliency_map: ArrayLike, fixations: ArrayLike) -> float:
    """AUC in the convention of Judd et al. 2009, without their random jitter.

    The thresholds are the distinct values at the fixations; tp is the share of the fixations
    (repeats counted) and fp the share of the pixels without any fixation at or above; trapezoids
    between (0, 0), those points and (1, 1).

    Args:
        saliency_map: shape (H, W), any unit.
        fixations: shape (n, 2).

    Returns:
        In [0, 1]; exactly 0.5 for a constant map. NaN without fixations, and where every pixel is
        fixated.
    """
    return _single("auc_judd", saliency_map, fixations)


def shuffled_auc(saliency_map: ArrayLike, fixations: ArrayLike, other_fixations: ArrayLike) -> float:
    """AUC of the fixations against those of other images (Tatler et al. 2005), ties one half.

    A map that merely favours the centre scores 0.5, since the negatives are as central.

    Args:
        saliency_map: shape (H, W), any unit.
        fixations: shape (n, 2).
        other_fixations: fixations of the other images, rescaled to this one (see
            `fixation_maps.fixations_of_others`), shape (m, 2); repeats count.

    Returns:
        In [0, 1]; exactly 0.5 for a constant map. NaN without fixations of either kind.
    """
    return _single("sauc", saliency_map, fixations, other_fixations=other_fixations)


def cc(saliency_map: ArrayLike, density: ArrayLike) -> float:
    """Pearson's correlation of the map with the fixation density.

    Args:
        saliency_map, density: shape (H, W).

    Returns:
        In [-1, 1]; 0 for a constant map. NaN for a constant density.
    """
    return _single("cc", saliency_map, density=density)


def sim(saliency_map: ArrayLike, density: ArrayLike, convention: SimConvention = "mit") -> float:
    """Similarity: sum over the pixels of the smaller of the two, each scaled to sum to 1.

    Args:
        saliency_map, density: shape (H, W).
        convention: "mit" (default) stretches both to [0, 1] first, as the MIT benchmark's code
            does; "shift" only lifts a map with negative values to 0, as pysaliency does.

    Returns:
        In [0, 1], 1 for equal maps. NaN where a map cannot be scaled: constant ("mit"), all zero
        ("shift").
    """
    return _single("sim", saliency_map, density=density, sim_convention=convention)


def kl_divergence(saliency_map: ArrayLike, density: ArrayLike) -> float:
    """Kullback-Leibler divergence of the map from the density, sum g log(eps + g / (p + eps)).

    eps = 2.2204e-16 as in the MIT benchmark; p is the map and g the density, each scaled to sum to
    1. A map with negative values is lifted to 0 first.

    Args:
        saliency_map, density: shape (H, W).

    Returns:
        In nats, 0 for equal maps, else positive (up to rounding); smaller is better. It punishes
        zeros at fixated places without bound but for eps. NaN for an all-zero map or density.
    """
    return _single("kl", saliency_map, density=density)


def information_gain(saliency_map: ArrayLike, fixations: ArrayLike, baseline: ArrayLike) -> float:
    """Mean log-likelihood of the fixations under the map over that under a baseline (Kümmerer et al. 2015).

    Both maps are clipped at 0, scaled to sum to 1 and mixed with 1 % of the uniform density.

    Args:
        saliency_map: shape (H, W).
        fixations: shape (n, 2).
        baseline: density of the centre bias, best from the fixations of the other images, (H, W).

    Returns:
        In bits per fixation, unbounded; 0 for no better than the baseline. NaN without fixations,
        and for a map without positive values.
    """
    return _single("ig", saliency_map, fixations, baseline=baseline)


def image_scores(
    saliency_map: ArrayLike,
    fixations: ArrayLike,
    *,
    metrics: Sequence[str] | None = None,
    density: ArrayLike | None = None,
    other_fixations: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    sim_convention: SimConvention = "mit",
) -> dict[str, Any]:
    """The metrics of one map, with one sort for all of them.

    Args:
        saliency_map: shape (H, W).
        fixations: shape (n, 2); empty where a data set has densities only.
        metrics: which of `METRICS`, None for all. What lacks its input is NaN.
        density: for cc, sim and kl; shape (H, W), see `fixation_maps.fixation_density`.
        other_fixations: for sauc, see `shuffled_auc`.
        baseline: for ig, see `information_gain`.
        sim_convention: see `sim`.

    Returns:
        A value for each metric, in the order of `METRICS`; ``causes``, metric to the reason why it is NaN.

    Raises:
        MetricError: see above; also an unknown metric.
    """
    wanted = chosen_metrics(metrics)
    image = _Image(saliency_map, fixations, density)
    compute = {
        "nss": lambda: _nss(image),
        "auc": lambda: _share_below(image.at_fixations, image.sorted),
        "auc_judd": lambda: _auc_judd(image),
        "sauc": lambda: _shuffled_auc(image, other_fixations),
        "cc": lambda: _cc(image.scaled, image.density),
        "sim": lambda: _sim(image, sim_convention),
        "kl": lambda: _kl(image.scaled, image.density),
        "ig": lambda: _information_gain(image, baseline),
    }
    result: dict[str, Any] = dict.fromkeys(wanted, float("nan"))
    causes: dict[str, str] = {}
    for name in wanted:
        try:
            result[name] = compute[name]()
        except _UndefinedError as cause:
            causes[name] = str(cause)
    return result | {"causes": causes}


class _UndefinedError(Exception):
    """Why a metric is not defined on an image."""


def _single(name: str, saliency_map: ArrayLike, fixations: ArrayLike = (), **inputs: Any) -> float:
    return float(image_scores(saliency_map, fixations, metrics=[name], **inputs)[name])


class _Image:
    """A map and what it is compared with. Its parts raise an `_UndefinedError` if their input is not given."""

    def __init__(self, saliency_map: ArrayLike, fixations: ArrayLike, density: ArrayLike | None) -> None:
        self.values = as_map("saliency_map", saliency_map)
        self.flat = self.values.reshape(-1)
        self._pixels = fixation_pixels(fixations, self.values.shape)
        self._density = None if density is None else _as_density(density, self.values.shape)

    @property
    def pixels(self) -> Ints:
        """Indices of the fixated pixels, one a fixation."""
        if not len(self._pixels):
            raise _UndefinedError("there is no fixation point")
        return self._pixels

    @property
    def density(self) -> Floats:
        if self._density is None:
            raise _UndefinedError("there is no density to compare with: give sigma or densities")
        return self._density

    @property
    def at_fixations(self) -> Floats:
        return self.flat[self.pixels]

    @cached_property
    def scaled(self) -> Floats:
        """The map for what multiplies and sums its values; orders are taken of the map itself."""
        return _scaled(self.values)

    @cached_property
    def sorted(self) -> Floats:
        return np.sort(self.flat)


def _nss(image: _Image) -> float:
    pixels, values = image.pixels, image.scaled
    if values.min() == values.max():
        return 0.0
    return float((values.reshape(-1)[pixels].mean() - values.mean()) / values.std())


def _share_below(positives: Floats, sorted_negatives: Floats) -> float:
    """Probability that a positive exceeds a negative, ties one half: the area under the ROC."""
    below = np.searchsorted(sorted_negatives, positives, side="left")
    not_above = np.searchsorted(sorted_negatives, positives, side="right")
    return float((below + not_above).mean() / (2 * len(sorted_negatives)))


def _auc_judd(image: _Image) -> float:
    positives, occupied = np.sort(image.at_fixations), np.unique(image.pixels)
    n_empty = len(image.flat) - len(occupied)
    if not n_empty:
        raise _UndefinedError("every pixel is fixated, so there are no negatives")
    thresholds = np.unique(positives)[::-1]
    pixels = _count_from(image.sorted, thresholds)
    pixels -= _count_from(np.sort(image.flat[occupied]), thresholds)
    tp = np.r_[0.0, _count_from(positives, thresholds) / len(positives), 1.0]
    fp = np.r_[0.0, pixels / n_empty, 1.0]
    return float(np.sum(np.diff(fp) * (tp[1:] + tp[:-1]) / 2))


def _count_from(ascending: Floats, thresholds: Floats) -> Floats:
    """How many of the sorted values are at or above each threshold."""
    return np.asarray(len(ascending) - np.searchsorted(ascending, thresholds, side="left"), dtype=np.float64)


def _shuffled_auc(image: _Image, other_fixations: ArrayLike | None) -> float:
    positives = image.at_fixations
    if other_fixations is None:
        raise _UndefinedError("other_fixations, the fixations of the other images, are not given")
    negatives = image.flat[fixation_pixels(other_fixations, image.values.shape)]
    if not len(negatives):
        raise _UndefinedError("the other images have no fixation point")
    return _share_below(positives, np.sort(negatives))


def _cc(saliency_map: Floats, density: Floats) -> float:
    if density.min() == density.max():
        raise _UndefinedError("the density is constant")
    if saliency_map.min() == saliency_map.max():
        return 0.0
    p, g = saliency_map - saliency_map.mean(), density - density.mean()
    return float(_dot(p, g) / np.sqrt(_dot(p, p) * _dot(g, g)))


def _sim(image: _Image, convention: SimConvention) -> float:
    if convention not in ("mit", "shift"):
        raise MetricError(f"The convention of SIM must be 'mit' or 'shift', but is {convention!r}.")
    shares = []
    for name, values in (("map", image.scaled), ("density", image.density)):
        low = values.min() if convention == "mit" else min(values.min(), 0.0)
        what = "constant" if convention == "mit" or values.min() < 0 else "zero everywhere"
        shares.append(_summing_to_one(values - low, f"the {name} is {what}"))
    return float(np.minimum(*shares).sum())


def _kl(saliency_map: Floats, density: Floats) -> float:
    cause = "is constant, with no positive value"
    p = _summing_to_one(saliency_map - min(float(saliency_map.min()), 0.0), f"the map {cause}")
    g = _summing_to_one(density, f"the density {cause}")
    return _dot(g, np.log(_EPS + g / (p + _EPS)))


def _summing_to_one(values: Floats, cause: str) -> Floats:
    total = values.sum()
    if total == 0:
        raise _UndefinedError(cause)
    return np.asarray(values / total)


def _information_gain(image: _Image, baseline: ArrayLike | None) -> float:
    pixels = image.pixels
    if baseline is None:
        raise _UndefinedError("the baseline, a density of the centre bias, is not given")
    centre = as_map("baseline", baseline)
    if centre.shape != image.values.shape:
        raise MetricError(f"The baseline has the shape {centre.shape}, but the map {image.values.shape}.")
    likelihoods = []
    for name, values in (("map", image.scaled), ("baseline", _scaled(centre))):
        clipped = np.maximum(values, 0.0)
        total = clipped.sum()
        if total == 0:
            raise _UndefinedError(f"the {name} has no positive value")
        mixed = (1 - _UNIFORM_SHARE) * (clipped.reshape(-1)[pixels] / total) + _UNIFORM_SHARE / values.size
        likelihoods.append(np.log2(mixed))
    return float((likelihoods[0] - likelihoods[1]).mean())


def _dot(first: Floats, second: Floats) -> float:
    """Sum of the products. Not BLAS's: its threads cost more than they bring where the cores are busy."""
    return float(np.einsum("ij,ij->", first, second))


def _scaled(values: Floats) -> Floats:
    """The map times a power of two where its squares or sums would leave the range of numbers; exact but for that."""
    largest = max(float(values.max()), -float(values.min()))
    if largest == 0 or 1e-75 < largest < 1e75:
        return values
    return np.asarray(np.ldexp(values, -int(np.frexp(largest)[1])))


def _as_density(density: ArrayLike, shape: tuple[int, ...]) -> Floats:
    array = as_map("density", density)
    if array.shape != shape:
        raise MetricError(f"The density has the shape {array.shape}, but its map {shape}.")
    if array.min() < 0:
        raise MetricError(f"A density must not be negative, but its smallest value is {array.min():g}.")
    return _scaled(array)


def chosen_metrics(metrics: Sequence[str] | None) -> list[str]:
    """The wanted metrics (None: all) in the order of `METRICS`; a `MetricError` names an unknown one."""
    if metrics is None:
        return list(METRICS)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or isinstance(metrics, str):
        given = metrics if isinstance(metrics, str) else unknown[0]
        raise MetricError(f"metrics must be a list of {', '.join(METRICS)}, but {given!r} was given.")
    return [name for name in METRICS if name in metrics]
