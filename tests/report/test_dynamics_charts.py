"""Charts of relations: what they show follows from the kept trials, or says what is not known."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import Noise, Planted, Run, ramp, write_study

from hf_clipdyn.benchmarks.answers import answers_of, stack
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.metrics.error_consistency import error_consistency
from hf_clipdyn.report import read_study
from hf_clipdyn.report.answers import RunAnswers
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.charts.agreement import _of_answers
from hf_clipdyn.report.charts.items import learning_of
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.style import figure_style
from hf_clipdyn.results.row import NumberKey
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
    options = {"benchmarks": None, "n_resamples": 1, "show_progress": False}
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
    kappas = [error_consistency(answers[a], answers[b], n_resamples=0)["kappa"] for a, b in pairs]
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
    assert matrix.kappa[1, 3] == error_consistency([1, 1, 0], [1, 0, 0], n_resamples=0)["kappa"]
    assert learning_of(answers).people.tolist() == [1, 1, 0, 0]


def trials(right):
    labels = np.arange(len(right))
    return pd.DataFrame({"item": labels, "label": labels, "decision": np.where(right, labels, labels + 1)})


@pytest.mark.parametrize("name", ["agreement", "items"])
def test_the_figure_has_a_map_for_each_benchmark(study, name):
    titles = [title for cell in figure_of(study, name).axes if (title := cell.get_title(loc="left"))]
    assert [title.split(", ")[-1] for title in titles] == [
        "Sensitivity to noise\nsynthetic world",
        "Texture-shape bias\nsynthetic world",
        "Zero-shot classification\nsynthetic world",
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
    results = replace(study.results, rows=rows)
    return replace(study, results=results, trajectories=tuple(read_trajectories(rows, results.vocabulary)))


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


@pytest.mark.slow
def test_the_page_draws_them_and_shows_the_image_of_a_row(browse, study):
    page = browse(render(study))
    for name, kind in (
        ("cues", "Learning of shape and texture, Texture"),
        ("agreement", "Error consistency, Zero-shot"),
        ("items", "Learning of single items, Zero-shot"),
    ):
        page.evaluate(
            """(kind) => [...document.querySelectorAll("[role=tab]")]
              .find((tab) => tab.textContent.startsWith(kind)).click()""",
            kind,
        )
        place = page.locator(f'[data-view="{name}"]:visible')
        place.scroll_into_view_if_needed()
        place.locator(".js-plotly-plot").wait_for()
        assert "me/tiny-seed10" in place.locator(".js-plotly-plot").get_attribute("aria-label")
        assert re.search(r"no answers of people|people did not judge", place.inner_text())
    assert place.locator("ul.stimuli li[data-item] .strip").count() == 1
