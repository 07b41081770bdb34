"""Which numbers share a panel, in which order, and that means over seeds and references are the right ones."""

import math
from dataclasses import replace

import numpy as np
import pytest
from result_rows import course, row
from scipy import stats
from study_rows import rows_of_seeds


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


def test_a_mean_of_some_seeds_is_not_interpretable_and_says_of_how_many_it_is(planned):
    rows = [
        *course("zero_shot/x", "top1", [math.nan, 0.1, 0.2, 0.3], repo_id="me/0", scale="tiny", seed=0),
        *course("zero_shot/x", "top1", [math.nan, 0.3, 0.4, 0.5], repo_id="me/1", scale="tiny", seed=1),
    ]
    rows[2] = replace(rows[2], interpretable=False)
    (line,) = _of(planned(rows), "zero_shot/x").values
    assert line.y.tolist() == pytest.approx([math.nan, 0.2, 0.4, 0.4], nan_ok=True)
    assert line.usable.tolist() == [False, True, False, True]
    assert "1 of 2 seeds are interpretable" in line.words(2)


def test_main_metrics_come_first_and_what_is_undefined_last(planned):
    planner = planned(
        [
            *course("shape_bias/x", "cue_accuracy", [0.5, 0.5]),
            *course("shape_bias/x", "shape_bias", [math.nan, math.nan]),
            *course("shape_bias/x", "shape_preference", [0.4, 0.4]),
        ]
    )
    panels = planner.benchmarks["shape_bias/x"]
    assert [panel.metric for panel in panels] == ["shape_preference", "cue_accuracy", "shape_bias"]
    assert [panel.defined for panel in panels] == [True, True, False]
    assert planner.glance[0].metric == "shape_preference"


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


def test_layers_are_rows_of_a_map_from_the_bottom_and_one_alone_is_no_map(planned):
    def maps(*layers):
        of_layers = (
            course("quality/t", "alignment", [layer, layer + 0.5], probe="hidden", layer=layer)
            for layer in layers
        )
        panels = planned([one for rows in of_layers for one in rows]).benchmarks["quality/t"]
        return [panel for panel in panels if panel.cells is not None]

    (panel,) = maps(2, 0, 1)
    assert (panel.y.names, panel.cells.first_up) == (("0", "1", "2"), True)
    assert panel.cells.values.tolist() == [[[0, 0.5], [1, 1.5], [2, 2.5]]]
    assert not maps(0)


def test_references_are_found_by_the_columns_that_they_join(planned, study):
    planner = planned(study())
    cues = _of(planner, "shape_bias/procedural", metric="cue accuracy")
    (null,) = [line for line in cues.lines if line.role == "chance"]
    assert null.y.tolist() == pytest.approx([0.262 + 0.002 * epoch for epoch in range(6)])
    assert null.place < 0
    bias = _of(planner, "shape_bias/procedural", metric="shape bias")
    assert ("neutral", 0.5) in {(level.role, level.height) for level in bias.levels}


# --- what shares a panel, and what gives it a scale ------------------------------------------------------------


def _scales(panel):
    """What gives a panel its scale, without what its term declares."""
    own = {level.title: level.height for level in panel.levels if level.role != "neutral"}
    return own | {line.label: line.y[0] for line in panel.lines if line.role != "value"}


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        (
            "settings",
            ('{"stage": "image", "held_out": 3}', '{"stage": "input", "held_out": 3}'),
            ["stage image", "stage input"],
        ),
        ("preprocess", ("processor", "squash"), ["processor", "squash"]),
        ("data_fingerprint", ("a", "b"), ["data a", "data b"]),
        ("dtype", ("float32", "bfloat16"), ["float32", "bfloat16"]),
    ],
)
def test_settings_and_states_of_the_data_are_never_mixed_in_one_panel(planned, column, values, words):
    rows = [one for value in values for one in course("noise/x", "area", [0.5, 0.5], **{column: value})]
    panels = planned(rows).benchmarks["noise/x"]
    assert [panel.choices["setup"] for panel in panels] == words
    assert [len(panel.lines) for panel in panels] == [1, 1]


def test_references_of_any_role_are_scales_of_the_models_numbers_and_have_no_panels(planned):
    rows = [
        *course("saliency/osie", "nss", [0.5, 0.5], probe="rollout"),
        *course("saliency/osie", "nss", [0.6, 0.6], probe="rollout", variant="smoothed"),
        *course("saliency/osie", "nss", [0.88, 0.88], probe="", role="baseline", reference="centre_bias"),
        *course("quality/t", "alignment", [0.7, 0.7], variant="cosine"),
        *course("quality/t", "alignment", [0.64, 0.64], probe="", role="baseline", reference="pixels"),
        *course("quality/t", "alignment", [0.69, 0.69], probe="", role="baseline", reference="level"),
        *course("similarity/nights", "two_afc", [0.8, 0.8]),
        *course("similarity/nights", "two_afc", [0.9, 0.9], probe="", role="human", reference="observers"),
        *course("similarity/nights", "two_afc", [0.95, 0.95], probe="", role="ceiling"),
    ]
    panels = [panel for own in planned(rows).benchmarks.values() for panel in own]
    assert {panel.title: _scales(panel) for panel in panels} == {
        "alignment with human observers, cosine": {"pixels": 0.64, "level of the distortion": 0.69},
        "2AFC agreement": {"human observers": 0.9, "ceiling": 0.95},
        "NSS, attention rollout": {"centre bias": 0.88},
        "NSS, smoothed by one degree, attention rollout": {},
    }


def test_the_people_of_a_data_set_are_a_level_of_its_photographs_only(planned, study):
    photographs = _of(planned(study(dataset="cue_conflict")), "shape_bias/cue_conflict")
    assert _scales(photographs) == {"human observers": 0.9587}
    assert _scales(_of(planned(study()), "shape_bias/procedural")) == {}


def test_arms_are_never_averaged_and_come_after_all_scales_in_the_palette(planned):
    rows = [
        row("zero_shot/x", "top1", 0.5, repo_id=f"me/{scale}{arm}{seed}", scale=scale, seed=seed, arm=arm)
        for scale, arm in (("tiny", ""), ("tiny", "noise"), ("small", ""))
        for seed in (0, 1)
    ]
    assert [(group.title, len(group.runs), group.place) for group in planned(rows).groups] == [
        ("tiny, main", 2, 0),
        ("tiny, noise", 2, 4),
        ("small, main", 2, 1),
    ]


# --- axes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "stops", "log"),
    [
        ("samples_seen", [0, 64, 128, 256, 512, 640, 1280], True),
        ("step", [0, 1, 2, 4, 8, 16, 1000], True),
        ("step", [0, 250, 500, 750, 1000], False),
    ],
)
def test_early_revisions_make_the_axis_logarithmic_with_a_place_for_the_untrained_model(
    planned, clock, stops, log
):
    epochs = {0: 0, 640: 1, 1280: 2}
    planner = planned(
        [
            row("zero_shot/x", "top1", 0.1, revision=f"at{at}", epoch=epochs.get(at), **{clock: at})
            for at in stops
        ]
    )
    assert (planner.clock, planner.log) == (clock, log)
    untrained, *others = planner.x.places(np.array(stops, float))
    assert 0 < untrained < stops[1] if log else untrained == 0
    assert others == stops[1:]
