"""The page in a real browser: what it draws, what its slider and switches change, and what a reader can send."""

from dataclasses import replace

import pytest
from in_browser import choose, until
from result_rows import row, write_rows

from hf_clipdyn.benchmarks.registry import parse_benchmark, vocabulary
from hf_clipdyn.report import read_study
from hf_clipdyn.report.page.write import render

NOISE = '[id="noise-procedural"] .chart'
BIAS = '[id="shape-bias-procedural"] .chart'


@pytest.fixture(scope="session")
def page_of_scales(tmp_path_factory, study):
    """`page_of_scales(2)`: the page of two scales, two seeds each, and four revisions."""

    def make(count):
        runs = [(f"scale{number}", seed) for number in range(count) for seed in (0, 1)]
        rows = [
            replace(one, scale=scale, seed=seed)
            for place, (scale, seed) in enumerate(runs)
            for one in study(f"bench/{scale}-seed{seed}", shift=place / 100)
            if one.epoch < 4
        ]
        return render(read_study(write_rows(rows, tmp_path_factory.mktemp("scales") / "results.parquet")))

    return make


@pytest.fixture(scope="session")
def seeds_page(page_of_scales):
    return page_of_scales(2)


@pytest.fixture(scope="session")
def one_page(tmp_path_factory, study):
    """The page of one run with an early phase, values that are not interpretable, and undefined ones."""
    path = tmp_path_factory.mktemp("one") / "results.parquet"
    return render(read_study(write_rows([*study(), *study(dataset="cue_conflict")], path)))


def _show(page, place):
    """Bring a place into sight: the tab of a benchmark is opened first."""
    page.evaluate(
        """place => {
          const element = document.querySelector(place);
          const panel = element.closest(".benchmark[hidden]");
          if (panel) document.getElementById(`tab-${panel.id}`).click();
          requestAnimationFrame(() => requestAnimationFrame(() => element.scrollIntoView({behavior: "instant"})));
        }""",
        place,
    )


def _chart(page, selector):
    """Wait for a chart; its traces and layout, as Plotly holds them, and the marks over it."""
    _show(page, selector.partition(" ")[0])  # charts are drawn in sight only
    page.wait_for_selector(f"{selector} .main-svg")
    return page.evaluate(
        """selector => {
          const chart = document.querySelector(selector);
          const {data, layout} = chart;
          const seen = data.filter(({meta}) => ["on", "off"].includes(meta.seen) && meta.now);
          const lines = seen.filter(({meta}) => meta.kind === "line");
          const marks = seen.filter(({meta}) => ["hollow", "missing"].includes(meta.kind));
          return {
            lines: lines.map(({name, x, y, visible, text, line: {color}}) => ({name, x, y, visible, text, color})),
            marks: marks.map(({x, y, text, meta}) => ({kind: meta.kind, x, y, words: text})),
            x: layout.xaxis.title?.text, y: layout.yaxis.title?.text, ink: chart._fullLayout.font.color,
            rings: [...chart.querySelectorAll(".marks circle")].map(one => Number(one.dataset.x)),
          };
        }""",
        selector,
    )


def _ring(page, selector):
    """The places of the rings that mark the slider's revision."""
    return _chart(page, selector)["rings"]


def _settle(page):
    """Wait until the frames after a change are drawn and the address is written."""
    page.wait_for_timeout(250)


def test_the_page_draws_the_overview_and_says_in_words_what_each_chart_shows(browse, one_page):
    page = browse(one_page)
    page.locator("#overview").scroll_into_view_if_needed()
    page.wait_for_selector("#overview .main-svg")
    words = page.eval_on_selector_all("#overview .chart", "all => all.map(one => one.ariaLabel)")
    assert 4 <= len(words) <= page.locator("#overview figure").count()  # those in sight
    assert any("me/fixture: from 0.300 [0.260, 0.340] at epoch 1 to 0.840" in one for one in words)
    assert page.eval_on_selector_all("#overview .chart", "all => all.every(one => one.role === 'img')")


def test_a_value_that_is_not_interpretable_is_hollow_and_an_undefined_one_a_cross_with_its_cause(
    browse, one_page
):
    page = browse(one_page)
    marks = {one["kind"]: one for one in _chart(page, BIAS)["marks"]}
    assert (marks["hollow"]["x"], marks["hollow"]["y"]) == ([0], [0.48])
    drop = {one["kind"]: one for one in _chart(page, NOISE)["marks"]}["missing"]
    assert set(drop["x"]) == {0}
    assert "clean accuracy within its interval of chance" in drop["words"][0]


def test_hover_gives_value_interval_n_and_revision(browse, one_page):
    page = browse(one_page)
    _chart(page, BIAS)
    page.evaluate(f"Plotly.Fx.hover(document.querySelector('{BIAS}'), [{{curveNumber: 1, pointNumber: 1}}])")
    words = page.locator(f"{BIAS} .hovertext").first.text_content()
    assert words == "me/fixture0.300 [0.260, 0.340], n = 1,000 in 64 clustersepoch-001"


def test_one_slider_moves_every_chart_and_the_keyboard_moves_it(browse, seeds_page):
    page = browse(seeds_page)
    assert _ring(page, "#overview .chart") == [3, 3], "a mean of the seeds for each scale"
    drawn = (
        "document.querySelector('#overview .chart').on('plotly_afterplot', () => { window.drawn = true; })"
    )
    page.evaluate(drawn)
    page.focus("#training")
    page.keyboard.press("ArrowLeft")
    _settle(page)
    assert page.inner_text("#training-at") == "epoch 2"
    assert page.get_attribute("#training", "aria-valuetext") == "epoch 2"
    assert _ring(page, "#overview .chart") == [2, 2]
    assert page.evaluate("window.drawn") is None, "the slider moves marks and draws nothing"
    assert _ring(page, BIAS) == [2, 2]
    assert page.inner_text('[id="shape-bias-procedural"] .readout caption') == "At epoch 2"
    page.focus(BIAS)  # the arrows move the slider from a chart, too
    page.keyboard.press("ArrowLeft")
    _settle(page)
    assert _ring(page, BIAS) == [1, 1]


def test_every_switch_changes_the_chart_and_the_address_brings_the_view_back(browse, seeds_page):
    page = browse(seeds_page)
    before = _chart(page, NOISE)
    noise = page.locator('[id="noise-procedural"] [data-view="explorer"]')
    level = "sigma 0.4 of the pixel range"
    section = '#noise-procedural [data-view="explorer"]'
    choose(page, section, Metric="accuracy", Condition="Gaussian noise", Level=level)
    choose(page, "#bar", x_axis="samples")
    page.locator("#training").fill("1")
    _settle(page)
    after = _chart(page, NOISE)
    assert after["y"] != before["y"]
    assert after["x"] == "samples seen"
    assert after["lines"][0]["x"] == [0, 6400, 12800, 19200]
    assert "sigma 0.4" in noise.locator("figcaption").first.inner_text()
    fragment = page.url.split("#")[1]
    again = browse(seeds_page, fragment=fragment)
    assert _chart(again, NOISE) == after
    assert again.locator("#training").input_value() == "1"
    assert again.locator("#noise-procedural").get_by_label("Level", exact=True).input_value() == level


def test_seeds_are_a_line_each_or_one_mean_a_scale_with_an_interval_over_the_seeds(browse, seeds_page):
    page = browse(seeds_page, fragment="seeds=each")
    assert [one["name"] for one in _chart(page, BIAS)["lines"]] == ["scale0", "scale0", "scale1", "scale1"]
    choose(page, "#bar", Seeds="mean")
    _settle(page)
    lines = _chart(page, BIAS)["lines"]
    assert [one["name"] for one in lines] == ["scale0", "scale1"]
    assert "mean of 2 seeds, 95 &#37; interval over the seeds" in lines[0]["text"][1]
    assert "over the seeds, not over the items" in page.inner_text('[id="shape-bias-procedural"] .readout')


@pytest.mark.slow
def test_a_scale_that_is_switched_off_leaves_charts_and_readouts(browse, seeds_page):
    page = browse(seeds_page, fragment="seeds=each")
    _chart(page, BIAS)
    page.get_by_text("Axes and runs").click()
    page.get_by_role("checkbox", name="scale1", exact=True).uncheck()
    page.keyboard.press("Escape")
    _settle(page)
    assert [one["visible"] for one in _chart(page, BIAS)["lines"]] == [None, None, "legendonly", "legendonly"]
    assert page.locator('[id="shape-bias-procedural"] .readout tbody tr').count() == 2
    assert "hidden=bench/scale1-seed0%0A" in page.url
    page.locator(f"{BIAS} .legendtoggle").nth(1).click()  # the legend switches the same runs
    page.wait_for_timeout(600)  # Plotly waits for a second click
    page.get_by_text("Axes and runs").click()
    assert page.get_by_role("checkbox", name="scale1", exact=True).is_checked()


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
        assert _ring(page, NOISE) == [3, 3]
        assert page.locator("img").count() == 0
        assert page.get_by_label("x axis", exact=True).input_value() == "epoch"
        usual = usual or _chart(page, NOISE)
        assert _chart(page, NOISE) == usual


def test_ids_are_unique_and_every_link_arrives_within_the_page(browse, one_page):
    page = browse(one_page)
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(set(ids)) == len(ids)
    addresses = page.eval_on_selector_all("[href]", "all => all.map(one => one.getAttribute('href'))")
    assert {address for address in addresses if not address.startswith("data:")} <= {f"#{one}" for one in ids}


def _top(page, place):
    return page.evaluate("place => document.querySelector(place).getBoundingClientRect().top", place)


def test_an_address_with_a_place_alone_lands_there(browse, seeds_page):
    """As a link from elsewhere has it."""
    page = browse(seeds_page, fragment="evidence")
    until(page, "Math.abs(document.querySelector('#evidence').getBoundingClientRect().top - 60) <= 60")
    page.wait_for_timeout(1500)
    assert 0 <= _top(page, "#evidence") <= 120, "and it stays there while charts are drawn"


@pytest.mark.slow
def test_links_land_where_they_say_and_an_address_brings_back_the_place(browse, seeds_page):
    page = browse(seeds_page, fragment="t=1")
    page.locator("nav").get_by_text("Evidence").click()
    page.wait_for_timeout(1200)
    assert 0 <= _top(page, "#evidence") <= 120
    assert "t=1" in page.url
    assert "at=evidence" in page.url
    assert page.locator("#training").input_value() == "1"
    page.locator("#glance-3 figcaption a").click()  # sensitivity to noise
    page.wait_for_timeout(1200)
    assert "tab=noise-procedural" in page.url
    assert 0 <= _top(page, "#noise-procedural") <= 120
    page.evaluate("scrollTo(0, document.querySelector('#noise-procedural-explorer').offsetTop - 60)")
    page.wait_for_timeout(800)
    assert "at=noise-procedural-explorer" in page.url, "the address keeps the place that is in sight"
    again = browse(seeds_page, fragment=page.url.split("#")[1])
    again.wait_for_timeout(1200)
    assert 0 <= _top(again, "#noise-procedural-explorer") <= 120


@pytest.mark.parametrize("width", [390, pytest.param(1600, marks=pytest.mark.slow)])
def test_nothing_scrolls_sideways_and_no_chart_is_wider_than_the_page(browse, seeds_page, width):
    page = browse(seeds_page, width)
    _chart(page, NOISE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rights = page.eval_on_selector_all(
        ".chart .main-svg, .chart .marks text, select, #bar input",
        "all => all.map(one => one.getBoundingClientRect().right)",
    )
    assert max(rights) <= width


def test_dark_pages_have_dark_charts_and_follow_a_change(browse, one_page):
    page = browse(one_page, dark=True)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"
    dark = _chart(page, BIAS)
    assert (dark["ink"], dark["lines"][0]["color"]) == ("#e6e8eb", "#8fc8ff")
    page.emulate_media(color_scheme="light")
    _settle(page)
    light = _chart(page, BIAS)
    assert (light["ink"], light["lines"][0]["color"]) == ("#1f2328", "#0065fb")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_a_script_the_overview_and_the_tables_are_there(browse, one_page):
    page = browse(one_page, script=False)
    image = page.get_by_role("img", name="The study at a glance")
    assert image.bounding_box()["height"] > 200
    assert "me/fixture: from 0.300 [0.260, 0.340] at epoch 1 to 0.840" in image.get_attribute("alt")
    assert page.locator("noscript td", has_text="0.84 [0.80, 0.88]").first.bounding_box()["height"] > 10
    assert "This browser runs no scripts" in page.inner_text("noscript p")
    headings = page.locator("h2:visible, h3:visible").all_inner_texts()
    assert headings == ["At a glance", "Evidence"], "no heading without anything below it"
    page.locator("#measured summary").click()
    assert page.locator("#measured td").first.is_visible()
    assert not page.locator("#bar").is_visible()


def test_names_of_runs_and_metrics_are_shown_and_never_read_as_html(browse, read):
    name = "me/<img src=x onerror=alert(1)>&\"'</script>%{x}"
    rows = [
        row("glow/x<b>", "mean_<i>glow</i>", 0.5 + epoch / 10, 0.1, epoch=epoch, repo_id=other)
        for epoch in range(2)
        for other in (name, "$0", "#1", "@hue 1")
    ]
    page = browse(render(read(rows)))
    chart = _chart(page, ".benchmark .chart")
    assert page.locator("img, i:not(.swatch)").count() == 0
    assert page.inner_text(".readout th") == name
    assert page.inner_text("h1").startswith("4 runs")
    assert chart["y"] == "mean &#60;i&#62;glow&#60;/i&#62;"
    assert page.locator(".benchmark .ytitle").text_content() == "mean <i>glow</i>"
    assert page.locator(".benchmark .legendtext").all_text_contents() == [name, "$0", "#1", "@hue 1"]


def test_one_revision_is_a_forest_plot_without_trajectories_and_without_claims(browse, study, read):
    rows = [one for one in study() if one.revision == "epoch-005"]
    page = browse(render(read(rows)))
    table = page.locator("#overview .forest")
    assert "0.840 [0.800, 0.880]" in table.inner_text()
    assert table.locator("circle").count() == table.locator("tbody tr").count() > 2
    assert page.locator("#claims, #training").count() == 0
    assert table.bounding_box()["y"] < 500


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844)])
def test_the_first_screen_has_a_picture_and_the_bar_is_one_line(browse, one_page, width, height):
    page = browse(one_page, width)
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_selector("#overview .chart .main-svg")
    box = page.locator("#overview .chart").first.bounding_box()
    assert box["y"] + box["height"] <= height
    assert page.locator("#bar").bounding_box()["height"] <= 60
    if width == 1400:
        assert page.locator("#overview .chart").nth(3).bounding_box()["y"] < height


def test_a_chart_gives_its_numbers_its_picture_and_a_link_and_has_one_tab_stop(browse, one_page):
    page = browse(one_page, accept_downloads=True)
    _chart(page, BIAS)
    assert page.locator(".modebar").count() == 0
    figure = page.locator("#shape-bias-procedural figure").first
    stops = "all => all.filter(one => one.tabIndex >= 0 && one.checkVisibility()).length"
    assert figure.locator("a, button, select, summary, [tabindex]").evaluate_all(stops) == 1

    def saved(title):
        figure.locator(".tools summary").click()
        with page.expect_download() as download:
            figure.get_by_role("button", name=title).click()
        return download.value.path().read_text(encoding="utf-8")

    lines = saved("CSV").splitlines()
    assert lines[0] == "series,place,x,value,ci_low,ci_high,n,interpretable,note"
    assert lines[1] == "me/fixture,epoch-000,0,0.48,0.44,0.52,1000,false,"
    assert lines[2] == "me/fixture,epoch-001,1,0.3,0.26,0.34,1000,true,"
    page.locator("#shape-bias-procedural").get_by_text("The numbers behind this chart").click()
    table = page.locator("#shape-bias-procedural details tbody").inner_text()
    assert table.replace("\t", ",").splitlines() == lines[1:]
    picture = saved("SVG")
    assert picture.startswith("<svg")
    assert "<circle" in picture
    assert "no preference 0.5" in picture
    figure.locator(".tools summary").click()
    figure.get_by_role("button", name="Link").click()
    assert page.url.endswith("at=shape-bias-procedural-explorer")


@pytest.mark.slow
def test_on_paper_every_benchmark_has_its_charts_in_the_colours_of_paper(browse, seeds_page):
    page = browse(seeds_page, dark=True)
    page.wait_for_selector("#overview .main-svg")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".benchmark:visible").count() == 4
    empty = page.locator(".slot").evaluate_all(
        "all => all.filter(one => one.offsetParent && !one.querySelector('.main-svg')).length"
    )
    assert empty == 0
    ink = page.evaluate("document.querySelector('.benchmark .chart')._fullLayout.font.color")
    assert ink == "#1f2328"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".benchmark:visible").count() == 1
    assert page.pdf().startswith(b"%PDF")


def test_tab_reaches_the_skip_link_first_and_the_benchmarks_before_the_evidence(browse, one_page):
    page = browse(one_page)
    page.wait_for_selector("#overview .main-svg")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    order = page.evaluate(
        """() => [...document.querySelectorAll("a, button, select, summary, input, [tabindex='0']")]
          .filter(one => one.tabIndex >= 0 && one.checkVisibility()).map(one => one.closest("section[id]")?.id ?? "")"""
    )
    assert order.index("shape-bias-cue-conflict") < order.index("evidence")
    page.keyboard.press("Enter")
    page.locator(".tabs input").first.focus()
    page.keyboard.press("ArrowRight")
    _settle(page)
    assert page.locator(".tabs input").nth(1).is_checked()
    assert page.locator(".benchmark").nth(1).is_visible()


def test_a_span_that_nobody_measured_is_a_gap_and_what_a_kind_hides_has_no_mark(browse, tmp_path):
    epochs = (0, 1, 2, 3, 9)
    rows = [row("zero_shot/cifar10", "top1", 0.1 * epoch, 0.02, epoch=epoch) for epoch in epochs]
    kappa = "classification/model_vs_human", "error_consistency"
    rows += [row(*kappa, 0.1 * epoch, 0.02, epoch=epoch, interpretable=epoch > 1) for epoch in epochs]
    words = vocabulary(map(parse_benchmark, ("zero_shot/cifar10", "classification/model_vs_human")))
    page = browse(render(read_study(write_rows(rows, tmp_path / "results.parquet", words))))
    (line,) = _chart(page, "#zero-shot-cifar10 .chart")["lines"]
    assert line["x"] == [0, 1, 2, 3, None, 9]
    assert line["y"][4] is None
    hidden = _chart(page, "#classification-model-vs-human .chart")
    assert (hidden["lines"][0]["y"][:2], hidden["marks"]) == ([None, None], [])


def _labels_overlap(page):
    return page.evaluate(
        """() => [...document.querySelectorAll(".chart .marks")].flatMap(marks => {
          const boxes = [...marks.querySelectorAll("text")].map(one => one.getBoundingClientRect());
          boxes.sort((a, b) => a.top - b.top);
          return boxes.slice(1).map((box, i) => boxes[i].bottom - box.top);
        }).filter(over => over > 4)"""
    )


@pytest.mark.slow
def test_many_groups_have_a_chart_each_with_labels_that_do_not_overlap(browse, page_of_scales):
    page = browse(page_of_scales(5))
    page.wait_for_selector("#overview .main-svg")
    assert page.locator("#overview figure").count() == 5
    second = "document.querySelectorAll('#overview .chart')[1]"
    until(page, f"{second}?.data")
    assert (
        page.evaluate(
            f"{second}.data.filter(({{meta}}) => meta.kind === 'line' && meta.seen !== 'thin').length"
        )
        == 2
    ), "its mean, and the main one in grey"
    assert _labels_overlap(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("form", ["seeds_page", "one_page"])
def test_axe_finds_nothing(browse, violations, request, form, dark):
    page = browse(request.getfixturevalue(form), dark=dark)
    page.wait_for_selector("#overview .main-svg")
    page.evaluate("document.querySelectorAll('details.fold').forEach(one => { one.open = true; })")
    page.wait_for_timeout(500)
    assert violations(page) == []
