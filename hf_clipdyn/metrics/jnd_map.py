"""Just-noticeable differences: does a distance rank the pairs that people cannot tell apart first?"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.metrics._validation import Floats, Ints, as_codes, as_numbers, as_shares, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling, resampled_intervals
from hf_clipdyn.metrics.influence import without_each

__all__ = ["jnd_influence", "jnd_map"]

_CHUNK = 16  # resamples at a time, so that the arrays of 3,000 rows stay in the cache


def jnd_map(
    distances: ArrayLike,
    same: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Average precision of small distances for pairs seen as the same (Zhang et al. 2018, sec. 2).

    Pairs are sorted by ascending distance. With soft labels, TP = cumsum(same), FP = cumsum(1 -
    same); the result is the area under precision over recall, with the precision envelope of the
    PASCAL VOC devkit (at each recall the best precision at that recall or a higher one). Pairs of
    equal distance are added together, so the order of the rows changes nothing; the reference
    implementation uses the order of the rows.

    Args:
        distances: of the two images of each pair, shape (n,).
        same: fraction of people who saw no difference, shape (n,), in [0, 1].
        groups: what pairs have in common (an image), shape (n,), to be resampled together. None: pairs are
            independent and resampled.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        ``jnd_map`` in [0, 1]; the mean of ``same`` is what a constant distance scores. ``n`` pairs;
        ``jnd_map_ci`` [low, high]; ``causes``. NaN where everyone saw every difference.

    Raises:
        MetricError: different lengths, no rows, NaN, a fraction outside [0, 1].

    Examples:
        >>> from hf_clipdyn.metrics.jnd_map import jnd_map
        >>> jnd_map([0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 1.0, 0.0], n_resamples=0)
        {'jnd_map': 0.8333333333333333, 'n': 4, 'causes': {}}
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    d, p = as_numbers("distances", distances), as_shares("same", same)
    check_lengths({"distances": d, "same": p})
    clusters, n_groups = as_codes("groups", groups, len(d))
    precision = _AveragePrecision(d, p, clusters)
    ones = np.ones(n_groups, dtype=np.int64)
    value = float(precision(ones[None].astype(np.float64))[0, 0])
    result: dict[str, Any] = {"jnd_map": value, "n": len(d), "causes": {}}
    if np.isnan(value):
        result["causes"] = {"jnd_map": "nobody judged any pair to be the same"}
    if resampling:
        result["jnd_map_ci"] = resampled_intervals(precision, ones, ["share"], resampling)[0].tolist()
    return result


def jnd_influence(distances: ArrayLike, same: ArrayLike, groups: ArrayLike) -> Floats:
    """What each group of pairs contributes to `jnd_map`, by leaving it out.

    Args:
        distances, same: as for `jnd_map`, shape (n,).
        groups: what pairs have in common, shape (n,).

    Returns:
        Shape (G,), in the order of the sorted groups; NaN where leaving out a group leaves the value undefined.

    Raises:
        MetricError: as for `jnd_map`.

    Examples:
        >>> from hf_clipdyn.metrics.jnd_map import jnd_influence
        >>> jnd_influence([0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 1.0, 0.0], [0, 1, 2, 2]).round(3).tolist()
        [0.222, -0.111, -0.111]
    """
    d, p = as_numbers("distances", distances), as_shares("same", same)
    check_lengths({"distances": d, "same": p})
    clusters, n_groups = as_codes("groups", groups, len(d))
    return without_each(_AveragePrecision(d, p, clusters), n_groups)[:, 0]


class _AveragePrecision:
    """Weights of the clusters (B, G) -> average precision (B, 1), after one sort of the distances."""

    def __init__(self, distances: Floats, same: Floats, clusters: Ints) -> None:
        order = np.argsort(distances, kind="stable")
        ordered = distances[order]
        self._clusters = clusters[order]
        self._last_of_tie = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
        self._has_ties = len(self._last_of_tie) < len(distances)
        self._same = same[order]

    def __call__(self, weights: Floats) -> Floats:
        chunks = [self._chunk(weights[i : i + _CHUNK]) for i in range(0, len(weights), _CHUNK)]
        return np.concatenate(chunks)[:, None]

    def _chunk(self, weights: Floats) -> Floats:
        w = np.take(weights, self._clusters, axis=1)
        retrieved = np.cumsum(w, axis=1)
        w *= self._same
        true = np.cumsum(w, axis=1)
        if self._has_ties:
            retrieved, true = retrieved[:, self._last_of_tie], true[:, self._last_of_tie]
            w = np.diff(true, axis=1, prepend=0)
        n_true = true[:, -1].copy()
        np.maximum(retrieved, 1, out=retrieved)  # where nothing is retrieved yet, the precision counts as 0
        precision = np.divide(true, retrieved, out=true)[:, ::-1]
        envelope = np.maximum.accumulate(precision, axis=1, out=precision)[:, ::-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.einsum("bn,bn->b", w, envelope) / n_true)
