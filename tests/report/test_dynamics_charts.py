"""Charts of relations: what they show follows from the kept trials, or says what is not known."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import Noise, Planted, Run, ramp, write_study

from hf_clipdyn.benchmarks.answers import answers_of, stack
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.metrics.error_consistency import error_consistency
from hf_clipdyn.report import read_study
from hf_clipdyn.report.answers import RunAnswers
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.charts.agreement import _of_answers, _of_pairs
from hf_clipdyn.report.charts.items import learning_of
from hf_clipdyn.report.figures import plan_figures
from hf_clipdyn.report.page.payload import payload
from hf_clipdyn.report.page.views import spread_cells
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.style import figure_style
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.results.trials import trials_folder
from hf_clipdyn.statistics.trajectories import read_trajectories

RUN = Run(scale="tiny", seed=10, planted=Planted(accuracy=ramp(0.2, 0.9)))
RELATED = ("agreement", "cues", "gap", "items", "layers")
AGREEMENT = "error_consistency-zero_shot/procedural"
ITEMS = "learning_order-zero_shot/procedural"


@pytest.fixture(scope="module")
def unrelated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unrelated")
    return write_study(folder / "results.parquet", [RUN], shares=[0, 0.1, 0.4, 1.0], noise=Noise())


@pytest.fixture(scope="module")
def table(unrelated, tmp_path_factory):
    """The study with its relations, which nobody changes."""
    folder = tmp_path_factory.mktemp("related")
    shutil.copytree(unrelated.parent, folder, dirs_exist_ok=True)
    names = ("error_consistency", "learning_order", "cue_learning")
    options = {"benchmarks": None, "show_progress": False}
    evaluate_revisions(RUN.repo_id, relations=names, output=folder / unrelated.name, **options)
    return folder / unrelated.name


@pytest.fixture(scope="module")
def study(table):
    return read_study(table)


def right(study):
    """Whether each revision is right, (revisions, items), from the trials themselves."""
    cells = study.cells[study.cells["kind"] == "zero_shot"].sort_values("samples_seen")
    trials = [study.trials.of(cell).sort_values("item") for cell in cells["cell"]]
    return np.stack([each["ranking"].str[0].to_numpy() == each["label"].to_numpy() for each in trials])


def lower(text):
    return [int(one) / 1000 if one else None for one in text.split(",")]


@pytest.mark.parametrize("name", RELATED)
def test_a_table_without_relations_has_none_of_these_charts(unrelated, name):
    study = read_study(unrelated)
    assert charts()[name].payload(study) is None
    assert figure_of(study, name) is None


def test_the_matrix_has_the_kappa_of_each_pair_of_revisions(study):
    (matrix,) = charts()["agreement"].payload(study)[AGREEMENT]["runs"][RUN.repo_id]
    answers = right(study)
    pairs = [(a, b) for a in range(4) for b in range(a + 1)]
    kappas = [error_consistency(answers[a], answers[b])["kappa"].value for a, b in pairs]
    assert lower(matrix["kappa"]) == [round(kappa, 3) for kappa in kappas]
    assert (matrix["people"], matrix["n"]) == ([], 240)
    assert matrix["accuracy"] == [round(share, 3) for share in answers.mean(axis=1)]


def test_without_trials_the_matrix_has_the_pairs_of_the_table(study, table, tmp_path):
    whole = charts()["agreement"].payload(study)[AGREEMENT]["runs"][RUN.repo_id][0]
    shutil.copyfile(table, tmp_path / table.name)
    alone = read_study(tmp_path / table.name)
    assert not trials_folder(tmp_path / table.name).exists()
    (matrix,) = charts()["agreement"].payload(alone)[AGREEMENT]["runs"][RUN.repo_id]
    assert (matrix["n"], matrix["accuracy"]) == (0, [])
    known, every = lower(matrix["kappa"]), lower(whole["kappa"])
    assert [at for at, one in enumerate(known) if one is not None] == [1, 4, 6, 7, 8]
    assert all(one is None or one == other for one, other in zip(known, every, strict=True))
    assert charts()["items"].payload(alone) is None


def test_the_pairs_of_a_table_are_people_by_their_sort_whatever_their_name(study):
    rows = study.results.rows
    of_last = rows[(rows["kind"] == AGREEMENT.partition("/")[0]) & (rows["metric"] == "kappa")]
    of_last = of_last[(of_last["role"] == "value") & (of_last["reference"] == "last")]
    sorts = {"last": "last", "seed 7": "people", "people": "people", "seed 8": "seeds", "arm noise": "seeds"}
    given = [
        of_last.assign(reference=name, cell=name, settings=json.dumps({"with": sort}))
        for name, sort in sorts.items()
    ]
    matrix = _of_pairs(list(read_trajectories(study.results.with_rows(pd.concat(given)))))
    assert matrix.people == ["seed 7"]
    assert matrix.kappa[:3, -1].tolist() == matrix.kappa[:3, 2].tolist() == of_last["value"].tolist()


def test_items_are_in_the_order_of_the_share_of_revisions_that_are_right(study, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.report.charts.items.class_names", lambda *_: ("cup",))
    (shown,) = charts()["items"].payload(study)[ITEMS]["runs"][RUN.repo_id]
    answers = right(study)
    shares = [row.count("1") for row in shown["states"]]
    assert shares == sorted(shares, reverse=True)
    assert [[state == "1" for state in row] for row in shown["states"]] == answers[
        :, shown["items"]
    ].T.tolist()
    assert all("2" not in row[: row.index("1") + 1] for row in shown["states"] if "1" in row)
    assert all(set(row) == {"0"} for row in shown["states"] if "1" not in row)
    assert shown["never"] == (~answers.any(axis=0)).sum()
    assert shown["expected"] == round(240 * np.prod(1 - answers.mean(axis=1)), 1)
    assert set(shown["people"]) == {None}
    assert {"cup", "class 1"} < set(shown["labels"])


def test_people_are_the_last_rows_and_count_only_what_they_answered():
    table = stack([answers_of(trials(row), NumberKey(metric="top1")) for row in ([1, 1, 0, 0], [1, 1, 1, 0])])
    people = {"ann": np.array([1, 1, 0, 0.0]), "bob": np.array([np.nan, 1, 0, 0])}
    answers = RunAnswers(["a", "b"], table.item, table.label, table.right, people)
    matrix = _of_answers(answers)
    assert matrix.names == ["a", "b", "ann", "bob"]
    assert matrix.kappa[0].tolist() == [1, 0.5, 1, 1]
    assert matrix.kappa[1, 3] == error_consistency([1, 1, 0], [1, 0, 0])["kappa"].value
    assert learning_of(answers).people.tolist() == [1, 1, 0, 0]


def trials(right):
    labels = np.arange(len(right))
    return pd.DataFrame({"item": labels, "label": labels, "decision": np.where(right, labels, labels + 1)})


@pytest.mark.parametrize("name", ["agreement", "items"])
def test_the_figure_has_a_map_for_each_benchmark(study, name):
    titles = [title for cell in figure_of(study, name).axes if (title := cell.get_title(loc="left"))]
    assert [title.split(", ")[-1] for title in titles] == [
        "Sensitivity to noise\nembedded world (synthetic)",
        "Texture-shape bias\nembedded world (synthetic)",
        "Zero-shot classification\nembedded world (synthetic)",
    ]


def figure_of(study, name):
    with figure_style(printed=True):
        return charts()[name].draw(study, 7.0)


def renamed(study, **columns):
    """The study with its shares of shape answers as another number, too; a column is given by metric."""
    rows = study.results.rows
    shares = rows[(rows["metric"] == "shape_share") & (rows["role"] == "value")]
    others = [
        shares.assign(metric=metric, cell=shares["cell"] + metric, **given)
        for metric, each in columns.items()
        for given in each
    ]
    rows = pd.concat([rows, *others], ignore_index=True)
    words = Vocabulary(kinds={name: kind.terms for name, kind in kinds().items()})
    words = Vocabulary.merged([words, study.results.words])
    results = replace(study.results.with_rows(rows), words=words)
    return replace(study, results=results, trajectories=tuple(read_trajectories(results)))


def test_the_path_of_the_cues_has_the_three_shares_as_its_place(study):
    cell = figure_of(study, "cues").axes[0]
    rows = study.results.rows.sort_values("samples_seen")
    rows = rows[
        (rows["kind"] == "cue_learning-shape_bias") & (rows["role"] == "value") & (rows["variant"] == "")
    ]
    shape, other = (
        rows.loc[rows["metric"] == f"{name}_share", "value"].to_numpy() for name in ("shape", "other")
    )
    path = cell.collections[0].get_offsets()
    assert np.allclose(path, np.stack([shape + other / 2, np.sqrt(3) / 2 * other], axis=1))
    assert "random order" in [text.get_text() for text in cell.texts]


def test_the_gap_is_drawn_against_uniformity_in_the_colours_of_the_logit_scale(study):
    kind = {"kind": "geometry"}
    given = renamed(study, gap=[kind], uniformity_image=[kind], logit_scale=[kind | {"role": "diagnostic"}])
    cell, bar = figure_of(given, "gap").axes
    x, y = np.transpose(cell.collections[0].get_offsets())
    assert x.tolist() == y.tolist() == cell.collections[0].get_array().tolist()
    assert "logit" in bar.get_ylabel()
    assert figure_of(renamed(study, gap=[kind], uniformity_image=[kind]), "gap") is None


def test_layers_are_rows_from_the_bottom_and_one_alone_is_no_map(study):
    rows = [{"kind": "decodability", "probe": "hidden", "layer": layer} for layer in (2, 0, 1)]
    cell = figure_of(renamed(study, shape_minus_texture=rows), "layers").axes[0]
    assert [label.get_text() for label in cell.get_yticklabels()] == ["2", "1", "0"]
    assert cell.images[0].get_array().shape == (3, 4)
    assert cell.images[0].origin == "lower"
    assert figure_of(renamed(study, shape_minus_texture=rows[:1]), "layers") is None


def test_numbers_of_a_whole_run_have_no_figure_of_one_dot(study):
    rows, name = study.results.rows, "cue-learning-shape-bias-procedural"
    assert name in plan_figures(study)
    others = rows["kind"] != "cue_learning-shape_bias"
    alone = rows[others | rows["metric"].str.endswith("half_rise")]
    assert name not in plan_figures(read_study(alone))


def test_the_choice_says_with_what_a_revision_is_related(study):
    shown = payload(study)
    words = shown["series"]["words"]
    assert {"last revision", "previous revision"} <= set(words["reference"]["titles"])
    assert not any("with" in title for title in words["setup"]["titles"])


def open_learning(page, benchmark):
    """Follow a link to a benchmark of the section on learning."""
    anchor = re.sub(r"[^a-z0-9]+", "-", benchmark)
    page.evaluate("(anchor) => { location.hash = `at=${anchor}`; }", anchor)
    page.locator(f"#{anchor}:visible").wait_for()
    return page.locator(f"#{anchor}")


def drawn(place, name):
    view = place.locator(f'[data-view="{name}"]')
    view.scroll_into_view_if_needed()
    view.locator(".js-plotly-plot").wait_for()
    return view


@pytest.mark.slow
def test_the_page_draws_them_and_shows_the_image_of_a_row(browse, study):
    page = browse(render(study))
    for name, benchmark in (
        ("cues", "cue_learning-shape_bias/procedural"),
        ("agreement", AGREEMENT),
        ("items", ITEMS),
    ):
        place = drawn(open_learning(page, benchmark), name)
        assert "me/tiny-seed10" in place.locator(".js-plotly-plot").get_attribute("aria-label")
        assert re.search(r"no answers of people|people did not judge", place.inner_text())
    assert place.locator("ul.stimuli li[data-item] .strip").count() == 1


@pytest.mark.slow
def test_questions_on_learning_are_a_section_of_tabs_that_is_absent_without_them(browse, study, unrelated):
    page = browse(render(study))
    tabs = page.locator("#learning [role=tab]").all_inner_texts()
    assert tabs == [
        "Who fails on the same images?",
        "Which images are learned when?",
        "When do answers turn from texture to shape?",
    ]
    assert not set(tabs) & set(page.locator("#benchmarks [role=tab]").all_inner_texts())
    page.locator("#learning [role=tab]").nth(1).click()
    page.get_by_label("Asked of").select_option(label="Zero-shot classification: embedded world (synthetic)")
    page.locator("#learning-order-zero-shot-procedural:visible").wait_for()
    assert page.locator("#learning [role=tabpanel]:visible").count() == 1
    assert page.locator("#benchmarks [role=tabpanel]:visible").count() == 1
    assert page.locator("#sections > section").count() <= 4, "with the story, at most five"
    place = open_learning(page, "cue_learning-shape_bias/procedural")
    place.get_by_label("Metric", exact=True).first.select_option(label="half-rise of shape")
    place.get_by_text("half-rise of shape, of the whole run").wait_for()
    assert not place.locator("figure").first.is_visible(), "one number is no course"
    page = browse(render(read_study(unrelated)))
    assert page.locator("#benchmarks").count() == 1
    assert page.locator("#learning").count() == 0


@pytest.mark.slow
def test_the_keyboard_reaches_every_row_of_the_map_and_its_image(browse, study, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.report.answers.spread_cells", lambda cells: spread_cells(cells, 2))
    page = browse(render(study))
    place = drawn(open_learning(page, ITEMS), "items")
    assert "2 of 4 revisions, evenly spaced" in place.inner_text()
    rows = place.get_by_role("slider")
    rows.focus()
    words = []
    for key, row in (("ArrowDown", 2), ("PageDown", 12), ("ArrowUp", 11), ("End", 240), ("Home", 1)):
        page.keyboard.press(key)
        assert rows.get_attribute("aria-valuenow") == str(row)
        words.append(rows.get_attribute("aria-valuetext"))
        assert words[-1] in place.locator(".stimuli-beside").inner_text()
    assert len(set(words)) == 5
    label = place.locator(".marks text").text_content()
    assert f"Image {label.removeprefix('◂ ')}," in words[-1]
    last = page.locator("#training").input_value()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#training").input_value() != last, "left and right move through training"


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_in_the_charts_of_relations(browse, study, violations, dark):
    page = browse(render(study), dark=dark)
    for name, benchmark in (("agreement", AGREEMENT), ("items", ITEMS)):
        drawn(open_learning(page, benchmark), name)
        page.wait_for_timeout(300)
        assert violations(page) == []
