"""What is read of a course: its points, what is known at each, its words, and where it crosses one half."""

import math

import pytest
from result_rows import course, row

from hf_clipdyn.report.words import crossings


def points(study):
    """The points of the only course."""
    (one,) = study.planner.courses
    return study.planner.points(one)


def test_points_are_in_the_order_of_training_with_what_was_recorded(read):
    rows = [
        row("noise/x", "accuracy", 0.4 + epoch / 10, 0.1, epoch=epoch, note="few images" * (epoch > 1))
        for epoch in (2, 1, 3)
    ]
    found = points(read(rows))
    assert [(one.revision, one.value, one.note) for one in found] == [
        ("epoch-001", 0.5, ""),
        ("epoch-002", pytest.approx(0.6), "few images"),
        ("epoch-003", pytest.approx(0.7), "few images"),
    ]
    assert [(one.ci_low, one.ci_high) for one in found[:1]] == [(0.4, 0.6)]


def test_a_number_is_usable_unless_it_is_undefined_or_not_interpretable(read):
    rows = [
        row("shape_bias/x", "shape_bias", value, epoch=epoch, interpretable=verdict)
        for epoch, (value, verdict) in enumerate([(0.5, None), (0.5, True), (0.5, False), (math.nan, True)])
    ]
    found = points(read(rows))
    assert [one.usable for one in found] == [True, True, False, False]
    assert [one.defined for one in found] == [True, True, True, False]
    assert found[-1].cause == "not defined on these data"


@pytest.mark.parametrize(
    ("values", "columns", "crossed"),
    [
        ([0.3, 0.3, 0.5, 0.7, 0.7], {}, [(1, 3)]),
        ([0.7, 0.7, 0.3, 0.3, 0.7, 0.7], {}, [(1, 2), (3, 4)]),
        # one revision alone may be noise
        ([0.3, 0.3, 0.7, 0.3, 0.7, 0.3], {}, []),
        ([0.3, 0.7, 0.7, 0.7], {}, []),
        # a value whose interval holds the level, or that has none, is on no side
        ([0.3, 0.3, 0.7, 0.52, 0.7], {}, []),
        ([0.3, 0.3, 0.7, 0.7], {"half": math.nan}, []),
        ([0.3, 0.3, 0.7, math.nan, 0.7], {"note": "none"}, []),
        ([0.3, 0.3, 0.7, 0.7], {"interpretable": False}, []),
    ],
)
def test_a_crossing_needs_two_revisions_in_a_row_on_both_sides(read, values, columns, crossed):
    found = points(read(course("shape_bias/x", "shape_bias", values, **({"half": 0.05} | columns))))
    assert [(before.order, after.order) for before, after in crossings(found, 0.5)] == crossed
