"""Which trajectories share a panel and a figure, what gives them a scale, and how seeds become a mean."""

import math

import pytest
from result_rows import VOCABULARY, row
from study_rows import rows_of_seeds

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.draw import draw_panels
from hf_clipdyn.report.plan import average_seeds, groups_of_seeds, plan_benchmarks
from hf_clipdyn.report.style import GREY, figure_style


@pytest.fixture
def plan(read):
    return lambda rows, **options: read(rows, **options).charts


def series(benchmark, metric, value, *half, **more):
    """Rows of two revisions, since single ones give bars."""
    return [row(benchmark, metric, value, *half, epoch=epoch, **more) for epoch in (0, 1)]


def _series_of(name, values, *columns, **more):
    """`series` for each value of a column."""
    return [line for value in values for line in series(*columns, **{name: value}, **more)]


def _labels(panels):
    return [[line.label for line in panel.lines] for panel in panels]


def _references(panel):
    return [(line.label, line.trajectory.points["value"].iloc[0]) for line in panel.references]


def _details(panels, *columns):
    """What distinguishes the panels of a chart."""
    return [panel.first.detail(columns) for panel in panels]


def test_every_metric_has_a_chart_but_one_that_mirrors_another_and_every_scale_is_within_one(study, plan):
    charts = {panel.first.metric: panel for panel, *_ in plan(study()) if panel.first.kind == "shape_bias"}
    assert set(charts) == {"shape_bias", "cue_accuracy", "shape_accuracy", "shape_preference"}
    (null,) = charts["cue_accuracy"].references
    assert (null.label, null.trajectory.role) == ("null", "null")


def test_a_reference_stands_beside_the_numbers_that_its_kind_joins_it_to(study, plan):
    panels = [panel for panel, *_ in plan(study()) if panel.first.kind == "noise"]
    scales = {(panel.first.metric, panel.first.condition): len(panel.references) for panel in panels}
    assert scales == {
        ("accuracy", "none"): 1,
        ("accuracy", "gaussian"): 1,
        ("chance_corrected_drop", "gaussian"): 0,
    }


def test_a_reference_without_a_declaration_scales_what_has_its_whole_key(plan):
    rows = [*series("new/x", "glow", 0.5), *series("new/x", "glow", 0.4, subset="a")]
    rows += series("new/x", "glow", 0.1, role="baseline", reference="lamp_light", probe="")
    (whole,), (part,) = plan(rows, vocabulary=None)
    assert [line.label for line in whole.references] == ["lamp light"]
    assert part.references == ()


def test_levels_are_ordered_lines_of_one_panel(plan):
    (chart,) = plan(_series_of("level", (0.4, 0.05, 0.2), "noise/x", "accuracy", 0.5, condition="gaussian"))
    assert chart[0].ramp
    assert chart[0].colour == ("level",)
    assert _labels(chart) == [["sigma 0.05", "sigma 0.2", "sigma 0.4"]]


def test_conditions_with_levels_of_their_own_are_never_mixed_in_one_figure(plan):
    rows = [
        line
        for condition in ("gaussian", "blur")
        for line in _series_of("level", (1.0, 2.0), "noise/x", "accuracy", 0.5, condition=condition)
    ]
    gaussian, blur = plan(rows)
    assert _labels(gaussian) == [["sigma 1", "sigma 2"]]
    assert _labels(blur) == [["width 1 px", "width 2 px"]]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("settings", ('{"stage": "image", "held_out": 3}', '{"stage": "input", "held_out": 3}')),
        ("preprocess", ("processor", "squash")),
        ("data_fingerprint", ("a", "b")),
    ],
)
def test_settings_preprocessings_and_states_of_the_data_are_never_mixed_in_one_figure(plan, column, values):
    charts = plan(_series_of(column, values, "noise/x", "area", 0.5))
    assert [getattr(panel.first, column) for (panel,) in charts] == list(values)


def test_levels_read_by_two_probes_have_a_panel_for_each(plan):
    rows = [
        line
        for probe in ("projection", "linear_probe")
        for line in _series_of(
            "level", (0.1, 0.2), "noise/x", "accuracy", 0.1, probe=probe, condition="gaussian"
        )
    ]
    rows += series("noise/x", "accuracy", 0.125, role="chance", probe="linear_probe")
    (chart,) = plan(rows)
    assert _details(chart, "probe") == ["projection", "linear probe"]
    assert _labels(chart) == [["sigma 0.1", "sigma 0.2"]] * 2
    assert [[label for label, _ in _references(panel)] for panel in chart] == [[], ["chance"]]


def test_a_chance_level_of_only_some_probes_of_a_panel_names_them(plan):
    rows = [*series("shape_bias/x", "shape_accuracy", 0.2)]
    rows += series("shape_bias/x", "shape_accuracy", 0.2, probe="linear_probe")
    rows += series("shape_bias/x", "shape_accuracy", 0.1, probe="linear_probe", role="chance")
    (chart,) = plan(rows)
    assert {line.trajectory.probe for line in chart[0].lines} == {"projection", "linear_probe"}
    assert _references(chart[0]) == [("chance, linear probe", 0.1)]
    rows += series("shape_bias/x", "shape_accuracy", 0.1, role="chance")
    (chart,) = plan(rows)
    assert _references(chart[0]) == [("chance", 0.1)]


def test_two_precisions_of_one_run_are_two_figures_beside_the_same_of_other_runs(plan):
    rows = [*series("zero_shot/t", "top1", 0.5, dtype="float32")]
    rows += series("zero_shot/t", "top1", 0.6, dtype="bfloat16")
    rows += series("zero_shot/t", "top1", 0.7, repo_id="me/other")
    charts = plan(rows)
    drawn = [[line.trajectory.points["value"].iloc[0] for line in panel.lines] for (panel,) in charts]
    assert drawn == [[0.5, 0.7], [0.6]]
    assert [panel.first.dtype for (panel,) in charts] == ["float32", "bfloat16"]


def test_runs_of_different_resolution_share_a_figure(plan):
    rows = [*series("noise/x", "area", 0.5, repo_id="me/a", data_fingerprint="a")]
    rows += series("noise/x", "area", 0.5, repo_id="me/b", data_fingerprint="b")
    (chart,) = plan(rows)
    assert _labels(chart) == [["me/a", "me/b"]]


def test_several_runs_are_overlaid_in_a_panel_for_each_level(plan):
    noisy = {"condition": "gaussian"}
    rows = [*_series_of("level", (0.1, 0.2), "noise/x", "accuracy", 0.5, repo_id="me/a", **noisy)]
    rows += _series_of("level", (0.1, 0.2), "noise/x", "accuracy", 0.5, repo_id="me/b", **noisy)
    (chart,) = plan(rows)
    assert _details(chart, "level") == ["sigma 0.1", "sigma 0.2"]
    assert _labels(chart) == [["me/a", "me/b"]] * 2


def test_layers_distortions_and_subsets_have_charts_of_their_own(read):
    rows = [*series("quality/t", "alignment", 0.5, variant="cosine", condition="")]
    for layer in range(13):
        rows += series(
            "quality/t", "alignment", 0.5, variant="cosine", probe="hidden_state", layer=layer, condition=""
        )
    for i in range(12):
        rows += series("quality/t", "alignment", 0.5, variant="cosine", condition=f"distortion_{i}")
    for name in ("cnn", "traditional"):
        rows += series("similarity/b", "two_afc", 0.5, subset=name)
    study = read(rows)
    alone, layers, conditions, subsets = study.charts
    assert len(layers[0].lines) == 13
    assert len(conditions) == 12
    assert _labels(subsets) == [["cnn", "traditional"]]
    assert len(alone[0].lines) == 1
    # The study at a glance takes the projection over all items.
    first = study.overview[0][0].lines[0].trajectory
    assert (first.kind, first.layer, first.condition) == ("quality", None, "")


def test_the_overview_keeps_real_and_synthetic_worlds_apart(study, read):
    real, synthetic = read([*study("me/a", "cue_conflict"), *study("me/b")]).overview
    assert {line.trajectory.dataset for panel in real for line in panel.lines} == {"cue_conflict"}
    assert {line.trajectory.dataset for panel in synthetic for line in panel.lines} == {"procedural"}
    # A run has one colour, wherever it appears.
    assert {(line.label, line.colour) for panel in real + synthetic for line in panel.lines} == {
        ("me/a", 0),
        ("me/b", 1),
    }


def test_the_overview_shows_the_condition_and_the_level_of_the_term(study, read):
    (panels,) = read(study()).overview
    (drop,) = [panel for panel in panels if panel.lines[0].trajectory.kind == "noise"]
    assert drop.lines[0].trajectory.level == 0.2
    assert (
        drop.title == "accuracy drop, chance-corrected\nembedded world (synthetic), Gaussian noise, sigma 0.2"
    )


def test_of_metrics_of_one_rank_the_overview_shows_the_first_with_a_number(read):
    rows = [*series("noise/x", "chance_corrected_drop", float("nan")), *series("noise/x", "area", 0.5)]
    assert len(read(rows).overview[0]) == 2
    rows = [*series("zero_shot/a", "top1", float("nan")), *series("zero_shot/b", "top1", 0.5)]
    rows += series("zero_shot/a", "top1", 0.1, role="chance")
    ((panel,),) = read(rows).overview
    assert panel.title.endswith("\nb")


def test_references_of_any_role_are_scales_of_the_models_numbers_and_no_charts_of_their_own(plan):
    charts = plan(
        [
            *series("saliency/osie", "nss", 0.5, probe="rollout"),
            *series("saliency/osie", "nss", 0.6, probe="rollout", variant="smoothed"),
            *series("saliency/osie", "nss", 0.88, probe="", role="baseline", reference="centre"),
            *series("quality/t", "alignment", 0.7, variant="cosine"),
            *series("quality/t", "alignment", 0.64, probe="", role="baseline", reference="psnr"),
            *series("quality/t", "alignment", 0.69, probe="", role="baseline", reference="other"),
            *series("similarity/nights", "two_afc", 0.8),
            *series("similarity/nights", "two_afc", 0.9, probe="", role="human"),
            *series("similarity/nights", "two_afc", 0.95, probe="", role="ceiling"),
        ]
    )
    scales = {panel.first.metric_title: _references(panel) for (panel,) in charts}
    assert scales == {
        "alignment with people, cosine": [("PSNR", 0.64), ("another formula", 0.69)],
        "2AFC agreement": [("people", 0.9), ("ceiling", 0.95)],
        "NSS": [("centre bias", 0.88)],
        "NSS, smoothed": [],
    }


def test_the_range_that_the_accuracies_allow_stands_beside_an_error_consistency(plan):
    on = {"subset": "conflict"}
    rows = [
        *series("shape_bias/cue_conflict", "error_consistency", 0.1, **on),
        *series("shape_bias/cue_conflict", "error_consistency", -0.2, role="lower_bound", **on),
        *series("shape_bias/cue_conflict", "error_consistency", 0.4, role="upper_bound", **on),
        *series("shape_bias/cue_conflict", "error_consistency", 0.3, role="human", probe="", **on),
    ]
    (chart,) = plan(rows)
    assert {label for label, _ in _references(chart[0])} == {
        "least possible",
        "most possible",
        "people",
    }


def test_a_reference_that_differs_between_the_texts_names_them(plan):
    rows = []
    for texts, null in (("own", (0.1, 0.2)), ("last", (0.3, 0.4))):
        rows += series("shape_bias/x", "cue_accuracy", 0.5, texts=texts)
        rows += [
            row("shape_bias/x", "cue_accuracy", value, epoch=epoch, texts=texts, role="null")
            for epoch, value in enumerate(null)
        ]
    (chart,) = plan(rows)
    assert [label for label, _ in _references(chart[0])] == [
        "null, text of each revision",
        "null, text of the last revision",
    ]


def test_the_last_revisions_texts_are_drawn_beside_the_revisions_own(read):
    rows = [
        *series("zero_shot/x", "top1", 0.5, data_fingerprint="a"),
        *series("zero_shot/x", "top1", 0.6, data_fingerprint="b", texts="last", text_commit="c"),
    ]
    noisy = {"condition": "gaussian", "level": 0.1}
    rows += series("noise/x", "accuracy", 0.4, **noisy)
    rows += series("noise/x", "accuracy", 0.3, texts="last", text_commit="c", **noisy)
    rows += series("noise/x", "accuracy", 0.7, probe="linear_probe")
    rows += series("noise/x", "accuracy", 0.5)
    rows += series("noise/x", "accuracy", 0.6, texts="last", text_commit="c")
    study = read(rows)
    probed = study.charts.pop(2)
    assert _labels(probed) == [["linear probe", "projection", "text of the last revision, projection"]]
    assert [_labels(chart) for chart in study.charts] == [
        [["text of each revision", "text of the last revision"]]
    ] * 2
    (line,) = study.overview[0][0].lines
    assert line.trajectory.texts == "own"


def test_a_map_with_one_layer_shares_a_chart_with_a_map_without(plan):
    rows = [
        *series("saliency/osie", "nss", 0.2, probe="attention", layer=6),
        *series("saliency/osie", "nss", 0.3, probe="rollout"),
    ]
    (chart,) = plan(rows)
    assert _labels(chart) == [["attention, layer 6", "rollout"]]
    several = [*rows, *series("saliency/osie", "nss", 0.1, probe="attention", layer=5)]
    assert sorted(len(panel.lines) for (panel,) in plan(several)) == [1, 2]


def test_models_of_one_revision_have_bars_and_curves_over_the_levels_for_each_benchmark(plan):
    rows = [
        row(
            "noise/x",
            "accuracy",
            0.5,
            repo_id=model,
            revision="main",
            epoch=None,
            condition="gaussian",
            level=level,
        )
        for model in ("org/a", "org/b")
        for level in (0.1, 0.2)
    ]
    rows += [row("noise/x", "area", 0.5, repo_id="org/a", revision="main", epoch=None)]
    rows += [row("zero_shot/x", "top1", 0.5, repo_id="org/a", revision="main", epoch=None)]
    rows += [row("zero_shot/x", "top1", 0.1, repo_id="org/a", revision="main", epoch=None, role="chance")]
    accuracy, curves, bars = plan(rows)
    assert [panel.x for (panel,) in (accuracy, curves, bars)] == ["value", "level", "value"]
    assert [(panel.first.metric, panel.first.condition) for panel in curves] == [("accuracy", "gaussian")]
    assert _labels(curves) == [["sigma 0.1", "sigma 0.2"] * 2]
    assert [panel.first.metric for panel in bars] == ["area"]
    assert _labels(bars) == [["org/a"]]
    assert _references(accuracy[0]) == [("chance", 0.1)]


def _planned(study):
    return plan_benchmarks(study.charts, study.runs)


def _titles(panels):
    return [panel.title.replace("\n", ", ") for panel in panels]


def test_the_main_metrics_are_those_of_the_overview_and_what_they_rest_on():
    terms = VOCABULARY.kinds["shape_bias"]
    assert terms.main_metrics(list(terms.terms)) == ["shape_bias", "shape_preference", "cue_accuracy"]
    assert terms.main_metrics(["shape_accuracy", "error_consistency"]) == ["shape_accuracy"]


def test_a_benchmark_shows_its_main_metrics_on_the_number_of_the_overview_and_over_their_levels(study, read):
    panels = _planned(read(study()))
    assert _titles(panels["shape_bias/procedural"]) == [
        "shape bias, embedded world (synthetic)",
        "text-free shape preference, embedded world (synthetic)",
        "cue accuracy, embedded world (synthetic)",
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


def test_arms_are_never_averaged_and_come_after_all_scales_in_the_palette(read):
    rows = [
        row("zero_shot/x", "top1", 0.5, repo_id=f"me/{scale}{arm}{seed}", scale=scale, seed=seed, arm=arm)
        for scale, arm in (("tiny", ""), ("tiny", "noise"), ("small", ""))
        for seed in (0, 1)
    ]
    groups = groups_of_seeds(read(rows).trajectories)
    assert [(group.label, group.place) for group in groups] == [
        ("tiny, main, mean of 2 seeds", 0),
        ("tiny, noise, mean of 2 seeds", 4),
        ("small, main, mean of 2 seeds", 1),
    ]


def test_a_mean_is_over_all_seeds_and_has_no_interval(read):
    rows = rows_of_seeds(scales=("tiny",))
    study = read(rows)
    (panel,) = _planned(study)["zero_shot/x"]
    (line,) = average_seeds(panel, groups_of_seeds(study.trajectories)).lines
    assert line.label == "tiny, mean of 3 seeds"
    assert [one.run for one in line.members] == ["me/tiny-0", "me/tiny-1", "me/tiny-2"]
    assert line.trajectory.points["value"].tolist() == pytest.approx([0.22, 0.32, 0.42, 0.52])
    assert line.trajectory.points["ci_low"].isna().all()


def test_where_a_seed_has_no_usable_number_the_mean_is_not_interpretable_and_says_of_how_many_it_is(read):
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
    points = line.trajectory.points
    assert points["usable"].tolist() == [False, True, False, False]
    assert points["value"].tolist() == [0.5] * 4, "of the others, drawn hollow"
    assert points["note"].tolist() == [
        "1 of 2 seeds are interpretable",
        "",
        *["1 of 2 seeds are interpretable"] * 2,
    ]


def test_seeds_are_thin_lines_and_means_differ_in_colour_and_marker(read):
    study = read(rows_of_seeds())
    (panel,) = _planned(study)["zero_shot/x"]
    with figure_style(printed=True):
        figure = draw_panels([[average_seeds(panel, groups_of_seeds(study.trajectories))]], Axis("epoch"), 1)
    (cell,) = figure.axes
    means = [line for line in cell.lines if "mean of" in str(line.get_label())]
    seeds = [line for line in cell.lines if len(line.get_xdata()) == 3 * 5]  # each with a gap behind it
    assert len(means) == len(seeds) == 2
    assert len({line.get_color() for line in means}) == len({line.get_marker() for line in means}) == 2
    assert {str(line._unscaled_dash_pattern) for line in means} == {"(0, None)"}, "arms alone have dashes"
    for mean, seed in zip(means, seeds, strict=True):
        assert seed.get_linewidth() == 0.75 < mean.get_linewidth()
        assert seed.get_color() == mean.get_color()
        assert str(seed._unscaled_dash_pattern) == str(mean._unscaled_dash_pattern)
    assert sorted(text.get_text() for text in cell.texts) == ["chance 0.12", "small", "tiny"]
    assert sum(line.get_color() == GREY for line in cell.lines) == 1, "the same for all"
