"""The panels that the page's selects choose: which comes first, what can distinguish its lines, and its words."""

import json
import math

import pytest
from result_rows import row

from hf_clipdyn.report.page.panels import panel_data
from hf_clipdyn.report.page.payload import payload
from hf_clipdyn.report.plan import plan_benchmarks


@pytest.fixture
def panels(read):
    """The panels of the only benchmark of these rows: form, split, and lines with their words."""

    def planned(rows):
        data = json.loads(json.dumps(payload(read(rows)), allow_nan=False))
        words = data["series"]["words"]
        (benchmark,) = data["benchmarks"]

        def said(place):
            named = ("metric", "condition", "level", "layer", "probe")
            return ", ".join(words[name]["titles"][words[name]["places"][place]] for name in named)

        return [
            panel | {"lines": {split: list(map(said, line)) for split, line in panel["lines"].items()}}
            for panel in benchmark["panels"]
        ]

    return planned


def _noise(metric="accuracy", *levels, condition="gaussian", **more):
    values = {"repo_id": "me/a", **more}
    return [
        row("noise/x", metric, 0.5, epoch=epoch, condition=condition, level=level, **values)
        for level in levels
        for epoch in (0, 1)
    ]


def _of(panels, form):
    return [panel for panel in panels if panel["form"] == form]


def test_the_first_panel_is_the_number_of_the_overview(panels):
    rows = [
        *_noise("accuracy", 0.1, 0.2),
        *_noise("chance_corrected_drop", 0.1, 0.2, 0.4),
        *_noise("chance_corrected_drop", 0.2, condition="blur"),
    ]
    said = [panel["lines"]["run"][0] for panel in _of(panels(rows), "training")]
    assert said == [
        "accuracy drop, chance-corrected, Gaussian noise, sigma 0.2, no layer, projection",
        "accuracy drop, chance-corrected, Gaussian noise, sigma 0.1, no layer, projection",
        "accuracy drop, chance-corrected, Gaussian noise, sigma 0.4, no layer, projection",
        "accuracy drop, chance-corrected, blur, width 0.2 px, no layer, projection",
        "accuracy, Gaussian noise, sigma 0.1, no layer, projection",
        "accuracy, Gaussian noise, sigma 0.2, no layer, projection",
    ]


def test_a_number_without_any_value_comes_last(panels):
    rows = [
        row("zero_shot/x", "top1", value, epoch=epoch, probe=probe)
        for probe, value in (("projection", math.nan), ("linear", 0.5))
        for epoch in (0, 1)
    ]
    assert [panel["lines"]["run"][0].rpartition(", ")[2] for panel in panels(rows)] == [
        "linear",
        "projection",
    ]


def test_one_run_has_a_line_a_level_and_several_runs_a_line_each(panels):
    rows = _noise("accuracy", 0.1, 0.2)
    (first, _) = _of(panels(rows), "training")
    assert first["split"] == "level"
    assert [words.split(", ")[2] for words in first["lines"]["level"]] == ["sigma 0.1", "sigma 0.2"]
    assert {panel["split"] for panel in panels([*rows, *_noise("accuracy", 0.1, 0.2, repo_id="me/b")])} == {
        "run"
    }


def test_over_levels_two_conditions_with_two_axes_never_share_a_panel(panels):
    rows = [*_noise("accuracy", 0.1, 0.2, 0.3), *_noise("accuracy", 1.0, 2.0, condition="blur")]
    gaussian, blur = _of(panels(rows), "levels")
    assert set(gaussian["lines"]) == set(blur["lines"]) == {"run"}
    assert (gaussian["axis"]["title"], blur["axis"]["title"]) == ("sigma", "width (px)")
    (curve,) = _of(panels(rows), "curves")
    assert len(curve["lines"]["run"]) == 3, "two levels are no curve"


def test_layers_are_a_map_and_a_split(panels):
    rows = [
        row("quality/x", "alignment", 0.5, epoch=epoch, probe="hidden_state", layer=layer)
        for layer in (2, 0, 1)
        for epoch in (0, 1)
    ]
    training, *_, layers = panels(rows)
    assert layers["form"] == "layers"
    assert training["split"] == "layer"
    assert [words.split(", ")[-2] for words in layers["lines"]["run"]] == ["layer 0", "layer 1", "layer 2"]


def test_a_planned_panel_has_its_points_levels_and_axis(read, study):
    planned = read(study())
    drop, curves = map(panel_data, plan_benchmarks(planned.charts, planned.runs)["noise/procedural"])
    assert (drop["title"], drop["place"]) == (
        "accuracy drop, chance-corrected, Gaussian noise, sigma 0.2",
        "embedded world (synthetic)",
    )
    assert (drop["axis"], drop["courses"][0]["run"], drop["courses"][0]["label"]) == (None, "me/fixture", "")
    assert drop["levels"] == [{"title": "no loss", "v": 0.0, "role": "neutral"}]
    assert curves["axis"]["title"] == "sigma"
    assert curves["courses"][0] | {"v": None, "lo": None, "hi": None, "n": None, "ok": None, "r": None} == {
        **{"run": "me/fixture", "label": "epoch-000", "level": [0.05, 0.1, 0.2, 0.4]},
        **dict.fromkeys(("v", "lo", "hi", "n", "ok", "r")),
    }
    json.dumps([drop, curves], allow_nan=False)
