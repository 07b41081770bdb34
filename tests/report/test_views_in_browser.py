"""The views of decisions, layers and curves in a real browser: what the slider and the choices change."""

import re

import pytest
from in_browser import until
from planted_study import EPOCHS, HOSTILE, write_study

from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.study import read_study

KEY = "shape_bias/cue_conflict"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of two runs with all views."""
    folder = tmp_path_factory.mktemp("views")
    return render(read_study(write_study(folder, runs=("me/planted", "me/other"))), stimuli="none")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The page of three models of one revision each."""
    table = write_study(tmp_path_factory.mktemp("models"), runs=("me/a", "me/b", "me/<c>"), epochs=(2,))
    return render(read_study(table), stimuli="none")


OPEN = """async ([name, nth]) => {
  // Benchmarks are tabs, and stimuli have a choice of their own: what hides the view is opened.
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const place = () => document.querySelectorAll(`[data-view="${name}"]`)[nth];
  const select = document.querySelector("#stimuli select");
  const ways = [
    ...[...document.querySelectorAll("[role=tab]")].map((tab) => () => tab.click()),
    ...[...select?.options ?? []].map(({ value }) => () => {
      select.value = value;
      select.dispatchEvent(new Event("change"));
    }),
  ];
  for (const again of [false, true]) {
    for (const way of ways) {
      if (again && place()?.checkVisibility()) return;
      way();
      await frame();
    }
  }
}"""


def view(page, name, nth=0):
    """The chart of a view, drawn."""
    place = page.locator(f'[data-view="{name}"]').nth(nth)
    page.evaluate(OPEN, [name, nth])
    place.scroll_into_view_if_needed()
    chart = place.locator(".js-plotly-plot").first
    chart.wait_for()
    return chart


def stop(page, t):
    page.locator("#training").fill(str(t))
    page.wait_for_timeout(80)


def label(chart):
    return chart.get_attribute("aria-label")


def data(chart, script):
    return chart.evaluate(f"(plot) => {script}")


def test_the_slider_changes_the_matrix_and_the_choice_of_the_cue_does(browse, site):
    page = browse(site)
    chart = view(page, "confusion")
    last = label(chart)
    assert "by shape" in last
    assert f"epoch-00{EPOCHS - 1}" in last
    shown = data(chart, "plot.data[0].z.map((row, i) => row[i])")
    stop(page, 0)
    until(page, "document.querySelector('[data-view=confusion] .chart').ariaLabel.includes('epoch-000')")
    assert "epoch-000" in label(chart)
    first = data(chart, "plot.data[0].z.map((row, i) => row[i])")
    assert sum(first) < sum(shown), "the shape decides more often at the end"
    assert data(chart, "plot.data[0].z.every((row) => Math.abs(row.reduce((a, b) => a + b, 0) - 1) < 1e-9)")
    page.locator('[data-view="confusion"]').first.locator("select").first.select_option("1")
    until(page, "document.querySelector('[data-view=confusion] .chart').ariaLabel.includes('by texture')")
    until(page, "location.hash.includes('confusion.by=1')")


@pytest.mark.slow
def test_people_have_a_matrix_of_their_own(browse, site):
    page = browse(site, fragment=f"{KEY}.confusion.whose=people")
    assert "people" in label(view(page, "confusion"))


@pytest.mark.slow
def test_the_classes_show_the_model_its_past_every_observer_and_their_mean(browse, site):
    page = browse(site)
    chart = view(page, "categories")
    names = data(chart, "plot.data.map((trace) => trace.name)")
    assert names.count("each observer") == 3
    assert names.count("earlier revisions") == EPOCHS - 1
    assert "mean of the observers" in names
    assert names[-1] == f"epoch-00{EPOCHS - 1}"
    before = data(chart, "plot.data.at(-1).x")
    stop(page, 0)
    until(
        page,
        "document.querySelector('[data-view=categories] .js-plotly-plot').data.at(-1).name === 'epoch-000'",
    )
    assert data(chart, "plot.data.at(-1).x") != before
    assert "people" in label(chart)


def test_the_curves_of_the_noise_have_a_line_an_epoch_and_the_threshold(browse, site):
    page = browse(site, fragment="noise/cifar10.curves.metric=accuracy")
    chart = view(page, "curves")
    names = data(chart, "plot.data.map((trace) => trace.name)")
    assert [name for name in names if str(name).startswith("epoch-")][-1] == f"epoch-00{EPOCHS - 1}"
    bold = data(chart, "plot.data.find((trace) => trace.line && trace.line.width > 3)")
    assert bold["name"] == f"epoch-00{EPOCHS - 1}"
    assert bold["x"] == [0, 0.05, 0.1, 0.2, 0.4]
    threshold = data(
        chart,
        "plot.layout.shapes.find((one) => one.line && one.line.dash === 'dash' && one.x0 === one.x1).x0",
    )
    assert 0.1 < threshold < 0.3
    assert "threshold" in label(chart)
    stop(page, 0)
    until(
        page, "document.querySelector('[data-view=curves] .js-plotly-plot').ariaLabel.includes('epoch-000')"
    )
    assert "No threshold" in page.locator('[data-view="curves"] .quiet').first.inner_text()
    beside = page.locator('[data-view="curves"]').first.locator(".js-plotly-plot").nth(1)
    assert "noise threshold" in label(beside)


@pytest.mark.slow
def test_the_contrasts_of_equal_response_have_a_line_an_epoch_and_people_in_bold(browse, site):
    page = browse(site)
    chart = view(page, "curves", 1)
    human = data(chart, "plot.data.find((trace) => trace.meta && trace.meta.human)")
    assert human["line"]["width"] == 3
    assert data(chart, "[plot.layout.xaxis.type, plot.layout.yaxis.type]") == ["log", "log"]


@pytest.mark.slow
def test_psychometric_curves_cross_the_criterion_where_the_contrast_is_marked(browse, site):
    page = browse(site)
    chart = view(page, "psychometric")
    words = label(chart)
    assert "People need" in words
    assert "The model needs" in words
    place = page.locator('[data-view="psychometric"]').first
    page.evaluate("window.was = document.querySelector('[data-view=psychometric] .chart').ariaLabel")
    select = place.get_by_label("Condition")
    assert select.locator("option").count() > 5
    select.select_option(index=1)
    until(page, "document.querySelector('[data-view=psychometric] .chart').ariaLabel !== window.was")


def test_the_layers_are_a_heat_map_whose_undefined_cells_say_why(browse, site):
    page = browse(site)
    chart = view(page, "heatmap")
    assert data(chart, "plot.data[0].z.length") == 2
    assert data(chart, "plot.data[0].z[1][0]") is None
    causes = data(chart, "plot.data[1].hovertext")
    assert len(causes) == 1
    assert "the distance that sets the criterion is 0" in causes[0]
    frame = "Number(plot.querySelector('.marks rect').getAttribute('x'))"
    last = data(chart, frame)
    stop(page, 1)
    until(
        page,
        f"((plot) => {frame} < {last} - 20)(document.querySelector('[data-view=heatmap] .js-plotly-plot'))",
    )


@pytest.mark.slow
def test_over_training_two_metrics_are_paths_and_nothing_is_tested(browse, site):
    page = browse(site)
    section = page.locator("#scatter")
    section.locator("summary").first.click()
    chart = section.locator(".js-plotly-plot")
    chart.wait_for()
    assert "drawn, never tested" in section.inner_text()
    assert data(chart, "plot.data.map((trace) => trace.mode)") == ["lines+markers"] * 2
    before = label(chart)
    page.evaluate("window.was = document.querySelector('#scatter .chart').ariaLabel")
    section.locator("select").first.select_option(index=3)
    until(page, "document.querySelector('#scatter .chart').ariaLabel !== window.was")
    assert label(chart) != before


def test_single_models_have_rows_with_intervals_and_a_scatter(browse, models):
    page = browse(models)
    page.get_by_label("Paired differences from", exact=True).select_option("me/a")
    page.locator("#overview .difference").first.wait_for()
    words = page.locator("#overview .difference").all_inner_texts()
    assert all(re.fullmatch(r"[+-]?\d\.\d{3}( \[.*\])?(, p (= \d\.\d{3}|< 0\.001))?", one) for one in words)
    assert any(", p " in one for one in words)
    assert "Family, fixed before looking" in page.inner_text("#overview")
    rows = page.locator('[data-view="forest"] tbody tr')
    page.locator('[data-view="forest"]').first.scroll_into_view_if_needed()
    rows.first.wait_for()
    assert rows.count() >= 3
    assert "me/<c>" in page.inner_text('[data-view="forest"]')
    assert rows.first.locator("circle").count() == 1
    section = page.locator("#scatter")
    section.locator("summary").first.click()
    scatter = section.locator(".js-plotly-plot")
    scatter.wait_for()
    assert data(scatter, "plot.data.map((trace) => trace.mode)") == ["markers"] * 3
    assert not page.locator('[data-view="curves"], [data-view="heatmap"]').count()


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_the_views_fit_a_narrow_screen(browse, site, dark):
    page = browse(site, width=390, dark=dark)
    for name in ("confusion", "categories", "curves", "heatmap", "psychometric"):
        view(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_hostile_names_of_classes_are_texts(browse, tmp_path):
    html = render(read_study(write_study(tmp_path, classes=HOSTILE, kinds=(ShapeBias,))), stimuli="none")
    assert HOSTILE[0] not in html
    page = browse(html)
    for name in ("confusion", "categories"):
        chart = view(page, name)
        assert HOSTILE[2] in label(chart)
    assert page.locator("img[src=x]").count() == 0
