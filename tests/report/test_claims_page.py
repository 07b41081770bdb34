"""The claims in a report: the table of verdicts, the figure, and where the numbers come from."""

import json
import math
from dataclasses import replace

import pytest
from made_verdicts import judged, made
from planted import Planted, Run, ramp, turn, write_study

from hf_clipdyn.report import provenance as report_provenance
from hf_clipdyn.report import read_study, write_report
from hf_clipdyn.report.charts.claims import ClaimsChart
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.provenance import Registration, origin_rows
from hf_clipdyn.report.style import figure_style
from hf_clipdyn.statistics.claims import EMBEDDED

_HOSTILE = "</script><b>&\"'"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table of a planted study with its trials: a tuning seed and two registered ones."""
    planted = Planted(drop=ramp(0.5, 0.2), bias=turn(0.3, 0.85))
    runs = [Run(scale="tiny", seed=seed, planted=planted) for seed in (0, 10, 11)]
    output = tmp_path_factory.mktemp("planted") / "results.parquet"
    return write_study(output, runs, shares=(0.0, 0.065, 0.1, 0.2, 0.6, 0.9, 1.0))


@pytest.fixture(scope="module")
def planted(table):
    """That study, judged."""
    return read_study(table, claims=EMBEDDED)


@pytest.fixture(scope="module")
def folder(planted, tmp_path_factory):
    """Folder of its page."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(render(planted), encoding="utf-8")
    return folder


def test_a_claim_from_a_file_cannot_break_the_page(write, study, tmp_path):
    file = tmp_path / "claims.yaml"
    endpoint = {"kind": "shape_bias", "dataset": "procedural", "metric": "shape_bias"}
    part = {"title": _HOSTILE, "endpoint": "m", "weights": {_HOSTILE: 1}, "smallest_effect": 0.1}
    content = {
        "title": _HOSTILE,
        "windows": {_HOSTILE: {"shares": [0.9, 1.0]}},
        "endpoints": {"m": endpoint},
        "gates": {_HOSTILE: {"endpoint": "m", "windows": [_HOSTILE]}},
        "claims": [
            {"number": _HOSTILE, "title": _HOSTILE, "notes": [_HOSTILE], "parts": [part], "gates": [_HOSTILE]}
        ],
    }
    file.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    page = write_report(write(study()), tmp_path / "report", claims=file).read_text(encoding="utf-8")
    assert _HOSTILE not in page
    shown = "&lt;/script&gt;&lt;b&gt;&amp;&#34;&#39;"
    assert f'<span class="number">{shown}</span> {shown}' in page
    assert f'<span class="mark note">{shown}</span>' in page


def test_the_figure_has_a_row_for_each_contrast_in_units_of_its_smallest_effect(study, read):
    verdicts = (
        made(1, (0.2, 0.05), (0.3, 0.15)),
        made(5, (-0.03, 0.02), word="negligible"),
        made(6, (math.nan, 0.0), word="not testable here"),
    )
    one = judged(read(study()), *verdicts)
    (panel,) = ClaimsChart.panels(one)
    assert [row.label for row in panel.rows] == [
        "1 texture bias early (0.5 - early): holds",
        "1 shift to shape (late - early): holds",
        "5 by prompts drop falls (early - late): undecided, below 0",
    ]
    assert [(row.value, row.low, row.high) for row in panel.rows] == [
        pytest.approx(ends) for ends in ((4, 3, 5), (2, 1, 3), (-0.6, -1, -0.2))
    ]
    assert {level.title: level.height for level in panel.levels} == {"−δ": -1, "no effect": 0, "δ": 1}
    assert panel.rows[2].words == "-0.030 [-0.050, -0.010] (5 runs), δ = 0.05: undecided, below 0"
    assert panel.x.limits[1] == pytest.approx(5 * 1.08)
    with figure_style():
        assert len(ClaimsChart.draw(one, 6.0).axes) == 1
    (row,) = ClaimsChart.panels(judged(one, made(5, (0.9, 0.1))))[0].rows
    assert (row.value, row.low, row.high) == (6, 6, 6), "it does not shrink the others"
    assert row.label.endswith(": holds (beyond the axis)")


def test_each_endpoint_is_shown_over_training_with_the_names_of_its_windows(planted):
    first, *endpoints = ClaimsChart.panels(planted)
    assert first.form == "rows"
    assert endpoints
    stops = [f"{stop:,.12g}" for stop in planted.planner.stops]
    windows = {f"early {stops[2]} to {stops[3]}", f"late {stops[5]} to {stops[6]}"}
    for panel in endpoints:
        _, _, words = panel.place.partition(f"Windows ({planted.planner.x.title}): ")
        assert words
        assert set(words.split("; ")) <= windows


def test_the_table_of_verdicts_is_there_without_a_script(browse, folder):
    page = browse(folder, script=False)
    rows = page.locator("table.verdicts tbody tr")
    assert not rows.first.is_visible(), "the claims are folded"
    page.locator("#claims > summary").click()
    assert rows.count() == 5
    assert "Sensitivity to noise falls" in page.locator("table.verdicts").inner_text()
    assert "not testable here" in rows.nth(4).inner_text()


def test_the_page_says_whether_runs_began_before_the_registration(planted, monkeypatch):
    def said(*began):
        origins = [replace(one, began=at) for one, at in zip(planted.results.origins, began, strict=True)]
        study = replace(planted, results=replace(planted.results, origins=tuple(origins)))
        return dict(origin_rows(study))["registration"]

    registered = Registration("a" * 40, "2026-11-26T06:16:58+00:00")
    monkeypatch.setattr(report_provenance, "registration", lambda *_: registered)
    early, late = "2026-11-26T06:00:00+00:00", "2026-11-26T07:00:00+00:00"
    assert "1 of 2 runs began before" in said(early, early, late), "a tuning run may begin earlier"
    assert "not recorded for 1 of 2 runs" in said(early, "", late)
    monkeypatch.setattr(report_provenance, "registration", lambda *_: None)
    assert "the commit is unknown" in said(early, early, late)
