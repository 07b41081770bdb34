"""The claims on the page: the table of verdicts, the figure and the specification curves, as data and in a browser."""

import json
import re
from dataclasses import replace

import pytest
from made_verdicts import judged, made
from planted import Planted, Run, ramp, turn, write_study
from result_rows import row

from hf_clipdyn.report import provenance as report_provenance
from hf_clipdyn.report import read_study, write_report
from hf_clipdyn.report.claims import payload, verdict_rows, verdict_summary
from hf_clipdyn.report.page.payload import payload as page_payload
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.provenance import Registration, origin_rows
from hf_clipdyn.statistics.claims import registered_hash

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
    return read_study(table)


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
            made(one, 2, (0.0, 0.01), (0.0, 0.01), word="negligible"),
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
        1,
        "undecided",
        ["synthetic images", "positive control"],
    )
    assert found["seeds"] == "5 runs; scale tiny"
    first, second = found["parts"]
    assert (first["estimate"], first["level"], first["delta"]) == ("0.200 [0.150, 0.250]", "99 %", "0.05")
    assert (first["word"], second["word"], first["detectable"]) == ("holds", "", "0.139")
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
    assert [one["number"] for one in rows] == [5, 3]


def test_the_payload_is_json_without_nan_and_has_each_run_of_a_panel(planted):
    found = payload(planted)
    json.dumps(found, allow_nan=False)
    (bias, *_) = found["panels"]
    assert bias["title"] == "shape bias"
    assert {one["run"] for one in bias["courses"]} == set(planted.runs)
    assert [one["number"] for panel in found["panels"] for one in panel["contrasts"]][:2] == [1, 2]


def test_a_title_says_which_number_it_is(planted):
    """The drop of a claim is a mean over levels; that of the first screen is at one level."""
    titles = [one["title"] for one in payload(planted)["panels"]]
    assert len(set(titles)) == len(titles)
    drop = next(title for title in titles if "drop" in title)
    assert "mean of sigma" in drop
    shown = [one["title"] for one in page_payload(planted)["overview"]]
    assert any("drop" in title and "sigma 0.2" in title for title in shown)
    assert not set(shown) & {drop}


def test_a_curve_is_sorted_and_has_the_registered_contrast_as_the_verdict_has_it(planted):
    claim = next(one for one in payload(planted)["curves"] if one["number"] == 5)
    verdict = next(one for one in planted.verdicts if one.claim.number == 5)
    (part,) = claim["parts"]
    values = [one["v"] for one in part["rows"]]
    assert values == sorted(values)
    assert len(values) > 5
    (registered,) = [one for one in part["rows"] if one["registered"]]
    assert registered["v"] == pytest.approx(verdict.parts[0].estimate.value, rel=1e-4)
    assert registered["c"] == [0] * len(part["choices"])
    assert all(
        max(one["c"][at] for one in part["rows"]) < len(options)
        for at, (_, options) in enumerate(part["choices"])
    )


def test_without_an_endpoint_of_the_claims_there_is_neither_payload_nor_section(read):
    study = read([row("zero_shot/cifar10", "top1", 0.5, 0.1)])
    assert payload(study) is None
    assert 'id="claims"' not in render(study)


def test_a_claim_from_a_file_cannot_break_the_page(write, study, tmp_path):
    file = tmp_path / "claims.yaml"
    endpoint = {"kind": "shape_bias", "dataset": "procedural", "metric": "shape_bias"}
    contrast = {"title": _HOSTILE, "endpoint": endpoint, "weights": {"late": 1}, "smallest_effect": 0.1}
    claim = {"number": 1, "title": _HOSTILE, "studies": {"mine": {"parts": [{"contrast": contrast}]}}}
    content = {
        "level": 0.05,
        "windows": [{"name": "late", "start": 0.9, "end": 1.0}],
        "studies": {"mine": {"title": "mine", "deviations": [_HOSTILE]}},
        "claims": [claim],
    }
    file.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    page = write_report(write(study()), tmp_path / "report", claims=file, figures=False).read_text(
        encoding="utf-8"
    )
    assert _HOSTILE not in page
    shown = "&lt;/script&gt;&lt;b&gt;&amp;&#34;&#39;"
    assert re.search(
        f'Deviations from the registered plan</h3>\n<ul class="facts"><li>Claim 1: {shown}</li>', page
    )


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
        results = replace(planted.results, origins=origins)
        return dict(origin_rows(results, planted.evidence))

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
    assert known["claims"] == f"study world, SHA-256 {registered_hash(planted.claims, 'world')}"
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
    elsewhere = replace(planted.evidence, claims=replace(planted.claims, source="/home/me/mine.yaml"))
    words = dict(origin_rows(planted.results, elsewhere))["registration"]
    assert words.startswith("Registered in mine.yaml; "), "a page is passed on, the folder is of this machine"


def test_the_page_has_the_facts_where_it_says_how_it_was_measured(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert re.search(r"start of the runs \(their first revision\)</th><td>not recorded</td>", page)
    assert page.count("Registered in claims.yaml") == 2, "there, and for the specification curves"


def test_the_table_of_verdicts_is_there_without_a_script(browse, folder):
    page = browse(folder, script=False)
    rows = page.locator("table.verdicts tbody tr")
    assert not rows.first.is_visible(), "the claims are folded"
    page.locator("#claims > summary").click()
    assert rows.count() == 8
    assert "Sensitivity to noise falls" in page.locator("table.verdicts").inner_text()
    assert "not testable here" in rows.nth(7).inner_text()
    assert "minimum detectable effects" in page.locator("#claims .facts li").first.inner_text()


@pytest.mark.parametrize(
    ("width", "dark"),
    [(1400, False), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((1400, True), (390, False)))],
)
def test_the_figure_and_the_curves_are_drawn_and_nothing_is_wider_than_the_page(browse, folder, width, dark):
    page = browse(folder, width, dark=dark)
    for fold in ("claims-figure", "specifications"):
        page.locator(f"#{fold} > summary").click()
        page.locator(f"#{fold} figure").first.scroll_into_view_if_needed()
        page.wait_for_selector(f"#{fold} .slot .main-svg")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    labels = page.locator("#claims-figure [role=img]").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    assert any("from" in label and "tiny" in label for label in labels)
    assert any("delta 0.05" in label for label in labels)
    ticks = "one => one.layout.yaxis2.ticktext.some(text => /: *$/.test(text))"
    assert not page.evaluate(f"[...document.querySelectorAll('#specifications .chart')].some({ticks})")


_COURSE = "document.querySelector('#claims-figure .slot')"


def test_the_figure_of_the_claims_follows_the_slider_and_the_axis(browse, folder):
    page = browse(folder, fragment="at=claims-figure&x=epoch")
    page.wait_for_selector("#claims-figure .slot .main-svg")
    assert page.evaluate(f"{_COURSE}.layout.xaxis.title.text") == "epoch"
    ring = f"Number({_COURSE}.querySelector('.marks circle').dataset.x)"
    last = page.evaluate(ring)
    assert page.evaluate(
        f"{_COURSE}.layout.shapes.filter(one => one.type === 'rect').every(one => one.x1 <= {last})"
    )
    page.locator("#training").fill("1")
    page.wait_for_timeout(200)
    assert page.evaluate(ring) < last


def test_a_run_that_is_switched_off_leaves_the_figure(browse, folder, planted):
    gone = planted.runs[1]
    page = browse(folder, fragment=f"seeds=each&hidden={gone.replace('/', '%252F')}")
    page.locator("#claims-figure > summary").click()
    page.wait_for_selector("#claims-figure .claim-row .slot .main-svg")
    chart = "document.querySelector('#claims-figure .claim-row .slot')"
    shown = f"{chart}.data.filter(one => one.visible !== 'legendonly').flatMap(one => one.hovertext ?? [])"
    words = " ".join(page.evaluate(shown))
    assert gone not in words
    assert all(run in words for run in set(planted.runs) - {gone})
