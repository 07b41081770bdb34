"""The arrays that a metric takes: numbers or names, of one length, in a range. An error names the argument."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


def columns(**arrays: ArrayLike) -> tuple[Floats, ...]:
    """Each argument as finite float64 rows, shape (n,) or (n, d), all of one length n >= 1."""
    found = []
    for name, values in arrays.items():
        try:
            found.append(np.asarray(values, np.float64))
        except (TypeError, ValueError):
            raise MetricError(f"{name} must be numbers, one per row.") from None
        if not np.isfinite(found[-1]).all():
            raise MetricError(f"{name} must be finite: leave out the rows that are not.")
    of_one_length(**dict(zip(arrays, found, strict=True)))
    return tuple(found)


def names(**arrays: ArrayLike) -> tuple[NDArray[Any], ...]:
    """Each argument as names or numbers of classes, images or observers, none missing, all of one length n >= 1."""
    found = [np.asarray(values) for values in arrays.values()]
    for name, values in zip(arrays, found, strict=True):
        if values.dtype.kind not in "USiub" and any(one is None or one != one for one in values.flat):
            raise MetricError(f"{name} must not have missing values.")
    of_one_length(**dict(zip(arrays, found, strict=True)))
    return tuple(found)


def within(low: float, high: float, **arrays: NDArray[Any]) -> None:
    """Refuse a value outside [low, high]."""
    for name, values in arrays.items():
        if values.min() < low or values.max() > high:
            raise MetricError(
                f"{name} must be in [{low:g}, {high:g}], but has {values.min():g} to {values.max():g}."
            )


def of_one_length(**arrays: NDArray[Any]) -> None:
    """Refuse arrays of unequal length or without rows."""
    lengths = {len(values) if values.ndim else 0 for values in arrays.values()}
    if len(lengths) > 1 or 0 in lengths:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
        raise MetricError(f"All inputs need one number of rows, at least one, but have the shapes: {shapes}.")
