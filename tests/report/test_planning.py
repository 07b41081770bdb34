"""Which numbers share a panel, in which order, and that means over seeds and references are the right ones."""

import math

import numpy as np
import pytest
from result_rows import row
from scipy import stats
from study_rows import rows_of_seeds

from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.lines import against, over_clock
from hf_clipdyn.report.panel import Line, Panel, Scale


@pytest.fixture
def planned(read):
    """The planner of some rows."""
    return lambda rows: read(rows).planner


def _of(planner, benchmark, **choices):
    """The first panel of a benchmark with these choices."""
    panels = planner.benchmarks[benchmark]
    return next(panel for panel in panels if {**panel.choices, **choices} == dict(panel.choices))


def test_the_mean_over_seeds_has_students_interval_and_keeps_its_seeds(planned):
    planner = planned(rows_of_seeds())
    assert [(group.title, group.runs, group.place) for group in planner.groups] == [
        ("tiny", ("me/tiny-0", "me/tiny-1", "me/tiny-2"), 0),
        ("small", ("me/small-0", "me/small-1", "me/small-2"), 1),
    ]
    tiny, small = _of(planner, "zero_shot/x").values
    values = np.array([seed.y for seed in tiny.seeds])
    low, high = stats.t.interval(0.95, 2, values.mean(axis=0), stats.sem(values, axis=0))
    assert (tiny.label, tiny.run, small.label) == ("tiny", "", "small")
    assert np.allclose([tiny.y, tiny.low, tiny.high], [values.mean(axis=0), low, high], atol=1e-12)
    assert [seed.run for seed in tiny.seeds] == ["me/tiny-0", "me/tiny-1", "me/tiny-2"]
    assert tiny.n.tolist() == [3] * 4
    assert tiny.words(0).endswith("3 seeds")


def test_where_a_seed_is_not_interpretable_the_mean_is_hollow_without_an_interval(planned):
    rows = rows_of_seeds(scales=("tiny",))
    silent = {("me/tiny-1", 2), ("me/tiny-2", 2)}
    rows = [
        row("zero_shot/x", one.metric, one.value, 0.02, epoch=one.epoch, repo_id=one.repo_id, scale="tiny")
        if (one.repo_id, one.epoch) not in silent
        else row(
            "zero_shot/x", "top1", one.value, epoch=2, repo_id=one.repo_id, scale="tiny", interpretable=False
        )
        for one in rows
        if one.kind == "zero_shot" and one.role == "value"
    ]
    for at, one in enumerate(rows):
        object.__setattr__(one, "seed", at // 4)
    (line,) = _of(planned(rows), "zero_shot/x").values
    assert line.usable.tolist() == [True, True, False, True]
    assert line.hollow.tolist() == [False, False, True, False]
    assert math.isnan(line.low[2])
    assert line.y[2] == pytest.approx(0.4), "the mean of those that are interpretable"
    assert line.note(2) == "1 of 3 seeds are interpretable"


def test_main_metrics_come_first_and_what_is_undefined_last(planned):
    rows = [
        row(
            "shape_bias/x", metric, value, epoch=epoch, note="" if math.isfinite(value) else "nothing decided"
        )
        for metric, value in (("cue_accuracy", 0.5), ("shape_bias", math.nan), ("shape_preference", 0.4))
        for epoch in (0, 1)
    ]
    panels = planned(rows).benchmarks["shape_bias/x"]
    assert [panel.metric for panel in panels] == ["shape_preference", "cue_accuracy", "shape_bias"]
    assert [panel.defined for panel in panels] == [True, True, False]
    assert planned(rows).overview[0] == ("shape_bias/x", 0)


def test_one_run_has_its_levels_as_a_ramp_and_as_curves_of_the_stops(planned, study):
    planner = planned(study())
    main = next(panel for panel in planner.benchmarks["noise/procedural"] if panel.main)
    ramp = _of(planner, "noise/procedural", metric=main.choices["metric"], level="all, a line each")
    curves = next(panel for panel in planner.benchmarks["noise/procedural"] if "level" not in panel.choices)
    assert ramp.ramp
    assert len(ramp.values) == 4
    assert [line.frame for line in curves.values] == [0, 1, 2, 3, 4, 5]
    last = curves.values[-1]
    assert last.x.tolist() == [0.05, 0.1, 0.2, 0.4]
    assert last.y.tolist() == [line.y[-1] for line in ramp.values]
    assert curves.x.title.startswith("sigma")


def test_several_groups_have_a_panel_a_level_and_a_curve_each_at_every_stop(planned):
    planner = planned(rows_of_seeds())
    noise = planner.benchmarks["noise/x"]
    assert [panel.choices.get("level", "") for panel in noise].count("") == 1
    curves = next(panel for panel in noise if "level" not in panel.choices)
    assert {line.label for line in curves.values} == {"tiny", "small"}
    assert sorted({line.frame for line in curves.values}) == [0, 1, 2, 3]
    assert curves.values[0].n.tolist() == [3, 3, 3]


def test_references_are_found_by_the_columns_that_they_join(planned, study):
    planner = planned(study())
    accuracy = _of(planner, "zero_shot/procedural")
    assert [(level.title, level.height, level.role) for level in accuracy.levels] == [
        ("chance", 0.125, "chance")
    ]
    cues = next(
        panel for panel in planner.benchmarks["shape_bias/procedural"] if panel.metric == "cue_accuracy"
    )
    (null,) = [line for line in cues.lines if line.role == "chance"]
    assert null.y.tolist() == pytest.approx([0.262 + 0.002 * epoch for epoch in range(6)])
    assert null.place < 0
    bias = next(
        panel for panel in planner.benchmarks["shape_bias/procedural"] if panel.metric == "shape_bias"
    )
    assert ("neutral", 0.5) in {(level.role, level.height) for level in bias.levels}


def test_models_of_one_revision_are_rows(planned):
    rows = [
        row("zero_shot/x", "top1", value, 0.1, repo_id=f"me/{name}")
        for name, value in (("a", 0.5), ("b", 0.6))
    ]
    rows += [row("zero_shot/x", "top1", 0.125, role="chance", repo_id=f"me/{name}") for name in "ab"]
    planner = planned(rows)
    (panel,) = planner.benchmarks["zero_shot/x"]
    assert (panel.form, panel.choices["over"], planner.over_training) == ("rows", "models", False)
    assert [(one.label, one.value) for one in panel.rows] == [("me/a", 0.5), ("me/b", 0.6)]
    assert [level.height for level in panel.levels] == [0.125]


def test_other_axes_are_looked_up_by_run_and_stop(planned):
    rows = [
        row("zero_shot/x", "top1", 0.1 * epoch, epoch=epoch, samples_seen=640 * epoch) for epoch in range(4)
    ]
    rows += [
        row("zero_shot/x", "top5", 1 - 0.1 * epoch, epoch=epoch, samples_seen=640 * epoch)
        for epoch in range(4)
    ]
    planner = planned(rows)
    assert (planner.clock, planner.stops.tolist()) == ("epoch", [0, 1, 2, 3])
    assert planner.clocks.loc["me/fixture", "samples_seen"].tolist() == [0, 640, 1280, 1920]
    top1, top5 = planner.benchmarks["zero_shot/x"]
    assert over_clock(top1, planner.clocks, "samples_seen", "samples seen").lines[0].x.tolist() == [
        0,
        640,
        1280,
        1920,
    ]
    both = against(top1, top5)
    assert both.lines[0].x.tolist() == pytest.approx([1, 0.9, 0.8, 0.7])
    assert both.x.title == top5.y.title


def test_early_revisions_make_the_axis_logarithmic_with_a_place_for_the_untrained_model(planned):
    samples = [0, 64, 128, 256, 512, 640, 1280]
    rows = [
        row(
            "zero_shot/x",
            "top1",
            0.1,
            epoch=int(seen / 640) if seen % 640 == 0 else None,
            samples_seen=seen,
            revision=f"step-{seen:08d}",
        )
        for seen in samples
    ]
    planner = planned(rows)
    assert (planner.clock, planner.log) == ("samples_seen", True)
    places = planner.x.places(np.array(samples, float))
    assert 0 < places[0] == planner.x.beyond < 64
    assert places[1:].tolist() == samples[1:]


def test_a_line_breaks_where_nobody_measured_for_long():
    x = np.array([0, 1, 2, 3, 20, 21.0])
    known = {name: np.zeros(6) for name in ("y", "low", "high")} | {"usable": np.ones(6, bool)}
    line = Line(label="a", x=x, at=np.arange(6), n=np.ones(6, int), n_clusters=np.ones(6, int), **known)
    assert line.breaks(Scale()).tolist() == [False, False, False, False, True, False]


def test_the_alternative_text_says_the_ends_of_each_line(planned):
    rows = [row("zero_shot/x", "top1", 0.2 + epoch / 10, 0.05, epoch=epoch) for epoch in range(3)]
    (panel,) = planned(rows).benchmarks["zero_shot/x"]
    assert panel.alt.endswith(
        "me/fixture: from 0.200 [0.150, 0.250] at epoch 0 to 0.400 [0.350, 0.450] at epoch 2."
    )
    assert Panel(title="nothing").alt == "nothing."


def test_places_are_evenly_spaced_with_both_ends():
    assert evenly(11, 5).tolist() == [0, 2, 5, 8, 10]
    assert evenly(3, 5).tolist() == [0, 1, 2]
