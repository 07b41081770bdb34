"""Which panels a paper's figure has, and how seeds become a mean."""

import math

import pytest
from result_rows import VOCABULARY, row
from study_rows import rows_of_seeds

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.figures import draw_panels
from hf_clipdyn.report.panels import average_seeds, groups_of_seeds, main_metrics, plan_benchmarks
from hf_clipdyn.report.style import GREY, figure_style


def _planned(study):
    return plan_benchmarks(study.charts, study.runs)


def _titles(panels):
    return [panel.title.replace("\n", ", ") for panel in panels]


def test_the_main_metrics_are_those_of_the_overview_and_what_they_rest_on():
    terms = VOCABULARY.kinds["shape_bias"]
    assert main_metrics(terms, list(terms.terms)) == ["shape_bias", "shape_preference", "cue_accuracy"]
    assert main_metrics(terms, ["shape_accuracy", "error_consistency"]) == ["shape_accuracy"]


def test_a_benchmark_shows_its_main_metrics_on_the_number_of_the_overview_and_over_their_levels(study, read):
    panels = _planned(read(study()))
    assert _titles(panels["shape_bias/procedural"]) == [
        "shape bias, synthetic world",
        "text-free shape preference, synthetic world",
        "cue accuracy, synthetic world",
    ]
    drop, curves = panels["noise/procedural"]
    assert drop.lines[0].trajectory.level == 0.2
    assert [drop.over_levels, curves.over_levels] == [False, True]
    assert curves.ramp
    assert curves.lines[0].label == "epoch-000"
    assert curves.lines[-1].label == "epoch-005"


def test_several_runs_have_one_curve_each_at_their_last_revision(read):
    (curves,) = [panel for panel in _planned(read(rows_of_seeds()))["noise/x"] if panel.over_levels]
    assert curves.title.endswith("Gaussian noise, last revision")
    assert len(curves.lines) == 6
    first = curves.lines[0].trajectory.points
    assert first["level"].tolist() == [0.1, 0.2, 0.4]
    assert first["value"].tolist() == pytest.approx([0.07, 0.14, 0.28])


def test_seeds_of_a_scale_are_one_group_unless_two_runs_share_a_seed(read):
    groups = groups_of_seeds(read(rows_of_seeds()).trajectories)
    assert [group.label for group in groups] == ["tiny, mean of 3 seeds", "small, mean of 3 seeds"]
    assert groups[1].runs == ("me/small-0", "me/small-1", "me/small-2")
    twice = [row("zero_shot/x", "top1", 0.5, repo_id=name, scale="tiny", seed=0) for name in ("me/a", "me/b")]
    assert [group.label for group in groups_of_seeds(read(twice).trajectories)] == ["me/a", "me/b"]
    unknown = [row("zero_shot/x", "top1", 0.5, repo_id=name) for name in ("me/a", "me/b")]
    assert [group.runs for group in groups_of_seeds(read(unknown).trajectories)] == [("me/a",), ("me/b",)]


def test_arms_are_never_averaged(read):
    rows = [
        row("zero_shot/x", "top1", 0.5, repo_id=f"me/{arm}{seed}", scale="tiny", seed=seed, arm=arm)
        for arm in ("", "noise")
        for seed in (0, 1)
    ]
    labels = [group.label for group in groups_of_seeds(read(rows).trajectories)]
    assert labels == ["tiny, main, mean of 2 seeds", "tiny, noise, mean of 2 seeds"]


def test_a_mean_is_over_all_seeds_and_has_no_interval(read):
    rows = rows_of_seeds(scales=("tiny",))
    study = read(rows)
    (panel,) = _planned(study)["zero_shot/x"]
    (line,) = average_seeds(panel, groups_of_seeds(study.trajectories)).lines
    assert line.label == "tiny, mean of 3 seeds"
    assert [one.run for one in line.members] == ["me/tiny-0", "me/tiny-1", "me/tiny-2"]
    assert line.trajectory.points["value"].tolist() == pytest.approx([0.22, 0.32, 0.42, 0.52])
    assert line.trajectory.points["ci_low"].isna().all()


def test_where_a_seed_has_no_usable_number_there_is_no_mean(read):
    rows = [
        row(
            *("zero_shot/x", "top1", math.nan if (seed, epoch) == (1, 0) else 0.5),
            epoch=epoch,
            interpretable=(seed, epoch) != (0, 2),
            repo_id=f"me/{seed}",
            scale="tiny",
            seed=seed,
        )
        for seed in (0, 1)
        for epoch in range(4)
        if (seed, epoch) != (1, 3)
    ]
    study = read(rows)
    (panel,) = _planned(study)["zero_shot/x"]
    (line,) = average_seeds(panel, groups_of_seeds(study.trajectories)).lines
    assert line.trajectory.points["usable"].tolist() == [False, True, False, False]


def test_seeds_are_thin_lines_and_means_differ_in_colour_marker_and_stroke(read):
    study = read(rows_of_seeds())
    (panel,) = _planned(study)["zero_shot/x"]
    with figure_style(printed=True):
        figure = draw_panels([[average_seeds(panel, groups_of_seeds(study.trajectories))]], Axis("epoch"), 1)
    (cell,) = figure.axes
    means = [line for line in cell.lines if "mean of" in str(line.get_label())]
    seeds = [line for line in cell.lines if len(line.get_xdata()) == 3 * 5]  # each with a gap behind it
    assert len(means) == len(seeds) == 2
    assert len({line.get_color() for line in means}) == len({line.get_marker() for line in means}) == 2
    assert len({str(line._unscaled_dash_pattern) for line in means}) == 2
    for mean, seed in zip(means, seeds, strict=True):
        assert seed.get_linewidth() == 0.75 < mean.get_linewidth()
        assert seed.get_color() == mean.get_color()
        assert str(seed._unscaled_dash_pattern) == str(mean._unscaled_dash_pattern)
    assert [text.get_text() for text in cell.texts] == ["chance\n0.125"]
    assert sum(line.get_color() == GREY for line in cell.lines) == 1, "the same for all"
