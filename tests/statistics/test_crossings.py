"""Where a trajectory crosses one half."""

import math

import pytest
from result_rows import row

from hf_clipdyn.statistics.crossings import crossings


@pytest.fixture
def found(read):
    def find(values, half=0.05, **columns):
        rows = [
            row("shape_bias/x", "shape_bias", value, half, epoch=epoch, **columns)
            for epoch, value in enumerate(values)
        ]
        (one,) = read(rows).trajectories
        return [(one.before.revision, one.after.revision, one.upwards) for one in crossings(one, 0.5)]

    return find


def test_a_crossing_needs_two_revisions_in_a_row_on_both_sides(found):
    assert found([0.3, 0.3, 0.5, 0.7, 0.7]) == [("epoch-001", "epoch-003", True)]
    assert found([0.3, 0.3, 0.7, 0.3, 0.7, 0.3]) == [], "one revision alone may be noise"
    assert found([0.3, 0.7, 0.7, 0.7]) == []
    assert found([0.7, 0.7, 0.3, 0.3, 0.7, 0.7]) == [
        ("epoch-001", "epoch-002", False),
        ("epoch-003", "epoch-004", True),
    ]


def test_a_value_whose_interval_holds_the_level_is_on_no_side(found):
    assert found([0.3, 0.3, 0.7, 0.52, 0.7]) == []
    assert found([0.3, 0.3, 0.7, 0.7], half=math.nan) == []
    assert found([0.3, 0.3, 0.7, math.nan, 0.7], note="none") == []
    assert found([0.3, 0.3, 0.7, 0.7], interpretable=False) == []
