"""What every metric asks of its input: anything else is a `MetricError` of one clear sentence."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError

__all__ = [
    "Floats",
    "Ints",
    "as_booleans",
    "as_class_ids",
    "as_code_table",
    "as_codes",
    "as_column",
    "as_numbers",
    "as_shares",
    "as_strings",
    "check_lengths",
    "check_not_empty",
]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


def check_lengths(columns: Mapping[str, Any]) -> None:
    """Raise a `MetricError` unless all columns have the same number of rows."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise MetricError(f"All inputs must have the same number of rows, but they have: {given}.")


def check_not_empty(name: str, column: Any) -> None:
    """Raise a `MetricError` if there is no row at all."""
    if len(column) == 0:
        raise MetricError(f"{name} has no rows: give at least one.")


def as_numbers(name: str, values: ArrayLike) -> Floats:
    """``values`` as a float64 array of shape (n,), n >= 1, all finite."""
    column = as_column(name, values)
    bad = ~np.isfinite(column)
    if bad.any():
        row = int(bad.argmax())
        raise MetricError(
            f"{name} must be finite, but {int(bad.sum())} of {len(column)} rows are not "
            f"(first: row {row}, {column[row]}): leave those rows out."
        )
    return column


def as_column(name: str, values: ArrayLike) -> Floats:
    """``values`` as a float64 array of shape (n,), n >= 1, NaN and infinity among them."""
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise MetricError(f"{name} must be numbers, one a row.") from None
    if column.ndim != 1:
        raise MetricError(f"{name} must have one number a row, but has the shape {column.shape}.")
    check_not_empty(name, column)
    return column


def as_shares(name: str, values: ArrayLike) -> Floats:
    """``values`` as numbers in [0, 1], shape (n,)."""
    column = as_numbers(name, values)
    bad = (column < 0) | (column > 1)
    if bad.any():
        row = int(bad.argmax())
        raise MetricError(f"{name} must be fractions in [0, 1], but row {row} is {column[row]}.")
    return column


def as_booleans(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """``values`` (bool, or 0 and 1) as booleans, shape (n,)."""
    column = as_numbers(name, values)
    bad = (column != 0) & (column != 1)
    if bad.any():
        row = int(bad.argmax())
        raise MetricError(f"{name} must be True or False, but row {row} is {column[row]}.")
    return column.astype(np.bool_)


def as_class_ids(name: str, values: ArrayLike) -> Ints:
    """``values`` as whole numbers >= 0, shape (n,)."""
    column = as_numbers(name, values)
    bad = (column != np.floor(column)) | (column < 0) | (column >= 2**53)  # there a float skips numbers
    if bad.any():
        row = int(bad.argmax())
        raise MetricError(f"{name} must be class ids (whole numbers from 0), but row {row} is {column[row]}.")
    return column.astype(np.int64)


def as_strings(name: str, values: ArrayLike) -> NDArray[np.str_]:
    """``values`` as an array of strings, shape (n,), n >= 1."""
    column = _as_given(values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in "UO"):
        raise MetricError(f"{name} must be class names, one string a row.")
    check_not_empty(name, column)
    for row, value in enumerate(column):
        if not isinstance(value, str):
            raise MetricError(f"{name} must be class names, but row {row} is {value!r}.")
    return column.astype(np.str_)


def as_codes(name: str, values: ArrayLike, n_rows: int) -> tuple[Ints, int]:
    """Number the distinct ``values`` (of any sortable kind) from 0: the code of each row, how many there are."""
    column = _as_given(values)
    if column.ndim != 1:
        raise MetricError(f"{name} must have one value a row, but has the shape {column.shape}.")
    if len(column) != n_rows:
        raise MetricError(f"{name} must have one value for each of the {n_rows} rows, but has {len(column)}.")
    return _codes(name, column)


def as_code_table(name: str, values: ArrayLike, n_rows: int, n_columns: int) -> Ints:
    """Number the distinct ``values`` of a table (n, n_columns) from 0, equal ones alike in all columns."""
    table = _as_given(values)
    if table.shape != (n_rows, n_columns):
        raise MetricError(
            f"{name} must have {n_columns} values for each of the {n_rows} rows, but has the shape {table.shape}."
        )
    return _codes(name, table.reshape(-1))[0].reshape(n_rows, n_columns)


def _codes(name: str, column: NDArray[Any]) -> tuple[Ints, int]:
    if column.dtype.kind not in "USiub":
        missing = [row for row, value in enumerate(column.tolist()) if _is_missing(value)]
        if missing:
            raise MetricError(f"{name} must not be missing, but row {missing[0]} is {column[missing[0]]}.")
    try:
        distinct, codes = np.unique(column, return_inverse=True)
    except TypeError:
        raise MetricError(f"{name} must be all strings or all numbers, one a row.") from None
    return codes.astype(np.int64).reshape(-1), len(distinct)


def _as_given(values: ArrayLike) -> NDArray[Any]:
    """``values`` as an array without a conversion: NumPy would make strings of numbers and NaN among strings."""
    if hasattr(values, "__array__"):
        return np.asarray(values)
    try:
        return np.asarray(values, dtype=object)
    except ValueError:  # rows of unequal length
        return np.empty((0, 0), dtype=object)


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT, and pandas' NA, whose comparison with itself has no truth value."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return True
