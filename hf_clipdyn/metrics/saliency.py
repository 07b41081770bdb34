"""How well maps predict where human observers look: seven scores, with the conventions of the MIT/Tuebingen benchmark.

`Target` scores maps of one image; `saliency` gives the means over images. Of the AUCs of the literature,
``auc`` takes all pixels as negatives, and ``sauc`` the fixations on other images; ties count one half in both.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints
from hf_clipdyn.metrics.fixation_maps import as_fixations, fixation_density, fixation_pixels
from hf_clipdyn.metrics.scores import Scale, Scores, mean

METRICS = ("nss", "auc", "sauc", "cc", "sim", "kl", "ig")
POINT_METRICS, DENSITY_METRICS = ("nss", "auc", "sauc", "ig"), ("cc", "sim", "kl")
SCALES: dict[str, Scale] = {"auc": "share", "sauc": "share", "sim": "share"}
"""The scales of means over images; those of all others are linear."""
_EPS = 2.2204e-16  # in KL, as in the MIT benchmark
_UNIFORM_SHARE = 0.01  # of a uniform density in the likelihoods of IG
_BUCKETS = 2**14


def saliency(
    predictions: Annotated[Iterable[ArrayLike], [["float64"]]],
    fixations: Annotated[Iterable[ArrayLike], [["float64"]]],
    *,
    metrics: Sequence[str] = METRICS,
    sigma: float | None = None,
    densities: Iterable[ArrayLike] | None = None,
    other_fixations: Iterable[ArrayLike] | None = None,
    baseline: ArrayLike | Iterable[ArrayLike] | None = None,
) -> Scores:
    """Compare saliency maps with fixations: the mean of each score over images (Bylinskii et al. 2019).

    All inputs per image may be iterators; only one map at a time is in memory.

    Args:
        predictions: a map of each image, shape (H, W); sizes may differ.
        fixations: of each image, x, y in its map's pixels, shape (n_i, 2).
        metrics: some of nss, auc, sauc, cc, sim, kl, ig. One without its input is NaN.
        sigma: pixels; fixations blurred with it are the density of cc, sim and kl.
        densities: maps given by the data set instead of that.
        other_fixations: for sauc; of each image the other images' fixations, rescaled to it
            (`fixation_maps.fixations_of_others`).
        baseline: for ig; one map for all images, or one for each.

    Returns:
        nss in standard deviations, auc, sauc and sim in [0, 1], cc in [-1, 1], kl in nats (smaller is better), ig in
        bits per fixation; each image contributes to their influences. ``n`` images, ``n_fixations``. An image on which
        a score is undefined is left out of its mean.

    Raises:
        MetricError: different numbers of images, no image, both sigma and densities; see also `Target`.

    Examples:
        >>> from hf_clipdyn.metrics.saliency import saliency
        >>> result = saliency([[[0, 1], [0, 0]]], [[[1, 0]]], metrics=["nss", "auc"])
        >>> round(result["nss"].value, 4), result["auc"].value, result.facts["n_fixations"]
        (1.7321, 0.875, 1)

    References:
        bylinskii2019what
    """
    if sigma is not None and densities is not None:
        raise MetricError(
            "Both sigma and densities are given: give only one of them, since either defines the density."
        )
    if isinstance(metrics, str) or not set(metrics) <= set(METRICS):
        raise MetricError(f"metrics must be a list of {', '.join(METRICS)}, but {metrics!r} was given.")
    shared: dict[str, Any] = {}
    if isinstance(baseline, Sequence | np.ndarray) and len(baseline) and np.ndim(baseline[0]) == 1:
        baseline, shared = None, {"baseline": baseline}
    per_image = {"density": densities, "other_fixations": other_fixations, "baseline": baseline}
    given: dict[str, Any] = {name: column for name, column in per_image.items() if column is not None}
    rows: list[dict[str, float]] = []
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    n_fixations = 0
    for saliency_map, points, *inputs in _together(predictions, fixations, *given.values()):
        image, at = _as_map("A map", saliency_map), as_fixations(points)
        about = shared | dict(zip(given, inputs, strict=True))
        if sigma is not None and len(at):
            about["density"] = fixation_density(at, (image.shape[0], image.shape[1]), sigma)
        target = Target(image.shape, at, **about)
        rows.append(target.scores(image))
        n_fixations += len(at)
        for name in METRICS:
            if np.isnan(rows[-1].get(name, np.nan)):
                causes[name][target.cause(name)] += 1
    if not rows:
        raise MetricError("predictions contain no map: give at least one image.")
    found = {}
    for name in (name for name in METRICS if name in metrics):
        cause, n_undefined = causes[name].most_common(1)[0][0] if causes[name] else "", causes[name].total()
        if 0 < n_undefined < len(rows):
            cause = (
                f"undefined for {n_undefined} of {len(rows)} images, which are left out of the mean: {cause}"
            )
        score = mean([row.get(name, np.nan) for row in rows], SCALES.get(name, "linear"))
        found[name] = replace(score, cause=cause)
    return Scores(found, n=len(rows), n_fixations=n_fixations)


def _together(*columns: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    try:
        yield from zip(*columns, strict=True)
    except (TypeError, ValueError) as error:
        raise MetricError(f"All inputs must have an entry for each image ({error}).") from None


def _as_map(what: str, values: ArrayLike) -> Floats:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise MetricError(f"{what} must be numbers in rows of equal length.") from None
    if array.ndim != 2 or not array.size or not np.isfinite([array.min(), array.max()]).all():
        raise MetricError(f"{what} must be finite numbers, shape (H, W).")
    return array


@dataclass(frozen=True)
class Target:
    """What the maps of one image are scored against; it is prepared once for several maps.

    Attributes:
        shape: (H, W) of the maps.
        fixations: x, y in pixels, shape (n, 2); repeats count. Empty where only a density is known.
        density: of the fixations, (H, W), not negative, for cc, sim and kl; see `fixation_maps.fixation_density`.
        other_fixations: fixations on other images, rescaled to this one, (m, 2): the negatives of sauc.
        baseline: density of the centre bias, (H, W), for ig; best from the fixations on the other images.

    Raises:
        MetricError: on scoring, a fixation outside the map, a map of another shape or with a pixel that is not finite,
            a negative density.

    Examples:
        >>> from hf_clipdyn.metrics.saliency import Target
        >>> target = Target((2, 2), [[1, 1]], density=[[0.0, 0.1], [0.2, 0.7]])
        >>> {name: round(value, 4) for name, value in target.scores([[0, 1], [2, 3]]).items()}
        {'nss': 1.3416, 'auc': 0.875, 'cc': 0.9135, 'kl': 0.0823, 'sim': 0.8}
    """

    shape: tuple[int, ...]
    fixations: ArrayLike = ()
    density: ArrayLike | None = None
    other_fixations: ArrayLike | None = None
    baseline: ArrayLike | None = None

    def scores(self, saliency_map: ArrayLike) -> dict[str, float]:
        """The scores that the inputs allow; NaN where one is not defined on this map.

        A constant map has the nss and the cc 0 and the AUCs 0.5. cc is Pearson's correlation with the density; sim sums
        the smaller of both after each was stretched to [0, 1] and scaled to the sum 1; kl is
        sum g log(g / (p + 2.2204e-16)) of the density g and the map p, with negative maps lifted to 0; ig is the
        log-likelihood of the fixations under the map over that under the baseline, both clipped at 0 and mixed with 1 %
        of the uniform density.
        """
        values, at = self._flat("The map", saliency_map), self._at
        low, high, middle = float(values.min()), float(values.max()), float(values.mean())
        centred, found = values - middle, {}
        length = float(np.sqrt(centred @ centred)) if high > low else np.inf
        if len(at):
            found["nss"] = float(centred[at].mean() / length * np.sqrt(values.size))
            found["auc"] = _area(values[at], values)
            if len(self._others):
                found["sauc"] = _area(values[at], values[self._others])
            if self.baseline is not None:
                found["ig"] = float((_log_likelihoods(values, at) - self._under_baseline).mean())
        if self.density is None or self._of_density is None:
            return found
        theirs = self._of_density
        found["cc"] = float(centred @ theirs.centred / length)
        found |= {"kl": np.nan, "sim": np.nan}
        lifted = values - low if low < 0 else values
        if lifted.any():
            total = float(lifted.sum())
            found["kl"] = float(
                theirs.negative_entropy - theirs.share @ np.log(lifted + _EPS * total) + np.log(total)
            )
        if high > low:
            stretched = (values - low) * (1 / (values.size * (middle - low)))
            found["sim"] = float(np.minimum(stretched, theirs.stretched).sum())
        return found

    def cause(self, name: str) -> str:
        """Why a score is undefined on a map on which it is NaN, or which has none."""
        if name in DENSITY_METRICS:
            if self.density is None:
                return "there is no density to compare with: give sigma or densities"
            return "the map is constant" if self._of_density is not None else "the density is constant"
        if not len(self._at):
            return "there is no fixation point"
        if name == "sauc":
            return "there are no fixations on other images"
        if self.baseline is None:
            return "the baseline, a density of the centre bias, is not given"
        return f"the {'baseline' if np.isnan(self._under_baseline).any() else 'map'} has no positive value"

    def _flat(self, what: str, values: ArrayLike) -> Floats:
        array = _as_map(what, values)
        if array.shape != self.shape:
            raise MetricError(f"{what} has the shape {array.shape}, but its image has {self.shape}.")
        return array.ravel()

    @cached_property
    def _at(self) -> Ints:
        return fixation_pixels(self.fixations, self.shape)

    @cached_property
    def _others(self) -> Ints:
        return fixation_pixels(() if self.other_fixations is None else self.other_fixations, self.shape)

    @cached_property
    def _under_baseline(self) -> Floats:
        assert self.baseline is not None
        return _log_likelihoods(self._flat("The baseline", self.baseline), self._at)

    @cached_property
    def _of_density(self) -> "_Density | None":
        """What the density scores are made from; None for a constant density."""
        assert self.density is not None
        values = self._flat("The density", self.density)
        low, share, centred = float(values.min()), values / (values.sum() or 1.0), values - values.mean()
        if low < 0:
            raise MetricError(f"A density must not be negative, but its smallest value is {low:g}.")
        if low == values.max():
            return None
        stretched = (values - low) / (values - low).sum()
        return _Density(centred / np.linalg.norm(centred), share, stretched, float(xlogy(share, share).sum()))


@dataclass(frozen=True)
class _Density:
    """A density as each score needs it: centred and of length 1, with the sum 1, and stretched to a minimum of 0."""

    centred: Floats
    share: Floats
    stretched: Floats
    negative_entropy: float


def _area(positives: Floats, negatives: Floats) -> float:
    """Probability that a positive exceeds a negative, ties one half: the area under the ROC.

    Sorting all pixels of a map takes longer than everything else. Hence negatives are counted in buckets of equal
    width, and only those that share a bucket with a positive are sorted. The counts are exact: buckets keep the order.
    """
    low = float(min(positives.min(), negatives.min()))
    width = float(max(positives.max(), negatives.max())) - low
    scale = _BUCKETS / width if width > 1e-300 else 0.0
    home, bucket = (((values - low) * scale).astype(np.int32) for values in (positives, negatives))
    shared = np.zeros(_BUCKETS + 1, np.bool_)
    shared[home] = True
    elsewhere = np.cumsum(np.where(shared, 0, np.bincount(bucket, minlength=len(shared))))[home]
    near = np.sort(negatives.compress(shared.take(bucket)))
    below, not_above = (elsewhere + np.searchsorted(near, positives, side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(negatives)))


def _log_likelihoods(values: Floats, pixels: Ints) -> Floats:
    """In bits, of each pixel under the map as a density; NaN if the map has no positive value."""
    positive = np.maximum(values, 0.0)
    total = positive.sum()
    if total == 0:
        return np.full(len(pixels), np.nan)
    uniform = _UNIFORM_SHARE / positive.size
    return np.asarray(np.log2((1 - _UNIFORM_SHARE) * positive[pixels] / total + uniform))
