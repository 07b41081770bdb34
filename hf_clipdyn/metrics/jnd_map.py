"""Just-noticeable differences: does a distance rank the pairs that human observers cannot tell apart first?"""

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.metrics.checks import Floats, columns, names, of_one_length, within
from hf_clipdyn.metrics.scores import Score, Scores, groups_of_rows, left_out


def jnd_map(
    distances: Annotated[ArrayLike, "float64"],
    same: Annotated[ArrayLike, "float64"],
    *,
    groups: ArrayLike | None = None,
) -> Scores:
    """Average precision of small distances for pairs that human observers saw as the same (Zhang et al. 2018, sec. 2).

    Pairs are sorted by ascending distance. With soft labels, TP = cumsum(same), FP = cumsum(1 - same); the result is
    the area under precision over recall, with the precision envelope of the PASCAL VOC devkit (at each recall the best
    precision at that recall or a higher one). Pairs of equal distance are added together, so the order of the rows
    changes nothing; the reference implementation uses the order of the rows.

    Args:
        distances: of the two images of each pair, shape (n,).
        same: fraction of observers who saw no difference, shape (n,), in [0, 1].
        groups: what pairs have in common (an image), shape (n,). The influence has an entry for each sorted group,
            made by leaving it out; without groups each pair is one.

    Returns:
        ``jnd_map`` in [0, 1], larger is closer to observers; the mean of ``same`` is what a constant distance scores.
        Undefined where everyone saw every difference. ``n`` pairs.

    Raises:
        MetricError: different lengths, no rows, NaN, a fraction outside [0, 1].

    Examples:
        >>> from hf_clipdyn.metrics.jnd_map import jnd_map
        >>> round(jnd_map([0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 1.0, 0.0])["jnd_map"].value, 4)
        0.8333

    References:
        zhang2018unreasonable
    """
    d, p = columns(distances=distances, same=same)
    within(0, 1, same=p)
    (clusters,) = names(groups=groups_of_rows(len(d)) if groups is None else groups)
    of_one_length(distances=d, groups=clusters)
    order = np.argsort(d, kind="stable")
    ordered = (d[order], p[order])
    value = _average_precision(*ordered)
    influence = left_out(_average_precision, ordered, clusters[order])
    cause = "nobody judged any pair to be the same" if np.isnan(value) else ""
    return Scores({"jnd_map": Score(value, influence, "share", len(d), cause)}, n=len(d))


def _average_precision(distances: Floats, same: Floats) -> float:
    """Of ascending distances."""
    last_of_tie = np.flatnonzero(np.r_[distances[1:] != distances[:-1], True])
    true = np.cumsum(same)[last_of_tie]
    if true[-1] == 0:
        return float("nan")
    precision = true / (last_of_tie + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.diff(true, prepend=0.0) @ envelope / true[-1])
