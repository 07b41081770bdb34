"""Where revisions stand, which ratios mean something, and where a trajectory turns."""

import math

import pytest

from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.gather import read_trajectories
from hf_clipdyn.report.results import read_results
from hf_clipdyn.report.trajectories import turns


@pytest.fixture
def gather(write):
    return lambda rows: read_trajectories(read_results([write(rows)]))


def test_a_step_inside_an_epoch_stands_between_its_ends(row, gather):
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
    assert [point.epoch for point in one.points] == [0, 0.25, 1, 1.5, 2]


def test_a_step_after_the_last_epoch_is_placed_by_the_same_pace(row, gather):
    rows = [
        row("zero_shot/x", "top1", 0.5, epoch=1, step=200),
        row("zero_shot/x", "top1", 0.5, revision="step-00000500", epoch=None, step=500),
    ]
    (one,) = gather(rows)
    assert [point.epoch for point in one.points] == [1, 2.5]


def test_without_epochs_the_order_is_by_the_numbers_in_the_names(row, gather):
    names = ["epoch_10x", "b10", "b9"]
    (one,) = gather([row("zero_shot/x", "top1", 0.5, revision=name, epoch=None) for name in names])
    assert [point.revision for point in one.points] == ["b9", "b10", "epoch_10x"]
    assert choose_axis([one]).kind == "order"


def test_epochs_are_the_axis_also_with_a_step_inside_one(row, gather):
    rows = [row("zero_shot/x", "top1", 0.5, epoch=epoch) for epoch in (0, 1, 2)]
    trajectories = gather(
        [*rows, row("zero_shot/x", "top1", 0.5, revision="step-00000050", epoch=0, step=50)]
    )
    axis = choose_axis(trajectories)
    assert (axis.kind, axis.log) == ("epoch", False)


def test_many_revisions_inside_the_first_epoch_ask_for_a_logarithm_of_the_samples(row, gather):
    steps = [1, 2, 4, 8]
    rows = [
        row(
            "zero_shot/x",
            "top1",
            0.5,
            revision=f"step-{step:08d}",
            epoch=0,
            step=step,
            samples_seen=step * 64,
        )
        for step in steps
    ]
    axis = choose_axis(gather([*rows, *(row("zero_shot/x", "top1", 0.5, epoch=epoch) for epoch in (0, 1))]))
    assert (axis.kind, axis.log) == ("samples_seen", True)


def test_a_public_model_beside_a_run_does_not_take_the_epochs_away(row, gather):
    rows = [row("zero_shot/x", "top1", 0.5, epoch=epoch) for epoch in (0, 1)]
    public = row("zero_shot/x", "top1", 0.6, repo_id="org/clip", revision="main", epoch=None)
    assert choose_axis(gather([*rows, public])).kind == "epoch"


def test_the_bias_is_judged_by_its_own_protocol(row, gather):
    rows = [
        row("shape_bias/x", "shape_bias", 0.5),
        row("shape_bias/x", "interpretable", 0.0),
        row("shape_bias/x", "shape_bias/bare", 0.5),
        row("shape_bias/x", "interpretable/bare", 1.0),
        row("shape_bias/x", "texture_bias/bare", 0.5),
    ]
    judged = {one.metric: one.points[0].interpretable for one in gather(rows)}
    assert not judged["shape_bias"]
    assert judged["shape_bias/bare"]
    assert judged["texture_bias/bare"]


def test_a_bias_that_nothing_judges_counts_as_not_interpretable(row, gather):
    (one,) = gather([row("shape_bias/x", "shape_bias", 0.9, 0.01)])
    assert one.usable == ()


@pytest.fixture
def bias(row, gather):
    """A trajectory of the shape bias from (value, half width of its interval, interpretable)."""

    def bias(*points):
        rows = []
        for epoch, (value, half, told) in enumerate(points):
            rows.append(row("shape_bias/x", "shape_bias", value, half, epoch=epoch))
            rows.append(row("shape_bias/x", "interpretable", float(told), epoch=epoch))
        return next(one for one in gather(rows) if one.metric == "shape_bias")

    return bias


def test_a_turn_lies_between_the_last_sure_below_and_the_first_sure_above(bias):
    (turn,) = turns(bias((0.3, 0.1, 1), (0.45, 0.1, 1), (0.55, 0.1, 1), (0.8, 0.1, 1)).points)
    assert (turn.before.revision, turn.after.revision, turn.upwards) == ("epoch-000", "epoch-003", True)


def test_a_crossing_within_the_intervals_is_no_turn(bias):
    assert turns(bias((0.45, 0.1, 1), (0.55, 0.1, 1)).points) == []


def test_points_that_are_not_interpretable_make_no_turn(bias):
    assert turns(bias((0.3, 0.1, 0), (0.8, 0.1, 1)).points) == []
    assert turns(bias((0.3, 0.1, 1), (0.8, 0.1, 0)).points) == []


def test_a_point_without_an_interval_bears_nothing_out(bias):
    assert turns(bias((0.3, math.nan, 1), (0.8, 0.1, 1)).points) == []


def test_a_trajectory_may_turn_twice(bias):
    found = turns(bias((0.3, 0.1, 1), (0.8, 0.1, 1), (0.2, 0.1, 1)).points)
    assert [turn.upwards for turn in found] == [True, False]
