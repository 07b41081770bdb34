"""How well maps predict where people look: the means over images of eight metrics.

The metrics of one map are plain functions, defined in `saliency_map_scores` and offered here too:
``nss(saliency_map, fixations)``, ``auc``, ``auc_judd``, ``shuffled_auc``, ``cc``, ``sim``,
``kl_divergence``, ``information_gain``, and all of them with one sort: ``image_scores``.
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
    SimConvention,
    auc,
    auc_judd,
    cc,
    chosen_metrics,
    image_scores,
    information_gain,
    kl_divergence,
    nss,
    shuffled_auc,
    sim,
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
        array, found = as_map("predictions", image_map), as_fixations(points)
        if sigma is not None and len(found):
            density = fixation_density(found, (array.shape[0], array.shape[1]), sigma)
        scores = image_scores(
            array,
            found,
            metrics=wanted,
            density=density,
            other_fixations=others,
            baseline=centre,
            sim_convention=sim_convention,
        )
        rows.append([scores[name] for name in wanted])
        n_fixations += len(found)
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
        name: found[0]
        if len(found) == n_images
        else f"undefined for {len(found)} of {n_images} images, which are left out of the mean: {found[0]}"
        for name, found in causes.items()
        if found
    }
