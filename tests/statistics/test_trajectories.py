"""How revisions are placed, which numbers are interpretable, and where a trajectory crosses a level."""

import math

import pytest
from result_rows import row

from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.statistics.crossings import crossings


@pytest.fixture
def gather(read):
    return lambda rows: read(rows).trajectories


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
    assert choose_axis([one]).kind == "order"


def test_epochs_are_the_axis_also_with_a_step_inside_one(gather):
    rows = [row("zero_shot/x", "top1", 0.5, epoch=epoch) for epoch in (0, 1, 2)]
    trajectories = gather(
        [*rows, row("zero_shot/x", "top1", 0.5, revision="step-00000050", epoch=0, step=50)]
    )
    axis = choose_axis(trajectories)
    assert (axis.kind, axis.log) == ("epoch", False)


def test_many_revisions_inside_the_first_epoch_ask_for_a_logarithm_of_the_samples(gather):
    steps = [1, 2, 4, 8]
    rows = [
        row(
            *("zero_shot/x", "top1", 0.5),
            revision=f"step-{step:08d}",
            epoch=0,
            step=step,
            samples_seen=step * 64,
        )
        for step in steps
    ]
    axis = choose_axis(gather([*rows, *(row("zero_shot/x", "top1", 0.5, epoch=epoch) for epoch in (0, 1))]))
    assert (axis.kind, axis.log) == ("samples_seen", True)


def test_a_public_model_beside_a_run_does_not_take_the_epochs_away(gather):
    rows = [row("zero_shot/x", "top1", 0.5, epoch=epoch) for epoch in (0, 1)]
    public = row("zero_shot/x", "top1", 0.6, repo_id="org/clip", revision="main", epoch=None)
    assert choose_axis(gather([*rows, public])).kind == "epoch"


def test_a_number_is_usable_unless_it_is_undefined_or_not_interpretable(gather):
    rows = [
        row("shape_bias/x", "shape_bias", value, epoch=epoch, interpretable=verdict)
        for epoch, (value, verdict) in enumerate([(0.5, None), (0.5, True), (0.5, False), (math.nan, True)])
    ]
    (one,) = gather(rows)
    assert one.points["usable"].tolist() == [True, True, False, False]
    assert one.points["defined"].tolist() == [True, True, True, False]


@pytest.fixture
def bias(gather):
    """A trajectory from (value, half width of its interval, interpretable)."""

    def bias(*points):
        (one,) = gather(
            [
                row("shape_bias/x", "shape_bias", value, half, epoch=epoch, interpretable=bool(verdict))
                for epoch, (value, half, verdict) in enumerate(points)
            ]
        )
        return one

    return bias


_LOW, _HIGH, _SILENT = (0.3, 0.1, 1), (0.8, 0.1, 1), (0.3, 0.1, 0)


def test_a_crossing_lies_between_two_sure_revisions_in_a_row_on_each_side(bias):
    (found,) = crossings(bias(_LOW, _LOW, (0.45, 0.1, 1), (0.55, 0.1, 1), _HIGH, _HIGH), 0.5)
    assert (found.before.revision, found.after.revision, found.upwards) == ("epoch-001", "epoch-004", True)


@pytest.mark.parametrize(
    "points",
    [
        pytest.param((_LOW, _LOW, _HIGH), id="one revision above"),
        pytest.param((_LOW, _HIGH, _LOW, _HIGH), id="never two in a row"),
        pytest.param((_LOW, _SILENT, _LOW, _HIGH, _HIGH), id="a row that is interrupted"),
        pytest.param((_LOW, _LOW, (0.8, 0.1, 0), (0.8, 0.1, 0)), id="not interpretable"),
        pytest.param(((0.45, 0.1, 1),) * 2 + ((0.55, 0.1, 1),) * 2, id="within the intervals"),
        pytest.param(((0.3, math.nan, 1),) * 2 + (_HIGH, _HIGH), id="without intervals"),
    ],
)
def test_less_than_that_is_no_crossing(bias, points):
    assert crossings(bias(*points), 0.5) == []


def test_a_trajectory_may_cross_twice(bias):
    found = crossings(bias(_LOW, _LOW, _HIGH, _HIGH, _LOW, _LOW), 0.5)
    assert [one.upwards for one in found] == [True, False]
