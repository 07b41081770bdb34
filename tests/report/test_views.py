"""The matrices that are read from trials: they are the table's numbers."""

from dataclasses import replace

import numpy as np
import pytest
from planted_study import EPOCHS, cue_conflict_trials, write_study
from result_rows import pick

from hf_clipdyn.report.charts.decisions import Decisions
from hf_clipdyn.report.study import read_study

RUN = "me/planted"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A study of one run with decisions of four kinds, and people's in the cue conflict."""
    return read_study(write_study(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def panels(planted):
    return list(Decisions.panels(planted))


def matrices(panels, benchmark, **choices):
    """The matrices of one benchmark, (revisions, classes, classes + 1): of each class the share of each answer."""
    chosen = [one for one in panels if one.benchmark == benchmark and one.form == "map"]
    (panel,) = [one for one in chosen if choices.items() <= one.choices.items()]
    assert panel.cells.frames == tuple(range(len(panel.cells.values)))
    return panel.cells.values


def table_value(study, revision, **columns):
    wanted = {"role": "value", "variant": "", "subset": "", "probe": "projection"} | columns
    rows = pick(study.results.rows, revision=f"epoch-{revision:03d}", **wanted)
    return rows["value"].item()


def test_the_diagonals_of_the_matrices_are_the_accuracies_of_the_table(planted, panels):
    for cue in ("shape", "texture"):
        shown = matrices(panels, "shape_bias/cue_conflict", by=cue, asked="prompts")
        for revision in range(EPOCHS):
            accuracy = table_value(planted, revision, metric=f"{cue}_accuracy")
            assert np.trace(shown[revision]) / shown.shape[1] == pytest.approx(accuracy)
    shown = matrices(panels, "zero_shot/cifar10")
    for revision in range(EPOCHS):
        assert np.trace(shown[revision]) / 10 == pytest.approx(table_value(planted, revision, metric="top1"))
    np.testing.assert_allclose(shown.sum(axis=2), 1, atol=1e-12)


def test_people_have_a_matrix_of_their_own(panels):
    trials = cue_conflict_trials(0, 0.2)
    people = trials[(trials["protocol"] == "human") & (trials["shape"] != trials["texture"])]
    (panel,) = [one for one in panels if one.choices == {"by": "shape", "asked": "human observers"}]
    (shown,) = panel.cells.values
    boats = people[people["shape"] == "boat"]
    at = panel.y.names.index("boat")
    assert panel.cells.frames == (), "it does not depend on the slider"
    assert shown[at, at] == pytest.approx((boats["decision"] == "boat").mean())


def test_the_shares_of_the_classes_are_those_of_the_trials_with_the_mean_of_people(panels):
    (panel,) = [one for one in panels if one.form == "rows"]
    trials = cue_conflict_trials(0, 0.2)
    people = trials[(trials["protocol"] == "human") & (trials["shape"] != trials["texture"])]
    shares = []
    for _, answers in people[people["shape"] == "boat"].groupby("observer"):
        shape, texture = ((answers["decision"] == answers[cue]).sum() for cue in ("shape", "texture"))
        shares.append(shape / (shape + texture))
    half = 4.302653 * np.std(shares, ddof=1) / np.sqrt(3)
    (row,) = [row for row in panel.rows if row.series == "human observers" and row.label == "boat"]
    assert [level.height for level in row.beside] == pytest.approx(shares), "each observer beside the mean"
    assert row.value == pytest.approx(np.mean(shares))
    assert (row.low, row.high) == pytest.approx((np.mean(shares) - half, min(1, np.mean(shares) + half)))
    for row in panel.rows:
        assert row.low <= row.value <= row.high
        if row.series != "human observers":
            assert row.high - row.low > 0.1, "few exemplars leave a wide interval"


def test_without_trials_there_are_no_decisions(planted):
    alone = replace(planted, results=replace(planted.results, files=()))
    assert not Decisions.panels(alone)
