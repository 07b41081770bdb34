"""Checks of the metrics' inputs: what is wrong raises a `MetricError` of one sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats as Floats
from hf_clipdyn.metrics.checks import Ints as Ints


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
        raise MetricError(f"{name} must be numbers, one per row.") from None
    if column.ndim != 1:
        raise MetricError(f"{name} must have one number per row, but has the shape {column.shape}.")
    check_not_empty(name, column)
    return column


def as_shares(name: str, values: ArrayLike) -> Floats:
    """``values`` as numbers in [0, 1], shape (n,)."""
    column = as_numbers(name, values)
    _refuse_rows(name, column, (column < 0) | (column > 1), "fractions in [0, 1]")
    return column


def as_booleans(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """``values`` (bool, or 0 and 1) as booleans, shape (n,)."""
    column = as_numbers(name, values)
    _refuse_rows(name, column, (column != 0) & (column != 1), "True or False")
    return column.astype(np.bool_)


def as_class_ids(name: str, values: ArrayLike) -> Ints:
    """``values`` as whole numbers >= 0, shape (n,)."""
    column = as_numbers(name, values)
    bad = (column != np.floor(column)) | (column < 0) | (column >= 2**53)  # there a float skips numbers
    _refuse_rows(name, column, bad, "class ids (whole numbers from 0)")
    return column.astype(np.int64)


def _refuse_rows(name: str, column: Floats, bad: NDArray[np.bool_], expected: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise MetricError(f"{name} must be {expected}, but row {row} is {column[row]}.")


def check_classes(n_classes: int | None, *columns: Ints) -> None:
    """Raise a `MetricError` unless all class ids are below ``n_classes``; None allows any."""
    if n_classes is None:
        return
    if n_classes < 1:
        raise MetricError(f"n_classes must be 1 or more, but is {n_classes}.")
    largest = max(int(column.max()) for column in columns)
    if largest >= n_classes:
        raise MetricError(f"Class ids must be below n_classes = {n_classes}, but one is {largest}.")


def as_strings(name: str, values: ArrayLike) -> NDArray[np.str_]:
    """``values`` as an array of strings, shape (n,), n >= 1."""
    column = _as_given(values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in "UO"):
        raise MetricError(f"{name} must be class names, one string per row.")
    check_not_empty(name, column)
    for row, value in enumerate(column):
        if not isinstance(value, str):
            raise MetricError(f"{name} must be class names, but row {row} is {value!r}.")
    return column.astype(np.str_)


def as_codes(name: str, values: ArrayLike | None, n_rows: int) -> tuple[Ints, int]:
    """Number the distinct ``values`` (of any sortable kind) from 0: the code of each row, how many there are.

    None numbers the rows themselves.
    """
    if values is None:
        return np.arange(n_rows), n_rows
    column = _as_given(values)
    if column.ndim != 1:
        raise MetricError(f"{name} must have one value per row, but has the shape {column.shape}.")
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


def as_exemplars(
    shape_exemplars: ArrayLike | None,
    texture_exemplars: ArrayLike | None,
    n_rows: int,
    *,
    with_mates: bool = False,
) -> list[Ints]:
    """Codes of the shape and of the texture exemplars, an array (n,) each; an empty list without any.

    Args:
        with_mates: also allow a table (n, 3): the exemplars of an anchor and of its two mates.
    """
    if shape_exemplars is None and texture_exemplars is None:
        return []
    if shape_exemplars is None or texture_exemplars is None:
        raise MetricError("shape_exemplars and texture_exemplars belong together: give both or neither.")
    return [
        as_code_table(name, values, n_rows, 3)
        if with_mates and np.ndim(np.asarray(values, dtype=object)) == 2
        else as_codes(name, values, n_rows)[0]
        for name, values in (("shape_exemplars", shape_exemplars), ("texture_exemplars", texture_exemplars))
    ]


def _codes(name: str, column: NDArray[Any]) -> tuple[Ints, int]:
    if column.dtype.kind not in "USiub":
        missing = [row for row, value in enumerate(column.tolist()) if _is_missing(value)]
        if missing:
            raise MetricError(
                f"{name} must not have missing values, but row {missing[0]} is {column[missing[0]]}."
            )
    try:
        distinct, codes = np.unique(column, return_inverse=True)
    except TypeError:
        raise MetricError(f"{name} must be all strings or all numbers, one per row.") from None
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
