"""What is read of a course: its points, what is known at each, its words, and where it crosses one half."""

import math

import pytest
from result_rows import course, row

from hf_clipdyn.report.words import crossings


def points(study):
    """The points of the only course."""
    (one,) = study.planner.courses
    return study.planner.points(one)


def test_points_are_in_the_order_of_training_and_usable_if_defined_and_interpretable(read):
    given = {2: (0.6, None), 1: (0.5, True), 3: (0.7, False), 4: (math.nan, True)}
    rows = [
        row(
            "shape_bias/x",
            "shape_bias",
            value,
            0.1,
            epoch=epoch,
            interpretable=verdict,
            note="few" * (epoch > 3),
        )
        for epoch, (value, verdict) in given.items()
    ]
    found = points(read(rows))
    assert [one.revision for one in found] == ["epoch-001", "epoch-002", "epoch-003", "epoch-004"]
    assert [one.value for one in found[:3]] == [0.5, 0.6, 0.7]
    assert (found[0].ci_low, found[0].ci_high) == (0.4, 0.6)
    assert [one.usable for one in found] == [True, True, False, False]
    assert [one.defined for one in found] == [True, True, True, False]
    assert found[-1].cause == "few"


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
