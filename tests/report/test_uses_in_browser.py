"""Uses of the page that need trials (uses.md), in a real browser: one planted study, drawn once."""

import pandas as pd
import pytest
from in_browser import until
from planted_study import write_study
from result_rows import row, write_rows

from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.report import read_study
from hf_clipdyn.report.charts.decisions import Decisions
from hf_clipdyn.report.page.write import render


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A run with trials of four kinds and the learning order of its images."""
    table = write_study(tmp_path_factory.mktemp("uses"))
    options = {"benchmarks": None, "relations": ("learning_order",), "show_progress": False}
    evaluate_revisions("me/planted", output=table, **options)
    return read_study(table)


@pytest.fixture(scope="module")
def site(study):
    return render(study)


@pytest.fixture
def opened(browse, site):
    """`opened(place, **choices)`: the page at a view, with these choices in its address."""

    def show(place, **choices):
        fragment = "&".join(f"{key}={value}" for key, value in {**choices, "at": place}.items())
        page = browse(site, fragment=fragment)
        page.locator(f"#{place} .main-svg").first.wait_for()
        return page

    return show


def drawn(page, place):
    """The traces of a chart, each with the numbers of its line."""
    return page.evaluate(
        "place => document.querySelector(`#${place} .slot`).data.map(({x, y, z, text, name, meta, opacity}) => "
        "({x, y, z, text, name, meta, opacity}))",
        place,
    )


def verticals(page, place):
    return page.locator(f"#{place} .marks path").count()


CONFUSION = "shape-bias-cue-conflict-decisions-by-class"


def test_the_confusion_matrix_is_that_of_the_slider_by_cue_and_of_people(opened, study):
    panels = [one for one in Decisions.panels(study) if one.benchmark == "shape_bias/cue_conflict"]
    wanted = {(one.choices["by"], one.choices["asked"]): one for one in panels if one.form == "map"}
    page = opened(CONFUSION)
    cells = wanted["shape", "prompts"].cells.values
    (heat,) = drawn(page, CONFUSION)
    assert [value for line in heat["z"] for value in line] == pytest.approx(cells[-1].ravel(), abs=1e-4)
    assert heat["text"][0][0] == f"boat<br>boat<br>{cells[-1][0, 0]:.3f}"
    page.locator("#training").fill("0")
    page.wait_for_timeout(300)
    (heat,) = drawn(page, CONFUSION)
    assert [value for line in heat["z"] for value in line] == pytest.approx(cells[0].ravel(), abs=1e-4)
    assert page.locator(f"#{CONFUSION} .slot").get_attribute("aria-label").endswith("Shown: epoch 0.")
    page.locator(f"#{CONFUSION}-view").get_by_label("Asked").select_option("human observers")
    page.wait_for_timeout(300)
    (heat,) = drawn(page, CONFUSION)
    people = wanted["shape", "human observers"].cells.values[0]
    assert [value for line in heat["z"] for value in line] == pytest.approx(people.ravel(), abs=1e-4)


def test_which_cue_decided_is_there_class_by_class_beside_people(opened):
    place = f"{CONFUSION}-class-by-class"
    page = opened(place)
    model, people = (one for one in drawn(page, place) if one["meta"]["kind"] == "rows")
    assert [people["name"], people["meta"]["where"]] == ["human observers", ["boat", "car", "cat", "dog"]]
    assert all(share > 0.7 for share in people["x"]), "people choose the shape"
    assert len(model["x"]) == 4


def test_thresholds_over_the_mask_are_curves_beside_people_s(opened):
    place = "psychophysics-procedural-explorer"
    of = "psychophysics/procedural"
    choices = {f"{of}.metric": "contrast of equal response", f"{of}.over": "contrast of the mask"}
    page = opened(place, **choices)
    traces = drawn(page, place)
    assert {"human observers", "pixels"} <= {
        one["name"] for one in traces if one["meta"]["kind"] == "reference"
    }
    assert sum(one["meta"]["kind"] == "line" and one["meta"]["now"] for one in traces) == 1


def test_curves_of_accuracy_have_a_line_at_their_threshold(opened):
    place = "noise-cifar10-explorer"
    choices = {"noise/cifar10.metric": "accuracy", "noise/cifar10.over": "sigma"}
    page = opened(place, **choices, **{"noise/cifar10.condition": "Gaussian noise"})
    assert sum(one["meta"]["kind"] == "line" for one in drawn(page, place)) == 4, (
        "and thin curves of other epochs"
    )
    assert verticals(page, place) == 1
    page.locator("#training").fill("0")
    page.wait_for_timeout(300)
    assert verticals(page, place) == 0, "at chance there is no threshold"


def test_a_cell_of_a_map_without_a_value_says_why(opened, study):
    (panel,) = [one for one in study.planner.benchmarks["psychophysics/procedural"] if one.cells is not None]
    ((place, cause),) = panel.cells.causes.items()
    page = opened("psychophysics-procedural-layer-by-layer")
    (heat,) = drawn(page, "psychophysics-procedural-layer-by-layer")
    assert heat["z"][place[0]][place[1]] is None
    assert heat["text"][place[0]][place[1]] == f"{panel.y.names[place[0]]}<br>epoch-000<br>{cause}"


def test_a_row_of_the_learning_map_shows_its_image_and_keys_choose_it(opened):
    place = "learning-order-zero-shot-cifar10-which-images-are-learned-when"
    page = opened(place)
    aside = page.locator(f"#{place}-view .readout")
    page.focus(f"#{place} .slot")
    page.keyboard.press("ArrowDown")
    first = page.evaluate(f"document.querySelector('#{place} .slot').drawn.panel.places.y[0]")
    assert f"Row 1, image {first}" in aside.inner_text()
    page.keyboard.press("ArrowDown")
    assert "Row 2, image" in aside.inner_text()
    assert page.locator(f"#{place} .marks rect").count() == 2, "the slider's revision and the row"
    text = aside.inner_text()
    assert page.locator(f"#{place}-view .strip").count() == 1 or "not among those in this page" in text


def test_any_two_metrics_can_be_drawn_against_each_other(opened):
    page = opened("shape-bias-cue-conflict-explorer", t=1)
    page.locator("#scatter > summary").click()
    across = page.locator("#scatter").get_by_label("Across", exact=True)
    titles = across.locator("option").all_text_contents()  # also before the fold is drawn
    assert any(title.startswith("noise threshold") for title in titles), "not only those of the first screen"
    across.select_option(label=next(title for title in titles if title.startswith("area under")))
    up = page.locator("#scatter").get_by_label("Up", exact=True)
    up.select_option(label=next(title for title in titles if title.startswith("shape bias")))
    page.locator("#scatter-chart").scroll_into_view_if_needed()
    until(page, "document.querySelector('#scatter .slot')?.data?.[0].x.length >= 2")
    (path,) = drawn(page, "scatter-chart")
    assert path["meta"]["at"] == sorted(path["meta"]["at"])
    (ring,) = page.locator("#scatter-chart .marks circle").all()
    at = path["meta"]["at"].index(1)
    assert float(ring.get_attribute("data-x")) == path["x"][at]


def test_the_noise_of_one_run_is_accuracy_clean_and_under_noise(browse, site, study):
    page = browse(site)
    title = page.locator("#overview figcaption", has_text="accuracy, clean and with")
    place = title.locator("xpath=ancestor::figure").get_attribute("id")
    page.locator(f"#{place}").scroll_into_view_if_needed()
    page.locator(f"#{place} .marks text").first.wait_for()
    lines = [one for one in drawn(page, place) if one["meta"]["kind"] == "line"]
    assert [one["name"] for one in lines] == ["clean", "under noise"]
    rows = study.results.rows.query(
        "kind == 'noise' and metric == 'accuracy' and probe == 'projection' and role == 'value'"
    )
    for line, level in zip(lines, (None, 0.2), strict=True):
        own = rows[rows["level"].isna() if level is None else rows["level"] == level]
        assert line["y"] == pytest.approx(own.sort_values("order")["value"].tolist(), abs=1e-4)
    labels = page.locator(f"#{place} .marks text").all_text_contents()
    assert not any("…" in label for label in labels)


def test_models_of_one_revision_are_rows_that_can_be_sorted_with_their_paired_differences(browse, tmp_path):
    study = read_study(write_study(tmp_path, runs=("me/b", "me/a"), epochs=(2,)))
    (panel, *_) = study.planner.benchmarks["zero_shot/cifar10"]
    assert (panel.form, [one.label for one in panel.rows]) == ("rows", ["me/b", "me/a"])
    assert [(level.title, level.height) for level in panel.levels] == [("chance", 0.1)]
    page = browse(render(study))
    assert page.inner_text("h1").startswith("2 models")
    assert page.locator("#training").count() == 0
    page.locator("#overview").get_by_role("button", name="model").click()
    until(page, "document.querySelector('#overview th[aria-sort=ascending]')")
    rows = page.locator("#overview tbody tr")
    assert [line.split()[0] for line in rows.all_inner_texts()] == ["me/a", "me/b"]
    page.locator("#overview").get_by_label("Paired differences from").select_option("me/a")
    until(page, "document.querySelector('#overview [data-option=\"me/a\"]:not([hidden])')")
    words = page.locator("#overview .difference:visible").all_inner_texts()
    assert words
    assert all(" minus me/a" in one and ", p = " in one for one in words)
    assert page.locator('#overview tr[data-run="me/a"] .difference:visible').count() == 0


def test_the_csv_of_all_numbers_has_step_n_and_interpretable(browse, tmp_path):
    rows = [
        row("zero_shot/x", "top1", 0.2 * epoch, 0.1, epoch=epoch, step=10 * epoch, interpretable=epoch > 0)
        for epoch in range(3)
    ]
    page = browse(render(read_study(write_rows(rows, tmp_path / "results.parquet"))), accept_downloads=True)
    with page.expect_download() as download:
        page.get_by_role("button", name="data", exact=True).click()
    saved = pd.read_csv(download.value.path())
    assert saved["step"].tolist() == [0, 10, 20]
    assert saved["n"].tolist() == [1000] * 3
    assert saved["interpretable"].tolist() == [False, True, True]
    assert saved["value"].tolist() == [0, 0.2, 0.4]
    assert saved["ci_high"].tolist() == pytest.approx([0.1, 0.3, 0.5])
    assert set(saved["run"]) == {"me/fixture"}
