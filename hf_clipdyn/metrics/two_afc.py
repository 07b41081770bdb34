"""Two-alternative forced choice: does a distance pick the image that people find more similar?"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import (
    Floats,
    as_code_table,
    as_codes,
    as_numbers,
    as_shares,
    check_lengths,
)
from hf_clipdyn.metrics.bootstrap import Resampling, Scale, mean_intervals
from hf_clipdyn.metrics.shared_images import shared_mean_intervals

__all__ = ["TWO_AFC_VALUES", "two_afc", "two_afc_rows"]

TWO_AFC_VALUES = ("two_afc", "human", "ceiling")


def two_afc(
    distances_0: ArrayLike,
    distances_1: ArrayLike,
    judgements: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    images: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean share of people who choose as the distance does (Zhang et al. 2018, arXiv 1801.03924).

    A row scores 1 - p if candidate 0 is nearer, p if candidate 1 is, and one half for a tie.

    Args:
        distances_0, distances_1: of the reference to candidate 0 and 1, shape (n,).
        judgements: p, the fraction of people who prefer candidate 1, shape (n,), in [0, 1].
        groups: what rows have in common (the reference image), shape (n,), to be resampled
            together. None: rows are independent and resampled.
        images: in place of groups, the images that each row shows (reference and candidates), shape (n, 3),
            strings or numbers, one name for one image. Rows with any common image depend on each other, even if it
            is the reference of one and a candidate of the other: the interval uses all pairs of such rows (see
            `shared_images`). If rows that share images form clusters, these are resampled.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        ``two_afc`` in [0, 1], 0.5 for guessing; ``human``, the score of one person against the
        others, p² + (1 - p)²; ``ceiling``, the best possible, max(p, 1 - p); ``n`` rows, ``n_ties``;
        ``two_afc_ci``, ``human_ci``, ``ceiling_ci`` [low, high].

    Raises:
        MetricError: different lengths, no rows, NaN, a judgement outside [0, 1], both groups and images.

    Examples:
        >>> from hf_clipdyn.metrics.two_afc import two_afc
        >>> result = two_afc([0.1, 0.5, 0.3], [0.2, 0.4, 0.3], [0.0, 1.0, 0.5], n_resamples=0)
        >>> round(result["two_afc"], 4), round(result["ceiling"], 4), result["n_ties"]
        (0.8333, 0.8333, 1)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    d0, d1 = as_numbers("distances_0", distances_0), as_numbers("distances_1", distances_1)
    p = as_shares("judgements", judgements)
    check_lengths({"distances_0": d0, "distances_1": d1, "judgements": p})
    if groups is not None and images is not None:
        raise MetricError(
            "Both groups and images are given, and both say which rows depend on each "
            "other: give only one of them."
        )
    clusters = None if groups is None else as_codes("groups", groups, len(p))[0]
    shown = None if images is None else as_code_table("images", images, len(p), 3)
    values = two_afc_rows(d0, d1, p)
    result: dict[str, Any] = dict(zip(TWO_AFC_VALUES, values.mean(axis=0).tolist(), strict=True))
    result |= {"n": len(p), "n_ties": int((d0 == d1).sum())}
    if resampling:
        scales: list[Scale] = ["share"] * len(TWO_AFC_VALUES)
        intervals = (
            mean_intervals(values, clusters, scales, resampling)
            if shown is None
            else shared_mean_intervals(values, shown, scales, resampling)
        )
        pairs = zip(TWO_AFC_VALUES, intervals.tolist(), strict=True)
        result |= {f"{name}_ci": interval for name, interval in pairs}
    return result


def two_afc_rows(distances_0: Floats, distances_1: Floats, judgements: Floats) -> Floats:
    """The scores of each row, whose means are the values of `two_afc`.

    Args:
        distances_0, distances_1: of the reference to candidate 0 and 1, shape (n,).
        judgements: the fraction of people who prefer candidate 1, shape (n,), in [0, 1].

    Returns:
        Shape (n, 3), in [0, 1]; the columns are `TWO_AFC_VALUES`.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.two_afc import TWO_AFC_VALUES, two_afc_rows
        >>> rows = two_afc_rows(np.array([0.1, 0.5]), np.array([0.2, 0.4]), np.array([0.0, 0.8]))
        >>> dict(zip(TWO_AFC_VALUES, rows.round(2).T.tolist(), strict=True))
        {'two_afc': [1.0, 0.8], 'human': [1.0, 0.68], 'ceiling': [1.0, 0.8]}
    """
    p = judgements
    nearer = np.where(distances_0 < distances_1, 1 - p, p)
    score = np.where(distances_0 == distances_1, 0.5, nearer)
    return np.stack([score, p**2 + (1 - p) ** 2, np.maximum(p, 1 - p)], axis=1)
