"""Which trajectories share a figure, and what gives them a scale."""

import pytest
from result_rows import row


@pytest.fixture
def plan(read):
    return lambda rows, **options: read(rows, **options).charts


@pytest.fixture
def series():
    """Rows of two revisions, since single ones give bars."""

    def series(benchmark, metric, value, *half, **more):
        return [row(benchmark, metric, value, *half, epoch=epoch, **more) for epoch in (0, 1)]

    return series


def _labels(chart):
    return [[line.label for line in panel.lines] for panel in chart.panels]


def _references(panel):
    return [(line.label, line.trajectory.points["value"].iloc[0]) for line in panel.references]


def test_every_metric_has_a_chart_but_one_that_mirrors_another_and_every_scale_is_within_one(study, plan):
    charts = {chart.first.metric: chart for chart in plan(study()) if chart.first.kind == "shape_bias"}
    assert set(charts) == {"shape_bias", "cue_accuracy", "shape_accuracy", "shape_preference"}
    (null,) = charts["cue_accuracy"].panels[0].references
    assert (null.label, null.trajectory.role) == ("null", "null")


def test_a_reference_stands_beside_the_numbers_that_its_kind_joins_it_to(study, plan):
    charts = [chart for chart in plan(study()) if chart.first.kind == "noise"]
    chances = {chart.title: [line.label for line in chart.panels[0].references] for chart in charts}
    assert chances == {
        "accuracy": ["chance"],
        "accuracy, Gaussian noise": ["chance"],
        "accuracy drop, chance-corrected, Gaussian noise": [],
    }


def test_a_reference_without_a_declaration_scales_what_has_its_whole_key(series, plan):
    rows = [*series("new/x", "glow", 0.5), *series("new/x", "glow", 0.4, subset="a")]
    rows += series("new/x", "glow", 0.1, role="baseline", reference="lamp_light", probe="")
    whole, part = plan(rows, vocabulary=None)
    assert [line.label for line in whole.panels[0].references] == ["lamp light"]
    assert part.panels[0].references == ()


def test_levels_are_ordered_lines_of_one_panel(series, plan):
    rows = [
        one
        for level in (0.4, 0.05, 0.2)
        for one in series("noise/x", "accuracy", 0.5, condition="gaussian", level=level)
    ]
    (chart,) = plan(rows)
    assert chart.encoding.ramp
    assert chart.encoding.colour == ("level",)
    assert _labels(chart) == [["sigma 0.05", "sigma 0.2", "sigma 0.4"]]


def test_conditions_with_levels_of_their_own_are_never_mixed_in_one_figure(series, plan):
    rows = [
        one
        for condition in ("gaussian", "blur")
        for level in (1.0, 2.0)
        for one in series("noise/x", "accuracy", 0.5, condition=condition, level=level)
    ]
    charts = plan(rows)
    assert [chart.title for chart in charts] == ["accuracy, Gaussian noise", "accuracy, blur"]
    assert _labels(charts[1]) == [["width 1 px", "width 2 px"]]


def test_two_settings_of_a_benchmark_are_two_figures_that_name_what_differs(series, plan):
    rows = [
        one
        for stage in ("image", "input")
        for one in series("noise/x", "area", 0.5, settings=f'{{"stage": "{stage}", "held_out": 3}}')
    ]
    charts = plan(rows)
    assert [chart.title for chart in charts] == [
        "area under the curve, stage image",
        "area under the curve, stage input",
    ]
    assert len({chart.name for chart in charts}) == 2


def test_levels_read_by_two_probes_have_a_panel_for_each(series, plan):
    rows = [
        one
        for probe in ("projection", "linear_probe")
        for level in (0.1, 0.2)
        for one in series("noise/x", "accuracy", 0.1, probe=probe, condition="gaussian", level=level)
    ]
    rows += series("noise/x", "accuracy", 0.125, role="chance", probe="linear_probe")
    (chart,) = plan(rows)
    assert [panel.title for panel in chart.panels] == ["projection", "linear probe"]
    assert _labels(chart) == [["sigma 0.1", "sigma 0.2"]] * 2
    assert [[label for label, _ in _references(panel)] for panel in chart.panels] == [[], ["chance"]]


def test_a_chance_level_of_only_some_probes_of_a_panel_names_them(series, plan):
    rows = [*series("shape_bias/x", "shape_accuracy", 0.2)]
    rows += series("shape_bias/x", "shape_accuracy", 0.2, probe="linear_probe")
    rows += series("shape_bias/x", "shape_accuracy", 0.1, probe="linear_probe", role="chance")
    (chart,) = plan(rows)
    assert {one.probe for one in chart.trajectories} == {"projection", "linear_probe"}
    assert _references(chart.panels[0]) == [("chance, linear probe", 0.1)]
    rows += series("shape_bias/x", "shape_accuracy", 0.1, role="chance")
    (chart,) = plan(rows)
    assert _references(chart.panels[0]) == [("chance", 0.1)]


def test_preprocessings_are_never_mixed_in_one_figure(series, plan):
    charts = plan(
        [
            one
            for name in ("processor", "squash")
            for one in series("quality/t", "alignment", 0.5, preprocess=name)
        ]
    )
    assert [chart.title for chart in charts] == [
        "alignment with humans, processor",
        "alignment with humans, squash",
    ]
    assert len({chart.name for chart in charts}) == 2


def test_two_precisions_of_one_run_are_two_figures_beside_the_same_of_other_runs(series, plan):
    names = ("float32", "bfloat16")
    rows = [
        one for i, name in enumerate(names) for one in series("zero_shot/t", "top1", 0.5 + i / 10, dtype=name)
    ]
    rows += series("zero_shot/t", "top1", 0.7, repo_id="me/other")
    charts = plan(rows)
    found = {chart.title: [one.points["value"].iloc[0] for one in chart.trajectories] for chart in charts}
    assert found == {"zero-shot accuracy, float32": [0.5, 0.7], "zero-shot accuracy, bfloat16": [0.6]}
    assert len({chart.name for chart in charts}) == 2


def test_two_fingerprints_of_one_run_are_two_figures(series, plan):
    rows = [one for name in "ab" for one in series("noise/x", "area", 0.5, data_fingerprint=name)]
    assert len(plan(rows)) == 2


def test_runs_of_different_resolution_share_a_figure(series, plan):
    rows = [
        one
        for name in "ab"
        for one in series("noise/x", "area", 0.5, repo_id=f"me/{name}", data_fingerprint=name)
    ]
    (chart,) = plan(rows)
    assert _labels(chart) == [["me/a", "me/b"]]


def test_several_runs_are_overlaid_in_a_panel_for_each_level(series, plan):
    rows = [
        one
        for run in ("me/a", "me/b")
        for level in (0.1, 0.2)
        for one in series("noise/x", "accuracy", 0.5, repo_id=run, condition="gaussian", level=level)
    ]
    (chart,) = plan(rows)
    assert chart.encoding.panel == ("level",)
    assert [panel.title for panel in chart.panels] == ["sigma 0.1", "sigma 0.2"]
    assert _labels(chart) == [["me/a", "me/b"]] * 2


def test_layers_distortions_and_subsets_have_charts_of_their_own(series, read):
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
    charts = {chart.name: chart for chart in study.charts}
    assert len(charts["quality-t-alignment-cosine-by-layer"].panels[0].lines) == 13
    assert len(charts["quality-t-alignment-cosine-by-condition"].panels) == 12
    assert _labels(charts["similarity-b-two-afc-by-subset"]) == [["cnn", "traditional"]]
    assert len(charts["quality-t-alignment-cosine"].trajectories) == 1
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
    assert drop.title == "accuracy drop, chance-corrected\nsynthetic world, Gaussian noise, sigma 0.2"


def test_of_metrics_of_one_rank_the_overview_shows_the_first_with_a_number(series, read):
    rows = [*series("noise/x", "chance_corrected_drop", float("nan")), *series("noise/x", "area", 0.5)]
    assert len(read(rows).overview[0]) == 2
    rows = [*series("zero_shot/a", "top1", float("nan")), *series("zero_shot/b", "top1", 0.5)]
    rows += series("zero_shot/a", "top1", 0.1, role="chance")
    ((panel,),) = read(rows).overview
    assert panel.title.endswith("\nb")


def test_references_of_any_role_are_scales_of_the_models_numbers_and_no_charts_of_their_own(series, plan):
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
    scales = {chart.title: _references(chart.panels[0]) for chart in charts}
    assert scales == {
        "alignment with humans, cosine": [("PSNR", 0.64), ("another formula", 0.69)],
        "2AFC agreement": [("humans", 0.9), ("ceiling", 0.95)],
        "NSS": [("centre bias", 0.88)],
        "NSS, smoothed": [],
    }


def test_the_range_that_the_accuracies_allow_stands_beside_an_error_consistency(series, plan):
    on = {"subset": "conflict"}
    rows = [
        *series("shape_bias/cue_conflict", "error_consistency", 0.1, **on),
        *series("shape_bias/cue_conflict", "error_consistency", -0.2, role="lower_bound", **on),
        *series("shape_bias/cue_conflict", "error_consistency", 0.4, role="upper_bound", **on),
        *series("shape_bias/cue_conflict", "error_consistency", 0.3, role="human", probe="", **on),
    ]
    (chart,) = plan(rows)
    assert {label for label, _ in _references(chart.panels[0])} == {
        "least possible",
        "most possible",
        "humans",
    }


def test_a_reference_that_differs_between_the_texts_names_them(series, plan):
    rows = []
    for texts, null in (("own", (0.1, 0.2)), ("last", (0.3, 0.4))):
        rows += series("shape_bias/x", "cue_accuracy", 0.5, texts=texts)
        rows += [
            row("shape_bias/x", "cue_accuracy", value, epoch=epoch, texts=texts, role="null")
            for epoch, value in enumerate(null)
        ]
    (chart,) = plan(rows)
    assert [label for label, _ in _references(chart.panels[0])] == [
        "null, text of each revision",
        "null, text of the last revision",
    ]


def test_the_last_revisions_texts_are_drawn_beside_the_revisions_own(series, read):
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


def test_a_map_with_one_layer_shares_a_chart_with_a_map_without(series, plan):
    rows = [
        *series("saliency/osie", "nss", 0.2, probe="attention", layer=6),
        *series("saliency/osie", "nss", 0.3, probe="rollout"),
    ]
    (chart,) = plan(rows)
    assert _labels(chart) == [["attention, layer 6", "rollout"]]
    several = [*rows, *series("saliency/osie", "nss", 0.1, probe="attention", layer=5)]
    assert {chart.name for chart in plan(several)} == {"saliency-osie-nss", "saliency-osie-nss-by-layer"}


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
    assert [one.encoding.x for one in (accuracy, curves, bars)] == ["value", "level", "value"]
    assert curves.name == "noise-x-by-level"
    assert [panel.title for panel in curves.panels] == ["accuracy, Gaussian noise"]
    assert _labels(curves) == [["sigma 0.1", "sigma 0.2"] * 2]
    assert [panel.title for panel in bars.panels] == ["area under the curve"]
    assert _labels(bars) == [["org/a"]]
    assert _references(accuracy.panels[0]) == [("chance", 0.1)]
