"""How well maps predict where people look: the means over images of eight metrics.

The metrics of one map are plain functions: ``nss(saliency_map, fixations)``, ``auc``, ``auc_judd``, ``shuffled_auc``,
``cc``, ``sim``, ``kl_divergence``, ``information_gain``, and all of them with one sort: ``image_scores``. See
`saliency_map_scores` for the conventions.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats
from hf_clipdyn.metrics.bootstrap import Resampling, Scale, mean_intervals
from hf_clipdyn.metrics.fixation_maps import as_fixations, as_map, fixation_density
from hf_clipdyn.metrics.saliency_map_scores import (
    METRICS,
    ImageScorer,
    SaliencyMap,
    SimConvention,
    chosen_metrics,
)

__all__ = [
    "METRICS",
    "auc",
    "auc_judd",
    "cc",
    "image_scores",
    "information_gain",
    "kl_divergence",
    "nss",
    "saliency",
    "shuffled_auc",
    "sim",
]

_SCALES: dict[str, Scale] = {"auc": "share", "auc_judd": "share", "sauc": "share", "sim": "share"}


def saliency(
    predictions: Iterable[ArrayLike],
    fixations: Iterable[ArrayLike],
    *,
    metrics: Sequence[str] | None = None,
    sigma: float | None = None,
    densities: Iterable[ArrayLike] | None = None,
    other_fixations: Iterable[ArrayLike] | None = None,
    baseline: ArrayLike | Iterable[ArrayLike] | None = None,
    sim_convention: SimConvention = "mit",
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare saliency maps with fixations: the mean of each metric over images (Bylinskii et al. 2019).

    All inputs per image may be iterators; only one map at a time is in memory.

    Args:
        predictions: a map of each image, shape (H, W); sizes may differ.
        fixations: of each image, x, y in its map's pixels, shape (n_i, 2).
        metrics: some of nss, auc, auc_judd, sauc, cc, sim, kl, ig; None for all. A metric without
            its input is NaN.
        sigma: pixels; fixations blurred with it are the density of cc, sim and kl.
        densities: maps given by the data set instead of that.
        other_fixations: for sauc; of each image the other images' fixations, rescaled to it.
        baseline: for ig; one map for all images, or one for each.
        sim_convention: "mit" (default) or "shift", see `sim`.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. Images are resampled (Student's t below 50);
            the observers are not, so the interval is for these observers on other images.

    Returns:
        Each metric (nss in standard deviations; the AUCs and sim in [0, 1]; cc in [-1, 1]; kl in
        nats, smaller is better; ig in bits per fixation), ``n`` images, ``n_fixations``, and
        ``<key>_ci`` [low, high]; ``causes``. An image on which a metric is undefined is left out of its mean.

    Raises:
        MetricError: different numbers of images, no image, both sigma and densities; see also the
            single metrics.

    Examples:
        >>> from hf_clipdyn.metrics.saliency import saliency
        >>> result = saliency([[[0, 1], [0, 0]]], [[[1, 0]]], metrics=["nss", "auc"], n_resamples=0)
        >>> round(result["nss"], 4), result["auc"], result["n_fixations"]
        (1.7321, 0.875, 1)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    wanted = chosen_metrics(metrics)
    if sigma is not None and densities is not None:
        raise MetricError(
            "Both sigma and densities are given: give only one of them, since either defines the density."
        )
    rows: list[list[float]] = []
    causes: dict[str, list[str]] = {name: [] for name in wanted}
    n_fixations = 0
    rows_in = _aligned(predictions, fixations, densities, other_fixations, _for_each_image(baseline))
    for image_map, points, density, others, centre in rows_in:
        array, at_fixations = as_map("predictions", image_map), as_fixations(points)
        if sigma is not None and len(at_fixations):
            density = fixation_density(at_fixations, (array.shape[0], array.shape[1]), sigma)
        scores = image_scores(
            array,
            at_fixations,
            metrics=wanted,
            density=density,
            other_fixations=others,
            baseline=centre,
            sim_convention=sim_convention,
        )
        rows.append([scores[name] for name in wanted])
        n_fixations += len(at_fixations)
        for name, cause in scores["causes"].items():
            causes[name].append(cause)
    if not rows:
        raise MetricError("predictions contain no map: give at least one image.")
    values = np.array(rows)
    result: dict[str, Any] = dict(zip(wanted, _means(values), strict=True))
    result |= {"n": len(rows), "n_fixations": n_fixations, "causes": _causes(causes, len(rows))}
    if resampling:
        scales = [_SCALES.get(name, "linear") for name in wanted]
        intervals = mean_intervals(values, np.arange(len(values)), scales, resampling).tolist()
        result |= {f"{name}_ci": interval for name, interval in zip(wanted, intervals, strict=True)}
    return result


def nss(saliency_map: ArrayLike, fixations: ArrayLike) -> float:
    """Normalised scanpath saliency: mean of the standardised map at the fixations (Peters et al. 2005).

    Args:
        saliency_map: shape (H, W), any unit.
        fixations: the points themselves, shape (n, 2). On a blurred fixation map NSS is a different,
            smaller number (1.69 instead of 1.93 in one case).

    Returns:
        In standard deviations (population), unbounded; 0 for chance and for a constant map. NaN
        without fixations.

    Examples:
        >>> from hf_clipdyn.metrics.saliency import nss
        >>> saliency_map = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
        >>> round(nss(saliency_map, [[1, 1]]), 4), round(nss(saliency_map, [[0, 0]]), 4)
        (2.8284, -0.3536)
    """
    return _single("nss", saliency_map, fixations)


def auc(saliency_map: ArrayLike, fixations: ArrayLike) -> float:
    """Area under the ROC of fixations against all pixels (uniform negatives); ties count one half.

    Args:
        saliency_map: shape (H, W), any unit; only its order matters.
        fixations: shape (n, 2); repeats count.

    Returns:
        In [0, 1]; exactly 0.5 for a constant map. NaN without fixations.

    Examples:
        >>> from hf_clipdyn.metrics.saliency import auc
        >>> round(auc([[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 1]]), 4)
        0.9444
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

    Examples:
        >>> from hf_clipdyn.metrics.saliency import auc_judd
        >>> auc_judd([[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 1]])
        1.0
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

    Examples:
        >>> from hf_clipdyn.metrics.saliency import shuffled_auc
        >>> centred = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
        >>> shuffled_auc(centred, [[1, 1]], [[0, 0]]), shuffled_auc(centred, [[1, 1]], [[1, 1]])
        (1.0, 0.5)
    """
    return _single("sauc", saliency_map, fixations, other_fixations=other_fixations)


def cc(saliency_map: ArrayLike, density: ArrayLike) -> float:
    """Pearson's correlation of the map with the fixation density.

    Args:
        saliency_map, density: shape (H, W).

    Returns:
        In [-1, 1]; 0 for a constant map. NaN for a constant density.

    Examples:
        >>> from hf_clipdyn.metrics.saliency import cc
        >>> round(cc([[0, 1], [2, 3]], [[0.0, 0.1], [0.2, 0.7]]), 4)
        0.9135
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

    Examples:
        >>> from hf_clipdyn.metrics.saliency import sim
        >>> round(sim([[0, 1], [2, 3]], [[0.0, 0.1], [0.2, 0.7]]), 4)
        0.8
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

    Examples:
        >>> from hf_clipdyn.metrics.saliency import kl_divergence
        >>> round(kl_divergence([[1, 1], [1, 1]], [[0.1, 0.1], [0.1, 0.7]]), 4)
        0.4458
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

    Examples:
        >>> from hf_clipdyn.metrics.saliency import information_gain
        >>> uniform = [[1, 1], [1, 1]]
        >>> round(information_gain([[0, 0], [0, 1]], [[1, 1]], uniform), 4)
        1.9891
        >>> round(information_gain(uniform, [[1, 1]], uniform), 4)
        0.0
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
    """The metrics of one map. `ImageScorer` is faster for several maps of one image.

    Args:
        saliency_map: shape (H, W).
        fixations: shape (n, 2); empty where a data set has densities only.
        metrics: some of `METRICS`, None for all. A metric without its input is NaN.
        density: for cc, sim and kl; shape (H, W), see `fixation_maps.fixation_density`.
        other_fixations: for sauc, see `shuffled_auc`.
        baseline: for ig, see `information_gain`.
        sim_convention: see `sim`.

    Returns:
        A value for each metric, in the order of `METRICS`; ``causes``, for each NaN its reason, by metric.

    Raises:
        MetricError: see above; also an unknown metric.

    Examples:
        >>> from hf_clipdyn.metrics.saliency import image_scores
        >>> scores = image_scores([[0, 1], [2, 3]], [[1, 1]], metrics=["nss", "auc", "cc"])
        >>> round(scores["nss"], 4), scores["auc"], scores["cc"]
        (1.3416, 0.875, nan)
        >>> scores["causes"]
        {'cc': 'there is no density to compare with: give sigma or densities'}
    """
    image_map = SaliencyMap(saliency_map)
    scorer = ImageScorer(
        image_map.values.shape,
        fixations,
        density=density,
        other_fixations=other_fixations,
        baseline=baseline,
        sim_convention=sim_convention,
    )
    return scorer.scores(image_map, metrics)


def _single(name: str, saliency_map: ArrayLike, fixations: ArrayLike = (), **inputs: Any) -> float:
    return float(image_scores(saliency_map, fixations, metrics=[name], **inputs)[name])


def _for_each_image(baseline: ArrayLike | Iterable[ArrayLike] | None) -> Any:
    """A baseline as one map for each image; a single map is repeated."""
    if isinstance(baseline, Sequence | np.ndarray) and len(baseline) and np.ndim(baseline[0]) == 1:
        return repeat(as_map("baseline", baseline))
    return baseline


def _aligned(*columns: Iterable[Any] | None) -> Iterator[tuple[Any, ...]]:
    """Iterate over the columns together; a column that is None gives None for each image.

    Raises:
        MetricError: a column ends before another, or is not a sequence.
    """
    for column in columns:
        if column is not None and not isinstance(column, Iterable):
            raise MetricError(f"All inputs must have an entry for each image, but one input is {column!r}.")
    endless = [repeat(None) if column is None else column for column in columns]
    n_finite = sum(not isinstance(column, repeat) for column in endless)
    iterators = [iter(column) for column in endless]
    end = object()
    for n in count():
        row = tuple(next(iterator, end) for iterator in iterators)
        n_ended = sum(value is end for value in row)
        if n_ended == n_finite:
            return
        if n_ended:
            raise MetricError(
                f"All inputs must have the same number of images, but some have {n} and others have more."
            )
        yield row


def _means(values: Floats) -> list[float]:
    """Mean of each column over its defined entries; NaN where there are none."""
    defined = ~np.isnan(values)
    sums = np.where(defined, values, 0.0).sum(axis=0)
    counts = defined.sum(axis=0)
    return [float(s / c) if c else float("nan") for s, c in zip(sums, counts, strict=True)]


def _causes(causes: dict[str, list[str]], n_images: int) -> dict[str, str]:
    """The first cause of each metric, with the number of images if it is not all of them."""
    return {
        name: of_images[0]
        if len(of_images) == n_images
        else f"undefined for {len(of_images)} of {n_images} images, which are left out of the mean: {of_images[0]}"
        for name, of_images in causes.items()
        if of_images
    }
