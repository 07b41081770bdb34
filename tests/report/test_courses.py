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


def test_without_epochs_the_order_is_by_the_numbers_in_the_names(read):
    names = ["epoch_10x", "b10", "b9"]
    found = points(read([row("zero_shot/x", "top1", 0.5, revision=name, epoch=None) for name in names]))
    assert [one.revision for one in found] == ["b9", "b10", "epoch_10x"]


def test_a_number_is_usable_unless_it_is_undefined_or_not_interpretable(read):
    rows = [
        row("shape_bias/x", "shape_bias", value, epoch=epoch, interpretable=verdict)
        for epoch, (value, verdict) in enumerate([(0.5, None), (0.5, True), (0.5, False), (math.nan, True)])
    ]
    found = points(read(rows))
    assert [one.usable for one in found] == [True, True, False, False]
    assert [one.defined for one in found] == [True, True, True, False]
    assert found[-1].cause == "not defined on these data"


def test_runs_whose_cells_alternate_keep_their_own_points(read):
    rows = [
        row("noise/x", "accuracy", epoch / 10, epoch=epoch, repo_id=repo, revision=f"r{epoch}")
        for epoch, repo in ((3, "b"), (1, "a"), (2, "b"), (7, "a"), (5, "b"))
    ]
    planner = read(rows).planner
    found = {one.run: [point.value for point in planner.points(one)] for one in planner.courses}
    assert found == {"b": [0.2, 0.3, 0.5], "a": [0.1, 0.7]}


def test_a_title_says_variant_and_relation_and_the_detail_what_is_not_plain(read):
    rows = [
        row("shape_bias/x", "shape_bias", 0.5, variant="openai_80"),
        row("noise/x", "accuracy", 0.5, condition="gaussian", level=0.2, texts="last", text_commit="c"),
    ]
    planner = read(rows).planner
    bias, noise = planner.courses
    assert planner.title(bias) == "shape bias, 80 templates"
    assert planner.special(bias) == ""
    assert planner.special(noise) == "Gaussian noise, sigma 0.2"
    assert planner.detail(noise, ["texts"]) == "text of the last revision"


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


def test_an_undefined_number_without_a_note_says_that_no_cause_was_recorded(read):
    (point,) = points(read([row("noise/x", "accuracy", math.nan)]))
    assert point._replace(note="").cause == "no cause was recorded"
