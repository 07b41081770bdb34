"""Embeddings as rows of arrays: their check, and their scaling before measures of pairs."""

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, columns

_ROUNDING = 1e-12  # rows that deviate less from their mean, relative to their length, are equal


def embeddings(**arrays: ArrayLike) -> tuple[Floats, ...]:
    """Each argument as finite float64 rows, (n, d), all with one number of rows."""
    found = columns(**arrays)
    for name, rows in zip(arrays, found, strict=True):
        if rows.ndim != 2 or not rows.size:
            raise MetricError(
                f"{name} must be a table, a row for each item, but have the shape {rows.shape}."
            )
    return found


def unit_rows(**arrays: Floats) -> tuple[Floats, ...]:
    """The rows of each argument, scaled to length 1.

    Raises:
        MetricError: a row has length 0.
    """
    found = []
    for name, rows in arrays.items():
        largest = np.abs(rows).max(axis=1, keepdims=True)
        if not largest.all():
            raise MetricError(
                f"Row {int(largest.argmin())} of {name} has length 0: leave it out, since it has no direction."
            )
        scaled = rows / largest
        found.append(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))
    return tuple(found)


def centred(rows: Floats) -> Floats:
    """Rows around their mean, in units of the largest entry; all 0 if they are equal up to rounding.

    The units keep the digits of untrained models, whose embeddings are almost constant.
    """
    scaled = rows / (np.abs(rows).max() or 1.0)
    deviations = scaled - scaled.mean(axis=0)
    is_constant = np.linalg.norm(deviations) <= _ROUNDING * np.linalg.norm(scaled)
    return np.zeros_like(rows) if is_constant else np.asarray(deviations)
