"""Which trajectories share a figure."""

import math

import pytest

from hf_clipdyn.report.gather import read_trajectories
from hf_clipdyn.report.overview import overview_panels
from hf_clipdyn.report.plan import plan_charts
from hf_clipdyn.report.results import read_results


@pytest.fixture
def plan(write):
    return lambda rows: plan_charts(read_trajectories(read_results([write(rows)])))


def test_every_metric_has_a_chart_and_every_scale_stands_within_one(study, plan):
    charts = {chart.metric: chart for chart in plan(study()) if chart.benchmark.startswith("shape_bias/")}
    assert set(charts) == {
        "shape_bias",
        "texture_bias",
        "cue_accuracy",
        "shape_accuracy",
        "texture_accuracy",
        "top_class_share",
        "shape_preference",
    }
    (null,) = charts["cue_accuracy"].panels[0].references
    assert (null.label, null.trajectory.metric) == ("null", "null_cue_accuracy")


def test_chance_stands_beside_accuracy_and_not_beside_the_drop(study, plan):
    charts = {chart.metric: chart for chart in plan(study()) if chart.benchmark.startswith("noise/")}
    assert [line.label for line in charts["accuracy"].panels[0].references] == ["chance"]
    assert charts["chance_corrected_drop"].panels[0].references == ()


def test_a_recall_finds_its_own_chance(row, plan):
    rows = [
        row("retrieval/f", metric, 0.1, group="held_out=100")
        for k in (1, 10)
        for metric in (f"image_to_text_recall_at_{k}", f"image_to_text_chance_at_{k}")
    ]
    charts = plan(rows)
    assert [chart.metric for chart in charts] == ["image_to_text_recall_at_1", "image_to_text_recall_at_10"]
    (chance,) = charts[1].panels[0].references
    assert chance.trajectory.metric == "image_to_text_chance_at_10"


def test_sigmas_are_ordered_lines_of_one_panel(row, plan):
    sigmas = ("0.40", "0.05", "0.20")
    (chart,) = plan([row("noise/x", "accuracy", 0.5, group=f"sigma={sigma}") for sigma in sigmas])
    assert chart.ordered
    assert [line.label for line in chart.panels[0].lines] == ["sigma 0.05", "sigma 0.20", "sigma 0.40"]


def test_noise_stages_are_never_mixed_in_one_figure(row, plan):
    groups = ("sigma=0.10", "sigma=0.20", "sigma=0.10,noise_stage=input", "sigma=0.20,noise_stage=input")
    charts = plan([row("noise/x", "accuracy", 0.5, group=group) for group in groups])
    assert [[one.group for one in chart.trajectories] for chart in charts] == [
        list(groups[:2]),
        list(groups[2:]),
    ]
    assert len({chart.name for chart in charts}) == 2


def test_the_linear_probes_levels_are_a_figure_of_their_own(row, plan):
    rows = [
        row(benchmark="noise/cifar10", metric="relative_drop", group=group, probe=probe, value=0.1)
        for probe in ("projection", "linear_probe")
        for group in ("sigma=0.10", "sigma=0.20", "noise=blur,sigma=1.00")
    ]
    charts = plan(rows)
    assert len(charts) == 4
    assert [chart.name for chart in charts if "probe" in chart.name] == [
        "noise-cifar10-relative-drop-linear-probe",
        "noise-cifar10-relative-drop-linear-probe-noise-blur",
    ]
    assert all(len({one.probe for one in chart.trajectories}) == 1 for chart in charts)


def test_the_probe_of_a_cue_stands_beside_the_prompts_with_its_own_chance(row, plan):
    rows = [
        row(benchmark="shape_bias/x", metric=metric, probe=probe, value=0.2)
        for metric, probe in (
            ("shape_accuracy", "projection"),
            ("shape_accuracy", "linear_probe"),
            ("chance", "linear_probe"),
            ("error_consistency_min", "projection"),
        )
    ]
    (chart,) = plan(rows)
    assert {one.probe for one in chart.trajectories} == {"projection", "linear_probe"}
    assert [line.label for panel in chart.panels for line in panel.references] == ["chance, linear probe"]


def test_preprocessings_are_never_mixed_in_one_figure(row, plan):
    charts = plan([row("quality/t", "alignment", 0.5, preprocess=name) for name in ("processor", "squash")])
    assert [chart.title for chart in charts] == [
        "alignment with humans, processor",
        "alignment with humans, squash",
    ]
    assert len({chart.name for chart in charts}) == 2


def test_two_precisions_of_one_run_are_two_figures_beside_the_same_of_other_runs(row, plan):
    names = ("float32", "bfloat16")
    rows = [row("zero_shot/t", "top1", 0.5 + i / 10, dtype=name) for i, name in enumerate(names)]
    rows += [row("zero_shot/t", "top1", 0.7, repo_id="me/other")]
    found = {chart.title: [one.points[0].value for one in chart.trajectories] for chart in plan(rows)}
    assert found == {"zero-shot accuracy, float32": [0.5, 0.7], "zero-shot accuracy, bfloat16": [0.6]}
    assert len({chart.name for chart in plan(rows)}) == 2


def test_two_fingerprints_of_one_run_are_two_figures(row, plan):
    charts = plan([row("noise/x", "accuracy", 0.5, data_fingerprint=name) for name in ("a", "b")])
    assert len(charts) == 2


def test_runs_of_different_resolution_share_a_figure(row, plan):
    rows = [
        row("noise/x", "accuracy", 0.5, repo_id=f"me/{name}", data_fingerprint=name) for name in ("a", "b")
    ]
    (chart,) = plan(rows)
    assert [line.label for line in chart.panels[0].lines] == ["me/a", "me/b"]


def test_several_runs_are_overlaid_in_a_panel_for_each_sigma(row, plan):
    rows = [
        row("noise/x", "accuracy", 0.5, repo_id=run, group=f"sigma={sigma}")
        for run in ("me/a", "me/b")
        for sigma in ("0.10", "0.20")
    ]
    (chart,) = plan(rows)
    assert [panel.title for panel in chart.panels] == ["sigma 0.10", "sigma 0.20"]
    assert [[line.label for line in panel.lines] for panel in chart.panels] == [["me/a", "me/b"]] * 2


def test_layers_and_distortions_have_charts_of_their_own(row, plan):
    rows = [
        row("quality/t", "alignment/cosine", 0.5),
        *(
            row("quality/t", "alignment/cosine", 0.5, probe="hidden_state", layer=layer)
            for layer in range(13)
        ),
        *(row("quality/t", "alignment/cosine", 0.5, group=f"distortion=blur {i}") for i in range(12)),
        *(
            row("similarity/b", "two_afc/cosine", 0.5, group=f"subset={name}")
            for name in ("cnn", "traditional")
        ),
    ]
    charts = {chart.name: chart for chart in plan(rows)}
    assert len(charts["quality-t-alignment-cosine-layers"].panels[0].lines) == 13
    assert len(charts["quality-t-alignment-cosine-by-distortion"].panels) == 12
    assert len(charts["similarity-b-two-afc-cosine-by-subset"].panels[0].lines) == 2
    assert len(charts["quality-t-alignment-cosine"].trajectories) == 1
    # The study at a glance takes the projection over all items.
    ((panel,),) = overview_panels([one for one in charts.values() if one.benchmark == "quality/t"])
    assert (panel.lines[0].trajectory.layer, panel.lines[0].trajectory.group) == (None, "")


def test_the_overview_keeps_real_and_synthetic_worlds_apart(study, plan):
    real, synthetic = overview_panels(plan([*study("me/a", "cue_conflict"), *study("me/b")]))
    assert {line.trajectory.dataset for panel in real for line in panel.lines} == {"cue_conflict"}
    assert {line.trajectory.dataset for panel in synthetic for line in panel.lines} == {"procedural"}
    # A run has one colour, wherever it appears.
    assert {(line.label, line.colour) for panel in real + synthetic for line in panel.lines} == {
        ("me/a", 0),
        ("me/b", 1),
    }


def test_the_overview_shows_noise_at_a_sigma_in_the_middle(study, plan):
    (panels,) = overview_panels(plan(study()))
    (drop,) = [panel for panel in panels if panel.lines[0].trajectory.kind == "noise"]
    assert drop.lines[0].trajectory.group == "sigma=0.20"
    assert drop.title == "accuracy drop, chance-corrected\nsynthetic world, sigma 0.20"


def test_baselines_are_scales_of_the_models_numbers_and_no_charts_of_their_own(row, plan):
    charts = plan(
        [
            row("saliency/osie", "nss", 0.5, probe="rollout"),
            row("saliency/osie", "nss/smoothed", 0.6, probe="rollout"),
            row("saliency/osie", "nss", 0.88, probe="centre_bias"),
            row("saliency/osie", "nss/smoothed", 0.9, probe="pixels"),
            row("saliency/osie", "nss/smoothed", 3.6, probe="human"),
            row("quality/tid2013", "alignment/cosine", 0.7),
            row("quality/tid2013", "alignment/psnr", 0.64, probe="pixels"),
            row("quality/tid2013", "alignment/psnr", 0.69, probe="full_resolution"),
            row("similarity/nights", "two_afc/cosine", 0.8),
            row("similarity/nights", "human", 0.9, probe="human"),
            row("similarity/nights", "ceiling", 0.95, probe="human"),
        ]
    )
    scales = {
        chart.metric: [(line.label, line.trajectory.points[0].value) for line in chart.panels[0].references]
        for chart in charts
    }
    assert scales == {
        "nss": [("centre bias", 0.88)],
        "nss/smoothed": [("gradient energy", 0.9), ("humans", 3.6)],
        "alignment/cosine": [("PSNR", 0.64), ("PSNR, full resolution", 0.69)],
        "two_afc/cosine": [("humans", 0.9), ("ceiling", 0.95)],
    }


def test_the_last_revisions_texts_stand_beside_the_revisions_own(row, plan):
    own = {"group": "", "data_fingerprint": "a"}
    final = {"group": "", "data_fingerprint": "b"}
    charts = plan(
        [
            row("zero_shot/x", "top1", 0.5, **own),
            row("zero_shot/x", "top1/final_text", 0.6, **final),
            row("noise/x", "accuracy", 0.4, group="sigma=0.20", data_fingerprint="a"),
            row("noise/x", "accuracy/final_text", 0.3, group="sigma=0.20", data_fingerprint="b"),
        ]
    )
    drawn = {chart.metric: [line.label for line in chart.panels[0].lines] for chart in charts}
    assert drawn["top1"] == ["text of each revision", "text of the last revision"]
    assert "top1/final_text" not in drawn
    assert {"accuracy", "accuracy/final_text"} <= drawn.keys()
    panel = overview_panels(charts)[0][0]
    assert panel.lines[0].trajectory.metric == "top1"


def test_with_several_runs_the_revisions_own_texts_are_named_too(row, plan):
    rows = [
        row("zero_shot/x", metric, 0.5, repo_id=run)
        for run in ("me/a", "me/b")
        for metric in ("top1", "top1/final_text")
    ]
    (chart,) = plan(rows)
    assert [panel.title for panel in chart.panels] == ["text of each revision", "text of the last revision"]


def test_the_overview_takes_the_first_metric_that_has_a_number(row, plan):
    charts = plan(
        [
            row("saliency/mit1003", "nss", math.nan, note="no fixation points"),
            row("saliency/mit1003", "cc", 0.1),
        ]
    )
    (panels,) = overview_panels(charts)
    assert [panel.lines[0].trajectory.metric for panel in panels] == ["cc"]


def test_the_overview_shows_no_drop_that_is_not_corrected_for_chance(row, plan):
    rows = [row("noise/x", "chance_corrected_drop", math.nan, note="not clear of the chance")]
    (panels,) = overview_panels(plan([*rows, row("noise/x", "relative_drop", 0.9)]))
    assert [panel.lines[0].trajectory.metric for panel in panels] == ["chance_corrected_drop"]


def test_one_layer_of_a_probe_stands_beside_the_other_probes(row, plan):
    rows = [
        row("saliency/osie", "nss", 0.2, probe="attention", layer=6),
        row("saliency/osie", "nss", 0.3, probe="rollout"),
    ]
    (chart,) = plan(rows)
    assert [line.label for line in chart.panels[0].lines] == ["attention, layer 6", "rollout"]
    several = [*rows, row("saliency/osie", "nss", 0.1, probe="attention", layer=5)]
    assert {chart.name for chart in plan(several)} == {"saliency-osie-nss", "saliency-osie-nss-layers"}


def test_the_range_that_the_accuracies_allow_stands_beside_an_error_consistency(row, plan):
    group = {"group": "images=conflict"}
    rows = [
        row("shape_bias/cue_conflict", "error_consistency", 0.1, **group),
        row("shape_bias/cue_conflict", "error_consistency_min", -0.2, **group),
        row("shape_bias/cue_conflict", "error_consistency_max", 0.4, **group),
        row("shape_bias/cue_conflict", "error_consistency", 0.3, probe="human", **group),
    ]
    (chart,) = plan(rows)
    assert {line.label for line in chart.panels[0].references} == {
        "least possible",
        "most possible",
        "humans",
    }
