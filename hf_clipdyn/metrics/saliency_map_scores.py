"""How the eight metrics of `saliency` are computed for maps of one image.

Conventions are those of the MIT/Tübingen benchmark and of Bylinskii et al. 2019 (arXiv 1604.03605).
Fixations are arrays of x, y in pixels, shape (n, 2), from the upper left corner. Undefined values are NaN;
`ImageScorer.scores` names the causes. Numbers that are not finite, a fixation outside the map, different shapes, a
negative density or an unknown convention raise a `MetricError`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints
from hf_clipdyn.metrics.fixation_maps import fixation_pixels, map_and_limits

__all__ = [
    "METRICS",
    "ImageScorer",
    "SaliencyMap",
    "SimConvention",
    "chosen_metrics",
]

METRICS = ("nss", "auc", "auc_judd", "sauc", "cc", "sim", "kl", "ig")
"""All metrics, in the order of the results. Larger is better, except for ``kl``."""

SimConvention: TypeAlias = Literal["mit", "shift"]

_EPS = 2.2204e-16  # of the MIT benchmark's KL
_UNIFORM_SHARE = 0.01  # mixed into both densities of the information gain
_BUCKETS = 2**14
_BAND = 2**15  # pixels of a map that are worked on together, so that they stay in a processor's cache
_SORTED_WHOLE = 2**12  # up to this number of values, sorting them all is faster than counting in buckets


class _UndefinedError(Exception):
    """Why a metric is not defined on an image."""


class SaliencyMap:
    """A map or a density, with the quantities that several metrics need; each is computed once, when needed.

    Args:
        values: shape (H, W), any unit.
        name: name in the messages of errors.

    Raises:
        MetricError: another shape, or a pixel that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.saliency_map_scores import SaliencyMap
        >>> saliency_map = SaliencyMap([[0, 1], [2, 3]])
        >>> saliency_map.is_constant, saliency_map.share.round(3).tolist()
        (False, [[0.0, 0.167], [0.333, 0.5]])
    """

    def __init__(self, values: ArrayLike, name: str = "saliency_map") -> None:
        self.values, self.limits = map_and_limits(name, values)
        self.flat = self.values.reshape(-1)

    @property
    def is_constant(self) -> bool:
        """Whether all pixels have one value."""
        return self.limits[0] == self.limits[1]

    @cached_property
    def scaled(self) -> Floats:
        """The map for what multiplies and sums its values; orders are taken of the map itself.

        It is the map times a power of two where its squares or sums would leave the range of numbers; exact but for
        that.
        """
        largest = max(self.limits[1], -self.limits[0])
        if largest == 0 or 1e-75 < largest < 1e75:
            return self.values
        return np.asarray(np.ldexp(self.values, -int(np.frexp(largest)[1])))

    @cached_property
    def total(self) -> float:
        """Sum over all pixels of the scaled map."""
        return float(self.scaled.sum())

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the stretched map in units of its mean; 0 for a constant map.

        One value is 0, so that it is at least that of a single 0 among equal values, and the subtraction is harmless.
        """
        if self.stretched is None:
            return 0.0
        return float(np.sqrt(_relative_covariance(self.stretched, self.stretched)))

    @cached_property
    def stretched(self) -> Floats | None:
        """The map minus its smallest value, with the sum 1; None for a constant map."""
        if self.is_constant:
            return None
        stretched: Floats = self.scaled - self._smallest
        stretched *= 1 / stretched.sum()
        return stretched

    @property
    def _smallest(self) -> float:
        return self.limits[0] if self.scaled is self.values else float(self.scaled.min())

    @cached_property
    def _lifted(self) -> tuple[Floats, float]:
        """The map, lifted to 0 if it has negative values, and its sum."""
        if self.limits[0] >= 0:
            return self.scaled, self.total
        lifted = self.scaled - self._smallest
        return lifted, float(lifted.sum())

    @cached_property
    def share(self) -> Floats | None:
        """The lifted map with the sum 1; None if it is 0 everywhere."""
        if self.limits[0] <= 0:
            return self.stretched
        lifted, total = self._lifted
        return lifted * (1 / total)

    @cached_property
    def logarithms(self) -> tuple[Floats, float] | None:
        """Two parts whose difference is the logarithm of the share plus the MIT benchmark's epsilon.

        The first is the logarithm of the lifted map plus epsilon times its sum; the second is the logarithm of that
        sum. None if the sum is 0.
        """
        lifted, total = self._lifted
        if not total:
            return None
        logarithms = lifted + _EPS * total
        return np.log(logarithms, out=logarithms), float(np.log(total))

    @cached_property
    def negative_entropy(self) -> float:
        """Sum of share times its logarithm, in nats."""
        if self.share is None:
            return 0.0
        logarithms = np.maximum(self.share, np.finfo(np.float64).tiny)  # 0 log 0 is 0
        return _dot(self.share, np.log(logarithms, out=logarithms))

    def log_likelihoods(self, pixels: Ints) -> Floats | None:
        """At each pixel, in bits, under the map as a density: clipped at 0 and mixed with the uniform one."""
        total = self.total if self.limits[0] >= 0 else float(np.maximum(self.scaled, 0.0).sum())
        if total == 0:
            return None
        share: Floats = np.maximum(self.scaled.reshape(-1)[pixels], 0.0) / total
        return np.asarray(np.log2((1 - _UNIFORM_SHARE) * share + _UNIFORM_SHARE / self.flat.size))


class ImageScorer:
    """Scores several maps of one image; fixations, density and baseline are prepared once.

    Args:
        shape: (H, W) of the maps.
        fixations, density, other_fixations, baseline, sim_convention: as of `image_scores`. A baseline that several
            scorers share may be a `SaliencyMap`.

    Raises:
        MetricError: a fixation outside the map, a density of another shape, or a negative one.

    Examples:
        >>> from hf_clipdyn.metrics.saliency_map_scores import ImageScorer
        >>> scorer = ImageScorer((2, 2), [[1, 1]])
        >>> [scorer.scores(one, ["auc"])["auc"] for one in ([[0, 1], [2, 3]], [[3, 2], [1, 0]])]
        [0.875, 0.125]
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        fixations: ArrayLike = (),
        *,
        density: ArrayLike | None = None,
        other_fixations: ArrayLike | None = None,
        baseline: ArrayLike | SaliencyMap | None = None,
        sim_convention: SimConvention = "mit",
    ) -> None:
        self.shape, self.sim_convention = shape, sim_convention
        self._pixels = fixation_pixels(fixations, shape)
        self._density = None if density is None else _as_density(density, shape)
        self._other_fixations, self._baseline = other_fixations, baseline

    def scores(
        self, saliency_map: ArrayLike | SaliencyMap, metrics: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """`image_scores` of one map. A `SaliencyMap` keeps what was computed for the next scorer."""
        wanted = chosen_metrics(metrics)
        image_map = saliency_map if isinstance(saliency_map, SaliencyMap) else SaliencyMap(saliency_map)
        if image_map.values.shape != self.shape:
            raise MetricError(
                f"The map has the shape {image_map.values.shape}, but its image has {self.shape}."
            )
        pair = _Pair(image_map, self)
        result: dict[str, Any] = dict.fromkeys(wanted, float("nan"))
        causes: dict[str, str] = {}
        for name in wanted:
            try:
                result[name] = _COMPUTE[name](pair)
            except _UndefinedError as cause:
                causes[name] = str(cause)
        return result | {"causes": causes}

    # What follows raises an `_UndefinedError` if its input is not given.

    @property
    def pixels(self) -> Ints:
        """Indices of the fixated pixels, one a fixation."""
        if not len(self._pixels):
            raise _UndefinedError("there is no fixation point")
        return self._pixels

    @cached_property
    def occupied(self) -> Ints:
        """Indices of the fixated pixels, each once."""
        return np.unique(self._pixels)

    @property
    def density(self) -> SaliencyMap:
        """The density that cc, sim and kl compare a map with."""
        if self._density is None:
            raise _UndefinedError("there is no density to compare with: give sigma or densities")
        return self._density

    @cached_property
    def negatives(self) -> Ints:
        """Indices of the pixels that are fixated on other images, one a fixation."""
        if self._other_fixations is None:
            raise _UndefinedError("other_fixations, the fixations of the other images, are not given")
        pixels = fixation_pixels(self._other_fixations, self.shape)
        if not len(pixels):
            raise _UndefinedError("the other images have no fixation point")
        return pixels

    @cached_property
    def baseline(self) -> SaliencyMap:
        """The baseline of the information gain."""
        if self._baseline is None:
            raise _UndefinedError("the baseline, a density of the centre bias, is not given")
        given = self._baseline
        centre = given if isinstance(given, SaliencyMap) else SaliencyMap(given, "baseline")
        if centre.values.shape != self.shape:
            raise MetricError(
                f"The baseline has the shape {centre.values.shape}, but the map has {self.shape}."
            )
        return centre

    @cached_property
    def baseline_likelihoods(self) -> Floats | None:
        """Log-likelihood of each fixation under the baseline, in bits; None if the baseline has no positive value."""
        return self.baseline.log_likelihoods(self.pixels)


class _Pair:
    """A map and what it is scored against."""

    def __init__(self, image_map: SaliencyMap, scorer: ImageScorer) -> None:
        self.map, self.scorer = image_map, scorer

    @property
    def at_fixations(self) -> Floats:
        return self.map.flat[self.scorer.pixels]

    @cached_property
    def ranks(self) -> tuple[Ints, Ints]:
        """For each fixation, how many pixels of the map are below it, and how many are not above it."""
        return _ranks(self.at_fixations, self.map.flat, self.map.limits)


def _nss(pair: _Pair) -> float:
    pixels, stretched = pair.scorer.pixels, pair.map.stretched
    if stretched is None:
        return 0.0
    in_means = stretched.size * stretched.reshape(-1)[pixels].mean()
    return float((in_means - 1) / pair.map.deviation)


def _auc(pair: _Pair) -> float:
    return _area(pair.ranks, pair.map.flat.size)


def _area(ranks: tuple[Ints, Ints], n_negatives: int) -> float:
    """Probability that a positive exceeds a negative, ties one half: the area under the ROC."""
    below, not_above = ranks
    return float((below + not_above).mean() / (2 * n_negatives))


def _ranks(positives: Floats, negatives: Floats, limits: tuple[float, float]) -> tuple[Ints, Ints]:
    """For each positive, how many negatives are below it, and how many are not above it.

    Sorting all pixels of a map takes longer than everything else. Hence they are counted in buckets of equal width, and
    only those that share a bucket with a positive are sorted. The counts are exact: the buckets keep the order.

    Args:
        limits: between which all values are.
    """
    low, high = limits
    scale = _BUCKETS / (high - low) if high > low else 0.0
    if len(negatives) <= _SORTED_WHOLE or not 0.0 < scale < np.inf:
        return _positions(positives, np.sort(negatives))
    home, buckets = (_in_buckets(values, low, scale) for values in (positives, negatives))
    shared = np.zeros(_BUCKETS + 1, np.bool_)
    shared[home] = True
    counts = np.bincount(buckets, minlength=_BUCKETS + 1)
    elsewhere = np.cumsum(np.where(shared, 0, counts))[home]
    below, not_above = _positions(positives, np.sort(negatives.compress(shared.take(buckets))))
    return below + elsewhere, not_above + elsewhere


def _in_buckets(values: Floats, low: float, scale: float) -> Ints:
    distances = values - low
    distances *= scale
    return distances.astype(np.int32)


def _positions(values: Floats, ascending: Floats) -> tuple[Ints, Ints]:
    """For each value, how many of the sorted ones are below it, and how many are not above it."""
    below = np.searchsorted(ascending, values, side="left")
    return below, np.searchsorted(ascending, values, side="right")


def _auc_judd(pair: _Pair) -> float:
    values, occupied = pair.at_fixations, pair.scorer.occupied
    n_pixels = pair.map.flat.size
    n_empty = n_pixels - len(occupied)
    if not n_empty:
        raise _UndefinedError("every pixel is fixated, so there are no negatives")
    thresholds, first = np.unique(values, return_index=True)
    pixels = n_pixels - pair.ranks[0][first]
    pixels -= _count_from(np.sort(pair.map.flat[occupied]), thresholds)
    hits = _count_from(np.sort(values), thresholds)
    tp = np.r_[0.0, hits[::-1] / len(values), 1.0]
    fp = np.r_[0.0, pixels[::-1] / n_empty, 1.0]
    return float(np.sum(np.diff(fp) * (tp[1:] + tp[:-1]) / 2))


def _count_from(ascending: Floats, thresholds: Floats) -> Ints:
    """How many of the sorted values are at or above each threshold."""
    return np.asarray(len(ascending) - np.searchsorted(ascending, thresholds, side="left"))


def _shuffled_auc(pair: _Pair) -> float:
    positives, negatives = pair.at_fixations, pair.scorer.negatives
    return _area(_ranks(positives, pair.map.flat[negatives], pair.map.limits), len(negatives))


def _cc(pair: _Pair) -> float:
    image_map, density = pair.map, pair.scorer.density
    theirs = _defined(density.stretched, "the density is constant")
    if image_map.stretched is None:
        return 0.0
    covariance = _relative_covariance(image_map.stretched, theirs)
    return covariance / (image_map.deviation * density.deviation)


def _sim(pair: _Pair) -> float:
    convention = pair.scorer.sim_convention
    if convention not in ("mit", "shift"):
        raise MetricError(f"The convention of SIM must be 'mit' or 'shift', but is {convention!r}.")
    shares = []
    for name, one in (("map", pair.map), ("density", pair.scorer.density)):
        what = "constant" if convention == "mit" or one.limits[0] < 0 else "zero everywhere"
        share = one.stretched if convention == "mit" else one.share
        shares.append(_defined(share, f"the {name} is {what}"))
    return float(sum(np.minimum(*part).sum() for part in zip(*map(_bands, shares), strict=True)))


def _kl(pair: _Pair) -> float:
    density = pair.scorer.density
    cause = "is constant, with no positive value"
    if pair.map.logarithms is None:
        raise _UndefinedError(f"the map {cause}")
    log_map, log_total = pair.map.logarithms
    g = _defined(density.share, f"the density {cause}")
    # log(eps + g / (p + eps)) without the first eps: altogether that changes less than eps.
    return density.negative_entropy - _dot(g, log_map) + log_total


def _information_gain(pair: _Pair) -> float:
    pixels, expected = pair.scorer.pixels, pair.scorer.baseline_likelihoods
    likelihoods = _defined(pair.map.log_likelihoods(pixels), "the map has no positive value")
    return float((likelihoods - _defined(expected, "the baseline has no positive value")).mean())


def _bands(values: Floats) -> Iterator[Floats]:
    """A map in bands of some rows each."""
    rows = max(1, _BAND // values.shape[1])
    return (values[start : start + rows] for start in range(0, len(values), rows))


def _defined(values: Floats | None, cause: str) -> Floats:
    if values is None:
        raise _UndefinedError(cause)
    return values


def _relative_covariance(first: Floats, second: Floats) -> float:
    """Covariance of two maps with the sum 1, in units of their mean."""
    return first.size * _dot(first, second) - 1


def _dot(first: Floats, second: Floats) -> float:
    """Sum of the products, row by row: BLAS starts threads for a whole map, and they cost more than they bring."""
    return float((first[:, None, :] @ second[:, :, None]).sum())


def _as_density(density: ArrayLike, shape: tuple[int, ...]) -> SaliencyMap:
    density_map = SaliencyMap(density, "density")
    if density_map.values.shape != shape:
        raise MetricError(f"The density has the shape {density_map.values.shape}, but its map has {shape}.")
    if density_map.limits[0] < 0:
        raise MetricError(
            f"A density must not be negative, but its smallest value is {density_map.limits[0]:g}."
        )
    return density_map


_COMPUTE: dict[str, Callable[[_Pair], float]] = {
    "nss": _nss,
    "auc": _auc,
    "auc_judd": _auc_judd,
    "sauc": _shuffled_auc,
    "cc": _cc,
    "sim": _sim,
    "kl": _kl,
    "ig": _information_gain,
}


def chosen_metrics(metrics: Sequence[str] | None) -> list[str]:
    """The selected metrics in the order of `METRICS`.

    Args:
        metrics: names of metrics; None for all.

    Raises:
        MetricError: an unknown name.

    Examples:
        >>> from hf_clipdyn.metrics.saliency_map_scores import chosen_metrics
        >>> chosen_metrics(["auc", "nss"])
        ['nss', 'auc']
    """
    if metrics is None:
        return list(METRICS)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or isinstance(metrics, str):
        given = metrics if isinstance(metrics, str) else unknown[0]
        raise MetricError(f"metrics must be a list of {', '.join(METRICS)}, but {given!r} was given.")
    return [name for name in METRICS if name in metrics]
