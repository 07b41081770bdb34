"""The page in a real browser: what it draws, what its slider and switches change, and what a reader can send."""

import importlib.util
import re

import pytest
from result_rows import row, write_rows

from hf_clipdyn.report import read_study
from hf_clipdyn.report.page.write import render

NOISE = '[id="noise-procedural"] .chart'
BIAS = '[id="shape-bias-procedural"] .chart'


@pytest.fixture(scope="session")
def seeds_page(tmp_path_factory, checkout):
    """The page of a synthetic study of two scales, two seeds each, and four revisions."""
    spec = importlib.util.spec_from_file_location("bench_report", checkout / "scripts" / "bench_report.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    path = tmp_path_factory.mktemp("seeds") / "results.parquet"
    return render(read_study(bench.write_table(path, scales=2, seeds=2, revisions=4)))


@pytest.fixture(scope="session")
def one_page(tmp_path_factory, study):
    """The page of one run with an early phase, values that are not interpretable, and undefined ones."""
    path = tmp_path_factory.mktemp("one") / "results.parquet"
    return render(read_study(write_rows([*study(), *study(dataset="cue_conflict")], path)))


def _chart(page, selector):
    """Wait for a chart; its traces and layout, as Plotly holds them."""
    page.locator(
        selector.partition(" ")[0]
    ).first.scroll_into_view_if_needed()  # charts are drawn in sight only
    page.wait_for_selector(f"{selector} .main-svg")
    return page.evaluate(
        """selector => {
          const {data, layout} = document.querySelector(selector);
          return {
            lines: data.filter(one => one.meta).map(({name, x, y, visible, hovertext, line}) =>
              ({name, x, y, visible, hovertext, colour: line.color})),
            marks: data.filter(one => !one.meta).map(({name, x, y, hovertext, marker}) =>
              ({name, x, y, hovertext, marker})),
            x: layout.xaxis.title?.text, y: layout.yaxis.title?.text, ink: layout.font.color,
            notes: (layout.annotations ?? []).map(one => one.text),
          };
        }""",
        selector,
    )


def _ring(page, selector):
    """The places of the rings that mark the slider's revision."""
    return next(one["x"] for one in _chart(page, selector)["marks"] if one["name"] is None and one["marker"])


def _settle(page):
    """Wait until the frames after a change are drawn and the address is written."""
    page.wait_for_timeout(250)


def test_the_page_draws_the_overview_and_says_in_words_what_each_chart_shows(browse, one_page):
    page = browse(one_page)
    page.locator("#overview").scroll_into_view_if_needed()
    page.wait_for_selector("#overview .main-svg")
    words = page.eval_on_selector_all("#overview .chart", "all => all.map(one => one.ariaLabel)")
    assert 4 <= len(words) <= page.locator("#overview figure").count()  # those in sight
    assert any("me/fixture: from 0.300 [0.260, 0.340] at epoch-001 to 0.840" in one for one in words)
    assert page.eval_on_selector_all("#overview .chart", "all => all.every(one => one.role === 'img')")


def test_a_value_that_is_not_interpretable_is_hollow_and_an_undefined_one_a_cross_with_its_cause(
    browse, one_page
):
    page = browse(one_page)
    marks = {one["name"]: one for one in _chart(page, BIAS)["marks"]}
    assert (marks["not interpretable"]["x"], marks["not interpretable"]["y"]) == ([0], [0.48])
    drop = {one["name"]: one for one in _chart(page, NOISE)["marks"]}["not defined"]
    assert set(drop["x"]) == {0}
    assert "clean accuracy within its interval of chance" in re.sub("<br>", " ", drop["hovertext"][0])


def test_hover_gives_value_interval_n_and_revision(browse, one_page):
    line = _chart(browse(one_page), BIAS)["lines"][0]
    assert line["hovertext"][1] == (
        "<b>me/fixture</b><br>0.300 [0.260, 0.340]<br>n = 1,000 in 64 clusters, epoch-001"
    )


@pytest.mark.slow
def test_people_of_the_literature_and_the_neutral_value_are_named_lines(browse, one_page):
    notes = _chart(browse(one_page), '[id="shape-bias-cue-conflict"] .chart')["notes"]
    assert {"humans 0.959", "even 0.5"} <= set(notes)


@pytest.mark.slow
def test_with_one_run_the_lines_are_the_levels_and_a_choice_splits_otherwise(browse, one_page):
    page = browse(one_page)
    assert [one["name"] for one in _chart(page, NOISE)["lines"]] == [
        f"sigma {level}" for level in (0.05, 0.1, 0.2, 0.4)
    ]
    page.locator('[id="noise-procedural"]').get_by_label("One line per", exact=True).select_option("run")
    _settle(page)
    assert [one["name"] for one in _chart(page, NOISE)["lines"]] == ["me/fixture"]
    assert page.locator('[id="noise-procedural"]').get_by_label("Level", exact=True).input_value() == "0.2"


def test_one_slider_moves_every_chart_and_the_keyboard_moves_it(browse, seeds_page):
    page = browse(seeds_page)
    assert _ring(page, "#overview .chart") == [3, 3, 3, 3]
    page.focus("#training")
    page.keyboard.press("ArrowLeft")
    _settle(page)
    assert page.inner_text("#training-at") == "epoch 2"
    assert page.get_attribute("#training", "aria-valuetext") == "epoch 2"
    assert _ring(page, "#overview .chart") == [2, 2, 2, 2]
    assert _ring(page, BIAS) == [2, 2, 2, 2]
    assert page.inner_text('[id="shape-bias-procedural"] .readout caption') == "At epoch 2"
    page.focus(BIAS)  # the arrows move the slider from a chart, too
    page.keyboard.press("ArrowLeft")
    _settle(page)
    assert _ring(page, BIAS) == [1, 1, 1, 1]


def test_every_switch_changes_the_chart_and_the_address_brings_the_view_back(browse, seeds_page):
    page = browse(seeds_page)
    before = _chart(page, NOISE)
    noise = page.locator('[id="noise-procedural"] [data-view="explorer"]')
    noise.get_by_label("Metric", exact=True).select_option("accuracy")
    noise.get_by_label("Condition", exact=True).select_option("gaussian")
    noise.get_by_label("Level", exact=True).select_option("0.3")
    page.get_by_label("x axis", exact=True).select_option("samples")
    page.locator("#training").fill("1")
    _settle(page)
    after = _chart(page, NOISE)
    assert after["y"] != before["y"]
    assert after["x"] == "samples seen"
    assert after["lines"][0]["x"] == [0, 25600, 51200, 76800]
    assert "sigma 0.3" in noise.locator("h3").first.inner_text()
    fragment = page.url.split("#")[1]
    again = browse(seeds_page, fragment=fragment)
    assert _chart(again, NOISE) == after
    assert again.locator("#training").input_value() == "1"
    assert again.locator('[id="noise-procedural"]').get_by_label("Level", exact=True).input_value() == "0.3"


def test_the_mean_over_seeds_is_one_line_a_scale_with_an_interval_over_the_seeds(browse, seeds_page):
    page = browse(seeds_page)
    each = _chart(page, BIAS)["lines"]
    assert [one["name"] for one in each] == ["scale0", "scale0", "scale1", "scale1"]
    page.get_by_label("Seeds", exact=True).select_option("mean")
    _settle(page)
    lines = _chart(page, BIAS)["lines"]
    assert [one["name"] for one in lines] == ["scale0", "scale1"]
    assert lines[0]["y"][0] == pytest.approx((each[0]["y"][0] + each[1]["y"][0]) / 2)
    assert "mean of 2 seeds, 95 % interval over the seeds" in lines[0]["hovertext"][0]
    half = 12.706 * abs(each[0]["y"][0] - each[1]["y"][0]) / 2
    low = float(re.search(r"\[(-?[\d.]+),", lines[0]["hovertext"][0])[1])
    assert low == pytest.approx(lines[0]["y"][0] - half, abs=1e-3)
    assert "over the seeds, not over the items" in page.inner_text('[id="shape-bias-procedural"] .readout')


@pytest.mark.slow
def test_a_scale_that_is_switched_off_leaves_charts_and_readouts(browse, seeds_page):
    page = browse(seeds_page)
    page.get_by_role("checkbox", name="scale1", exact=True).uncheck()
    _settle(page)
    assert [one["visible"] for one in _chart(page, BIAS)["lines"]] == [True, True, "legendonly", "legendonly"]
    assert page.locator('[id="shape-bias-procedural"] .readout tbody tr').count() == 2
    assert "hidden=bench%252Fscale1-seed0" in page.url
    page.locator(f"{BIAS} .legendtoggle").nth(1).click()  # the legend switches the same runs
    page.wait_for_timeout(600)  # Plotly waits for a second click
    assert page.get_by_role("checkbox", name="scale1", exact=True).is_checked()


@pytest.mark.slow
def test_over_the_levels_the_curve_is_that_of_the_sliders_revision(browse, seeds_page):
    page = browse(seeds_page)
    _chart(page, NOISE)
    noise = page.locator('[id="noise-procedural"]')
    noise.get_by_label("Over", exact=True).select_option("levels")
    _settle(page)
    last = _chart(page, NOISE)
    assert last["lines"][0]["x"] == [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert last["x"].startswith("sigma")
    page.locator("#training").fill("0")
    _settle(page)
    first = _chart(page, NOISE)
    assert first["lines"][0]["y"] != last["lines"][0]["y"]
    assert "epoch-000" in first["lines"][0]["hovertext"][0]


@pytest.mark.slow
def test_the_numbers_behind_a_chart_are_a_table_with_headings(browse, one_page):
    page = browse(one_page)
    _chart(page, BIAS)
    section = page.locator('[id="shape-bias-procedural"]')
    assert section.locator("details table").count() == 0
    section.get_by_text("The numbers behind this chart").click()
    section.locator("details table").wait_for()
    rows = [line.split("\t") for line in section.locator("details tbody").inner_text().splitlines()]
    assert rows[0] == ["epoch-000", "0.480 [0.440, 0.520], not interpretable"]
    assert rows[5] == ["epoch-005", "0.840 [0.800, 0.880]"]
    assert section.locator("details thead th").all_inner_texts()[1].splitlines() == [
        "me/fixture",
        "n = 1,000",
    ]


HOSTILE = (
    "__proto__=1&constructor=2&t=999&x=javascript:alert(1)&seeds=all&hidden=%E0%A4%A,%25E0%25A4",
    "noise/procedural.metric=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E&t=-1&at=%3Cscript%3E",
    "t=1e9&t=NaN&=&&&=x&noise/procedural.split=level%00",
    "x" * 9000,
)


def test_a_hostile_address_shows_the_usual_view(browse, seeds_page):
    page = browse(seeds_page, fragment=HOSTILE[0])
    usual = None
    for fragment in HOSTILE:
        page.evaluate("fragment => { location.hash = fragment }", fragment)
        _settle(page)
        assert _ring(page, NOISE) == [3, 3, 3, 3]
        assert page.locator("img").count() == 0
        assert page.get_by_label("x axis", exact=True).input_value() == "epoch"
        usual = usual or _chart(page, NOISE)
        assert _chart(page, NOISE) == usual


@pytest.mark.slow
def test_links_within_the_page_leave_the_state_in_the_address(browse, seeds_page):
    page = browse(seeds_page, fragment="t=1")
    page.locator("nav").get_by_text("Sensitivity to noise").click()
    _settle(page)
    assert "t=1" in page.url
    assert "at=noise-procedural" in page.url
    assert page.locator("#training").input_value() == "1"


@pytest.mark.parametrize("width", [390, pytest.param(1600, marks=pytest.mark.slow)])
def test_nothing_scrolls_sideways_and_no_chart_is_wider_than_the_page(browse, seeds_page, width):
    page = browse(seeds_page, width)
    _chart(page, NOISE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rights = page.eval_on_selector_all(
        ".chart .main-svg, select, #bar input", "all => all.map(one => one.getBoundingClientRect().right)"
    )
    assert max(rights) <= width


def test_dark_pages_have_dark_charts_and_follow_a_change(browse, one_page):
    page = browse(one_page, dark=True)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"
    dark = _chart(page, BIAS)
    assert (dark["ink"], dark["lines"][0]["colour"]) == ("#e6e8eb", "#8fc8ff")
    page.emulate_media(color_scheme="light")
    _settle(page)
    light = _chart(page, BIAS)
    assert (light["ink"], light["lines"][0]["colour"]) == ("#1f2328", "#0065fb")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_a_script_the_overview_and_the_tables_are_there(browse, one_page):
    page = browse(one_page, script=False)
    image = page.get_by_role("img", name="The study at a glance")
    assert image.bounding_box()["height"] > 200
    assert page.locator("noscript td", has_text="0.84 [0.80, 0.88]").first.bounding_box()["height"] > 10
    assert "This browser runs no scripts" in page.inner_text("noscript p")
    assert not page.locator("#bar").is_visible()


def test_names_of_runs_and_metrics_are_shown_and_never_read_as_html(browse, tmp_path):
    name = "me/<img src=x onerror=alert(1)>&\"'</script>%{x}"
    rows = [
        row("glow/x<b>", "mean_<i>glow</i>", 0.5 + epoch / 10, 0.1, epoch=epoch, repo_id=other)
        for epoch in range(2)
        for other in (name, "me/b")
    ]
    page = browse(render(read_study(write_rows(rows, tmp_path / "results.parquet"))))
    chart = _chart(page, ".benchmark .chart")
    assert page.locator("img, i:not(.swatch)").count() == 0
    assert page.inner_text(".readout th") == name
    assert page.inner_text("h1") == "Training dynamics of 2 runs"
    assert chart["y"] == "mean &#60;i&#62;glow&#60;/i&#62;"
    assert page.locator(".benchmark .ytitle").text_content() == "mean <i>glow</i>"
    assert page.locator(".benchmark .legendtext").first.text_content() == name


@pytest.mark.slow
def test_models_of_one_revision_are_dots_with_their_intervals(browse, tmp_path):
    rows = [
        row("zero_shot/cifar10", "top1", value, 0.1, repo_id=f"me/{name}", epoch=None, revision="main")
        for name, value in (("a", 0.5), ("b", 0.7))
    ]
    rows += [
        row("zero_shot/cifar10", "top1", 0.1, role="chance", repo_id="me/a", epoch=None, revision="main")
    ]
    page = browse(render(read_study(write_rows(rows, tmp_path / "results.parquet"))))
    marks = [one for one in _chart(page, ".benchmark .chart")["marks"] if one["x"]]
    assert [(one["x"], one["y"]) for one in marks] == [([0.5], ["me/a"]), ([0.7], ["me/b"])]
    assert page.locator("#training").count() == 0
    assert page.inner_text("h1") == "Measurements of 2 runs"
