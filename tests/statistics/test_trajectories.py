"""How revisions are placed, which numbers are interpretable, and where a trajectory crosses one half."""

import math

import pytest
from result_rows import course, row

from hf_clipdyn.statistics.trajectories import crossings


def _epochs(one):
    return one.points["epoch"].tolist()


def test_a_step_inside_an_epoch_lies_between_its_ends(gather):
    names = {
        "epoch-000": (0, 0),
        "step-00000050": (None, 50),
        "epoch-001": (1, 200),
        "step-00000300": (1, 300),
    }
    rows = [
        row("zero_shot/x", "top1", 0.5, revision=name, epoch=epoch, step=step)
        for name, (epoch, step) in names.items()
    ]
    (one,) = gather([*rows, row("zero_shot/x", "top1", 0.5, epoch=2, step=400)])
    assert _epochs(one) == [0, 0.25, 1, 1.5, 2]


def test_a_step_after_the_last_epoch_is_placed_by_the_same_pace(gather):
    rows = [
        row("zero_shot/x", "top1", 0.5, epoch=1, step=200),
        row("zero_shot/x", "top1", 0.5, revision="step-00000500", epoch=None, step=500),
    ]
    (one,) = gather(rows)
    assert _epochs(one) == [1, 2.5]


def test_without_epochs_the_order_is_by_the_numbers_in_the_names(gather):
    names = ["epoch_10x", "b10", "b9"]
    (one,) = gather([row("zero_shot/x", "top1", 0.5, revision=name, epoch=None) for name in names])
    assert one.points["revision"].tolist() == ["b9", "b10", "epoch_10x"]


def test_a_number_is_usable_unless_it_is_undefined_or_not_interpretable(gather):
    rows = [
        row("shape_bias/x", "shape_bias", value, epoch=epoch, interpretable=verdict)
        for epoch, (value, verdict) in enumerate([(0.5, None), (0.5, True), (0.5, False), (math.nan, True)])
    ]
    (one,) = gather(rows)
    assert one.points["usable"].tolist() == [True, True, False, False]
    assert one.points["defined"].tolist() == [True, True, True, False]


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
def test_a_crossing_needs_two_revisions_in_a_row_on_both_sides(gather, values, columns, crossed):
    (one,) = gather(course("shape_bias/x", "shape_bias", values, **({"half": 0.05} | columns)))
    assert [(before.order, after.order) for before, after in crossings(one, 0.5)] == crossed
