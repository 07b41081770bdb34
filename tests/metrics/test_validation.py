"""What is refused, and in which words."""

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics import _validation as validation


def test_numbers_that_are_not_finite_are_refused_with_their_row():
    with pytest.raises(
        MetricError, match=r"distances must be finite, but 2 of 4 rows are not \(first: row 1, nan\)"
    ):
        validation.as_numbers("distances", [1.0, float("nan"), 2.0, float("inf")])


@pytest.mark.parametrize("values", [[[1.0, 2.0]], 3.0, ["a"], [None], []])
def test_anything_but_one_number_a_row_is_refused(values):
    with pytest.raises(MetricError, match="distances"):
        validation.as_numbers("distances", values)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_fraction_outside_zero_and_one_is_refused(value):
    with pytest.raises(MetricError, match=rf"judgements must be fractions in \[0, 1\], but row 1 is {value}"):
        validation.as_shares("judgements", [0.5, value])


@pytest.mark.parametrize("value", [-1, 0.5])
def test_a_class_id_that_is_no_whole_number_from_zero_is_refused(value):
    with pytest.raises(MetricError, match="class ids"):
        validation.as_class_ids("predictions", [0, value])


@pytest.mark.parametrize("values", [[1, 2], [["a"]], ["a", None], []])
def test_anything_but_one_class_name_a_row_is_refused(values):
    with pytest.raises(MetricError, match="shapes"):
        validation.as_strings("shapes", values)


def test_an_object_array_of_strings_is_accepted():
    assert validation.as_strings("shapes", np.array(["cat", "dog"], dtype=object)).tolist() == ["cat", "dog"]


def test_different_lengths_are_named():
    with pytest.raises(MetricError, match="predictions 2, references 3"):
        validation.check_lengths({"predictions": [1, 2], "references": [1, 2, 3]})


def test_codes_number_the_distinct_values_in_sorted_order():
    codes, n = validation.as_codes("groups", ["b", "a", "b", "c"], 4)
    assert codes.tolist() == [1, 0, 1, 2]
    assert n == 3


def test_codes_of_the_wrong_number_of_rows_or_of_mixed_kinds_are_refused():
    with pytest.raises(MetricError, match="each of the 3 rows, but has 2"):
        validation.as_codes("groups", ["a", "b"], 3)
    with pytest.raises(MetricError, match="all strings or all numbers"):
        validation.as_codes("groups", np.array(["a", 1, 2], dtype=object), 3)


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series])
@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT])
def test_a_missing_name_is_refused_alike_whatever_stands_for_it(missing, kind):
    """NumPy would make a class "nan" of a list with NaN among names."""
    values = (
        kind(["cat", missing, "dog"]) if kind is not np.array else np.array(["cat", missing, "dog"], object)
    )
    with pytest.raises(MetricError, match="shapes must be class names, but row 1 is"):
        validation.as_strings("shapes", values)
    with pytest.raises(MetricError, match="groups must not have missing values, but row 1 is"):
        validation.as_codes("groups", values, 3)


def test_numbers_among_names_are_refused_in_a_list_too():
    with pytest.raises(MetricError, match="all strings or all numbers"):
        validation.as_codes("groups", ["a", 1], 2)
    with pytest.raises(MetricError, match="row 1 is 1"):
        validation.as_strings("shapes", ["a", 1])


def test_a_missing_number_is_refused_among_groups():
    with pytest.raises(MetricError, match="groups must not have missing values, but row 1 is nan"):
        validation.as_codes("groups", [1.0, float("nan")], 2)


def test_a_table_of_codes_numbers_equal_values_alike_in_every_column():
    codes = validation.as_code_table("images", [["a", "b"], ["b", "c"]], 2, 2)
    assert codes.tolist() == [[0, 1], [1, 2]]
    for wrong in ([["a", "b"]], ["a", "b"], [["a"], ["b", "c"]]):
        with pytest.raises(MetricError, match="images must have 2 values for each of the 2 rows"):
            validation.as_code_table("images", wrong, 2, 2)
