"""Two-alternative forced choice: does a distance pick the image that human observers find more similar?"""

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.metrics.checks import columns, within
from hf_clipdyn.metrics.scores import Scores, mean


def two_afc(
    distances_0: Annotated[ArrayLike, "float64"],
    distances_1: Annotated[ArrayLike, "float64"],
    judgements: Annotated[ArrayLike, "float64"],
) -> Scores:
    """Mean share of observers who choose as the distance does (Zhang et al. 2018, arXiv 1801.03924).

    A row scores 1 - p if candidate 0 is nearer, p if candidate 1 is, and one half for a tie.

    Args:
        distances_0: of the reference to candidate 0, shape (n,).
        distances_1: of the reference to candidate 1, shape (n,).
        judgements: p, the fraction of observers who prefer candidate 1, shape (n,), in [0, 1].

    Returns:
        ``two_afc`` in [0, 1], 0.5 for guessing; ``human``, the score of one observer against the others,
        p² + (1 - p)²; ``ceiling``, the best possible, max(p, 1 - p); ``n`` rows, ``n_ties``.

    Raises:
        MetricError: different lengths, no rows, NaN, a judgement outside [0, 1].

    Examples:
        >>> from hf_clipdyn.metrics.two_afc import two_afc
        >>> result = two_afc([0.1, 0.5, 0.3], [0.2, 0.4, 0.3], [0.0, 1.0, 0.5]).report()
        >>> round(result["two_afc"], 4), round(result["ceiling"], 4), result["n_ties"]
        (0.8333, 0.8333, 1)

    References:
        zhang2018unreasonable
    """
    d0, d1, p = columns(distances_0=distances_0, distances_1=distances_1, judgements=judgements)
    within(0, 1, judgements=p)
    rows = {
        "two_afc": np.where(d0 < d1, 1 - p, np.where(d1 < d0, p, 0.5)),
        "human": p**2 + (1 - p) ** 2,
        "ceiling": np.maximum(p, 1 - p),
    }
    scores = {name: mean(values, "share") for name, values in rows.items()}
    return Scores(scores, n=len(p), n_ties=int((d0 == d1).sum()))
