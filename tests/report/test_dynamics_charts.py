"""Charts of relations: what they show follows from the kept trials, or says what is not known."""

import shutil

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
from hf_clipdyn.report.charts.agreement import of_answers
from hf_clipdyn.report.charts.items import learned
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.trials import trials_folder

RUN = Run(scale="tiny", seed=10, planted=Planted(accuracy=ramp(0.2, 0.9)))
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


def panel_of(study, name, benchmark):
    """The first panel of a chart about a benchmark."""
    return next(panel for panel in charts()[name].panels(study) if panel.benchmark == benchmark)


def test_a_table_without_relations_has_none_of_these_charts(unrelated):
    study = read_study(unrelated)
    assert not any(charts()[name].panels(study) for name in ("agreement", "items"))


def test_the_matrix_has_the_kappa_of_each_pair_of_revisions(study):
    (kappa,) = panel_of(study, "agreement", AGREEMENT).cells.values
    answers = right(study)
    for a in range(4):
        for b in range(a):
            expected = error_consistency(answers[a], answers[b])["kappa"].value
            assert kappa[a, b] == kappa[b, a] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(np.diagonal(kappa)).all()


def test_without_trials_the_matrix_has_the_pairs_of_the_table(study, table, tmp_path):
    whole = panel_of(study, "agreement", AGREEMENT).cells.values[0]
    shutil.copyfile(table, tmp_path / table.name)
    alone = read_study(tmp_path / table.name)
    assert not trials_folder(tmp_path / table.name).exists()
    known = panel_of(alone, "agreement", AGREEMENT).cells.values[0]
    pairs = [(a, b) for a in range(4) for b in range(a) if np.isfinite(known[a, b])]
    assert pairs == [(1, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert all(known[pair] == pytest.approx(whole[pair], abs=1e-9) for pair in pairs)
    assert not charts()["items"].panels(alone)


def test_items_are_in_the_order_of_the_share_of_revisions_that_are_right(study):
    panel = panel_of(study, "items", ITEMS)
    answers, (states,) = right(study), panel.cells.values
    shares = (states == 1).sum(axis=1)
    assert shares.tolist() == sorted(shares, reverse=True)
    items = [int(name.split(": ")[0]) for name in panel.y.names]
    assert ((states == 1) == answers[:, items].T).all()
    for row in states:
        before = row[: list(row).index(1)] if 1 in row else row
        assert set(before) <= {0}, "wrong again only after it was right"
    never = (~answers.any(axis=0)).sum()
    expected = 240 * np.prod(1 - answers.mean(axis=1))
    assert f"{never} of 240 never right, {expected:.0f} expected" in panel.place
    assert panel.cells.margin is None


def test_people_are_the_last_rows_and_count_only_what_they_answered():
    table = stack([answers_of(trials(row), NumberKey(metric="top1")) for row in ([1, 1, 0, 0], [1, 1, 1, 0])])
    people = {"ann": np.array([1, 1, 0, 0.0]), "bob": np.array([np.nan, 1, 0, 0])}
    answers = RunAnswers(["a", "b"], table.item, table.label, table.right, people)
    kappa = of_answers(answers)
    assert (list(kappa.columns), list(kappa.index)) == (["a", "b"], ["a", "b", "ann", "bob"])
    assert kappa["a"].tolist() == [1, 0.5, 1, 1]
    assert kappa.loc["bob", "b"] == error_consistency([1, 1, 0], [1, 0, 0])["kappa"].value
    assert learned(answers)["cells"].margin.tolist() == [1, 1, 0, 0]


def trials(right):
    labels = np.arange(len(right))
    return pd.DataFrame({"item": labels, "label": labels, "decision": np.where(right, labels, labels + 1)})
