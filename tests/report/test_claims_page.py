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
from hf_clipdyn.report.claims import claims_panel, verdict_rows, verdict_summary
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.provenance import Registration, origin_rows
from hf_clipdyn.report.style import figure_style
from hf_clipdyn.statistics.claims import EMBEDDED, registered_hash

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


@pytest.fixture
def claimed(study, read):
    """The study of the made-up rows with made-up verdicts."""
    return lambda make: judged(one := read(study()), *make(one))


def test_the_summary_counts_what_can_be_tested_and_what_came_out(claimed):
    several = claimed(
        lambda one: [
            made(one, 1, (0.2, 0.05), (0.4, 0.1)),
            made(one, 5, (0.2, 0.05)),
            made(one, 6, (0.0, 0.01), word="negligible"),
            made(one, 3, word="not testable here", cause="No people."),
        ]
    )
    assert verdict_summary(several) == (
        "These data can test 3 of 4 claims: 2 hold and 1 negligible. Claim 1 is a positive control, not "
        "evidence. They cannot decide the other 1."
    )


def test_where_nothing_is_decided_the_summary_says_why_once_and_what_it_takes(claimed):
    cause = "only seeds that tuned the world"
    tuning = claimed(
        lambda one: [
            made(one, 1, (0.2, 0.05), (0.4, 0.1), word="not testable here", cause=cause),
            made(one, 3, word="not testable here", cause="No people."),
        ]
    )
    assert verdict_summary(tuning) == (
        "These data cannot decide any of the 2 claims: only seeds that tuned the world. A verdict requires runs of the "
        "registered seeds (10, 11, 12, 13, 14). The estimates below come from the available runs; they decide "
        "nothing."
    )
    assert [one["cause"] for one in verdict_rows(tuning)] == ["", "No people."]


def test_a_row_has_the_verdict_its_contrasts_and_gates_in_words(claimed):
    gates = [
        ("accuracy twice chance", True, "passed in 5 runs"),
        ("pixels", None, "no baseline"),
        ("four", False, ""),
    ]
    (found,) = verdict_rows(
        claimed(lambda one: [made(one, 1, (0.2, 0.05), (0.1, 0.2), word="undecided", gates=gates)])
    )
    assert (found["number"], found["verdict"], found["marks"]) == (
        "1",
        "undecided",
        ["synthetic images", "positive control"],
    )
    assert found["seeds"] == "5 runs; scale tiny"
    first, second = found["parts"]
    assert (first["estimate"], first["level"], first["delta"]) == ("0.200 [0.150, 0.250]", "99 %", "0.05")
    assert (first["word"], second["word"], first["detectable"]) == ("holds", "", "0.147")
    assert [(gate["state"], gate["words"]) for gate in found["gates"]] == [
        ("passed", "in 5 runs"),
        ("not measured", "no baseline"),
        ("failed", ""),
    ]


def test_claims_without_an_estimate_come_last(claimed):
    rows = verdict_rows(
        claimed(
            lambda one: [
                made(one, 3, word="not testable here", cause="No people."),
                made(one, 5, (0.2, 0.05)),
            ]
        )
    )
    assert [one["number"] for one in rows] == ["5 by prompts", "3"]


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


def test_the_figure_has_a_row_for_each_contrast_in_units_of_its_smallest_effect(claimed):
    study = claimed(
        lambda one: [
            made(one, 1, (0.2, 0.05), (0.3, 0.15)),
            made(one, 5, (-0.03, 0.02), word="negligible"),
            made(one, 6, (math.nan, 0.0), word="not testable here"),
        ]
    )
    panel = claims_panel(study)
    assert [row.label for row in panel.rows] == [
        "1 texture bias early (0.5 - early): holds",
        "1 turn to shape (late - early): holds",
        "5 by prompts drop falls (early - late): undecided, below 0",
    ]
    assert [(row.value, row.low, row.high) for row in panel.rows] == [
        pytest.approx(ends) for ends in ((4, 3, 5), (2, 1, 3), (-0.6, -1, -0.2))
    ]
    assert {level.title: level.height for level in panel.levels} == {"−δ": -1, "no effect": 0, "δ": 1}
    assert panel.rows[2].words == "-0.030 [-0.050, -0.010] (5 runs), δ = 0.05: undecided, below 0"
    reach = panel.x.limits[1]
    assert reach == pytest.approx(5 * 1.08)
    with figure_style():
        drawn = ClaimsChart.draw(study, 6.0)
    assert drawn is not None
    assert len(drawn.axes) == 1
    wide = claims_panel(claimed(lambda one: [made(one, 5, (0.03, 2.0), word="undecided")]))
    assert wide.x.limits == (-6, 6), "an interval that says nothing does not shrink the others"
    (row,) = claims_panel(claimed(lambda one: [made(one, 5, (0.9, 0.1))])).rows
    assert (row.value, row.low, row.high) == (6, 6, 6)
    assert row.label.endswith(": holds (beyond the axis)")


def test_each_endpoint_is_shown_over_training_with_the_names_of_its_windows(planted):
    first, *endpoints = ClaimsChart.panels(planted)
    assert first.form == "rows"
    assert endpoints
    for panel in endpoints:
        names = [span.title for span in panel.spans]
        assert panel.place.endswith(f"shaded: {', '.join(names)}")
        stops = planted.planner.stops.tolist()
        found = {span.title: (stops.index(span.start), stops.index(span.end)) for span in panel.spans}
        windows = {"early": (2, 3), "late": (5, 6)}
        assert found == {name: windows[name] for name in names}


def test_without_any_estimate_there_is_no_figure(claimed):
    nothing = claimed(lambda one: [made(one, 5, (math.nan, 0.0), word="not testable here")])
    assert claims_panel(nothing) is None
    assert ClaimsChart.draw(nothing, 6.0) is None


def test_without_a_file_nothing_is_judged(read, study):
    one = read(study())
    assert (one.claims, one.judge, one.verdicts, one.arm_effects) == (None, None, [], [])
    assert 'id="claims"' not in render(one)
    assert "claims" not in dict(origin_rows(one.results.origins, one.judge))


def test_the_command_takes_a_file_of_claims_and_names_a_wrong_one(write, study, tmp_path, clipdyn):
    (tmp_path / "mine.yaml").write_text("level: two\n", encoding="utf-8")
    options = ["--output", tmp_path / "out", "--claims", tmp_path / "mine.yaml"]
    code, _, printed = clipdyn("report", write(study()), *options)
    assert code == 2
    assert printed.startswith("clipdyn: error: ")
    assert "mine.yaml" in printed


def test_the_page_says_what_was_recorded_and_whether_runs_began_before_the_registration(planted, monkeypatch):
    registered = Registration("a" * 40, "2026-11-26T06:16:58+00:00")
    monkeypatch.setattr(report_provenance, "registration", lambda *_: registered)
    tuning, first, second = planted.results.origins
    first = replace(first, packages=("0.2.0+" + "b" * 40 + ".dirty",), began="2026-11-26T06:00:00+00:00")
    late = "2026-11-26T07:00:00+00:00"

    def facts(*origins):
        return dict(origin_rows(origins, planted.judge, planted.claims_file))

    known = facts(replace(tuning, began="2026-11-25T00:00:00+00:00"), first, replace(second, began=late))
    assert known["registration"] == (
        "Registered in claims.yaml, commit aaaaaaaaaaaa of 2026-11-26 06:16:58 UTC. "
        "1 of 2 runs began before this commit."
    ), "a tuning run may begin earlier"
    assert (
        known["start of the runs (their first revision)"]
        == "2026-11-25 00:00:00 UTC to 2026-11-26 07:00:00 UTC"
    )
    assert (
        "0.2.0, commit bbbbbbbbbbbb, with changes that are not in the commit"
        in known["measured with hf_clipdyn"]
    )
    assert known["claims"] == f"embedded world, SHA-256 {registered_hash(planted.claims)}"
    partly = facts(tuning, second, replace(first, began=late, measured=late))
    assert (
        partly["start of the runs (their first revision)"]
        == "2026-11-26 07:00:00 UTC; not recorded for 2 of 3 runs"
    )
    assert partly["registration"].endswith("UTC. Start of the runs: not recorded for 1 of 2 runs.")
    old = facts()
    assert old["measured with hf_clipdyn"] == "commit not recorded"
    assert old["start of the measurements"] == "not recorded"
    assert old["registration"].endswith("UTC. Start of the runs: not recorded.")
    monkeypatch.setattr(report_provenance, "registration", lambda *_: None)
    assert facts()["registration"] == "Registered in claims.yaml; the commit is unknown."


def test_the_table_of_verdicts_is_there_without_a_script(browse, folder):
    page = browse(folder, script=False)
    rows = page.locator("table.verdicts tbody tr")
    assert not rows.first.is_visible(), "the claims are folded"
    page.locator("#claims > summary").click()
    assert rows.count() == 5
    assert "Sensitivity to noise falls" in page.locator("table.verdicts").inner_text()
    assert "not testable here" in rows.nth(4).inner_text()
