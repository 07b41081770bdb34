"""The counts and curves of the page's views: they are the table's numbers, and small, and harmless."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_study import EPOCHS, HOSTILE, cue_conflict_trials, write_study, zero_shot_trials
from result_rows import pick

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
from hf_clipdyn.metrics.psychophysics import iso_response_contrast
from hf_clipdyn.report.charts.decisions import Decisions, _Counter, _side_by_side
from hf_clipdyn.report.charts.psychometric import Psychometric
from hf_clipdyn.report.gallery import CurvesView, GalleryView
from hf_clipdyn.report.page.galleries import view_of
from hf_clipdyn.report.study import read_study

RUN = "me/planted"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A study of one run with decisions of four kinds, and people's in the cue conflict."""
    return read_study(write_study(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def part(planted):
    return Decisions.payload(planted)


def matrix(part, revision, way=0, truth=0, run=RUN):
    """(classes, classes + 1) of one revision."""
    n = len(part["classes"])
    text = part["runs"][run]["matrices"][revision][way][truth]
    return np.array([int(one or 0) for one in text.split(",")]).reshape(n, n + 1)


def table_value(study, revision, **columns):
    wanted = {"role": "value", "variant": "", "subset": "", "probe": "projection"} | columns
    rows = pick(study.results.rows, revision=f"epoch-{revision:03d}", **wanted)
    return rows["value"].item()


def test_the_shape_bias_of_the_table_is_that_of_the_counts_by_class(planted, part):
    held = part["shape_bias/cue_conflict"]
    for revision in range(EPOCHS):
        rows = np.array(held["runs"][RUN]["categories"][revision][0])
        s, t, n = rows[:, 0].sum(), rows[:, 1].sum(), rows[:, 2].sum()
        assert s / (s + t) == pytest.approx(table_value(planted, revision, metric="shape_bias"))
        assert (s + t) / n == pytest.approx(table_value(planted, revision, metric="cue_accuracy"))
        assert n == 108, "images without a conflict do not count"


def test_the_intervals_by_class_contain_their_share_and_are_clustered(part):
    held = part["shape_bias/cue_conflict"]
    for s, t, _, low, high in held["runs"][RUN]["categories"][-1][0]:
        assert 0 <= low <= 10_000 * s / (s + t) <= high <= 10_000
        assert high - low > 1_000, "few exemplars leave a wide interval"


def test_the_diagonals_of_the_matrices_are_the_accuracies_of_the_table(planted, part):
    held = part["shape_bias/cue_conflict"]
    assert held["truths"] == ["shape", "texture"]
    for revision in range(EPOCHS):
        for truth, metric in enumerate(("shape_accuracy", "texture_accuracy")):
            counts = matrix(held, revision, truth=truth)
            share = np.trace(counts) / counts.sum()
            assert share == pytest.approx(table_value(planted, revision, metric=metric))
        counts = matrix(part["zero_shot/cifar10"], revision)
        assert np.trace(counts) / 400 == table_value(planted, revision, metric="top1")


def test_each_level_of_the_noise_has_its_matrix(planted, part):
    held = part["noise/cifar10"]
    assert held["ways"][0] == "no noise"
    for way, level in enumerate((0.05, 0.1, 0.2, 0.4), start=1):
        counts = matrix(held, -1, way)
        at = {"metric": "accuracy", "condition": "gaussian", "level": level}
        assert np.trace(counts) / 300 == table_value(planted, EPOCHS - 1, **at)


def test_classes_with_numbers_have_the_names_of_their_data_set(part):
    assert part["zero_shot/cifar10"]["classes"][:3] == ["airplane", "automobile", "bird"]


def test_every_observer_is_counted_and_their_mean_has_an_interval_over_them(part):
    held = part["shape_bias/cue_conflict"]
    trials = cue_conflict_trials(0, 0.2)
    people = trials[(trials["protocol"] == "human") & (trials["shape"] != trials["texture"])]
    observers = held["categories"]["observers"]
    assert [one["name"] for one in observers] == ["subject-01", "subject-02", "subject-03"]
    shares = []
    for one in observers:
        own = people[(people["observer"] == one["name"]) & (people["shape"] == "boat")]
        s, t = ((own["decision"] == own[cue]).sum() for cue in ("shape", "texture"))
        assert one["rows"][0][:3] == [s, t, len(own)]
        shares.append(s / (s + t))
    mean, low, high, n = held["categories"]["mean"][0]
    half = 4.302653 * np.std(shares, ddof=1) / np.sqrt(3)
    assert (mean, n) == (round(10_000 * np.mean(shares)), 3)
    assert (low, high) == pytest.approx(
        (10_000 * (np.mean(shares) - half), 10_000 * min(1, np.mean(shares) + half)), abs=1
    )
    by_shape = np.array([int(one or 0) for one in held["people"][0].split(",")]).reshape(4, 5)
    assert by_shape.sum() == len(people)
    assert np.trace(by_shape) == (people["decision"] == people["shape"]).sum()


def test_a_class_without_a_decision_for_either_cue_has_no_interval():
    trials = cue_conflict_trials(0, 1.0)
    cat = (trials["shape"] == "cat") & (trials["protocol"] == "")
    gallery = view_of("shape_bias", GalleryView).read(
        trials.assign(decision=trials["decision"].mask(cat, "bear"))
    )
    counter = _Counter.of([gallery], "cue_conflict", ShapeBias, 0.95)
    shapes, answers = _side_by_side(gallery, "prompts", "shape")
    rows = dict(zip(counter.titles, counter.categories(gallery, answers), strict=True))
    assert rows["cat"] == [0, 0, 27, None, None]
    assert rows["dog"][:3] == [27, 0, 27]
    counts = counter.matrix(shapes, answers).split(",")
    assert counts[2 * 5 + 4] == "27", "bear is no class of these images: any other answer"


def test_of_many_classes_those_with_most_confusions_stay_and_the_part_says_so(tmp_path, monkeypatch):
    def planted(run, epoch, classes):
        trials = zero_shot_trials(epoch, 0.9, n_classes=100, n=2_000)
        ranking = [
            [9, 1, 2, 3, 4] if label in (7, 8) else usual
            for label, usual in zip(trials["label"], trials["ranking"], strict=True)
        ]
        return [(ZeroShot, "cifar100", trials.assign(ranking=ranking))]

    monkeypatch.setattr("planted_study._planted", planted)
    held = Decisions.payload(read_study(write_study(tmp_path)))["zero_shot/cifar100"]
    assert len(held["classes"]) == 24
    assert held["of"] == 100
    assert held["leftOut"] == [
        "Only 24 of 100 classes are shown: those with the most confusions at the end of training."
    ]
    from hf_clipdyn.data.sets.cifar import Cifar100

    assert {Cifar100.classes[one] for one in (7, 8, 9)} <= set(held["classes"])
    counts = matrix(held, -1)
    assert (counts.sum(axis=1) == 20).all(), (
        "every image of these classes, also with an answer that is not shown"
    )


def test_what_is_too_large_loses_ways_and_then_revisions_and_says_so(planted, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.report.charts.decisions._MOST_LETTERS", 1_500)
    held = Decisions.payload(planted)
    assert held["noise/cifar10"]["ways"] == ["no noise", "Gaussian noise 0.05"]
    assert held["noise/cifar10"]["leftOut"] == ["3 more variants (prompts, probes) are left out."]
    monkeypatch.setattr("hf_clipdyn.report.charts.decisions._MOST_LETTERS", 400)
    held = Decisions.payload(planted)["noise/cifar10"]
    assert held["runs"][RUN]["revisions"] == ["epoch-000", "epoch-003"]
    assert held["leftOut"][-1] == "Only 2 of 4 revisions are shown."


def test_names_of_classes_are_kept_as_they_are_and_cut_into_no_count(tmp_path):
    table = write_study(tmp_path, classes=HOSTILE, kinds=(ShapeBias,))
    held = Decisions.payload(read_study(table))["shape_bias/cue_conflict"]
    assert held["classes"] == sorted(HOSTILE)
    assert matrix(held, 0).sum() == 108


def test_without_trials_there_are_no_decisions_and_no_curves(planted):
    alone = replace(planted, results=replace(planted.results, files=()))
    assert Decisions.payload(alone) is None
    assert Psychometric.payload(alone) is None


def test_a_curve_reaches_the_criterion_at_the_contrast_of_the_table(planted):
    held = Psychometric.payload(planted)["psychophysics/procedural"]
    assert held["metric"] in Psychophysics.terms.terms
    found = 0
    for revision, curves in enumerate(held["runs"][RUN]["curves"]):
        for condition, logs in zip(held["conditions"], curves, strict=True):
            where = {name: condition[name] for name in ("condition", "level", "parameter")}
            expected = table_value(planted, revision, metric=held["metric"], **where | {"variant": "cosine"})
            responses = 10 ** (np.array(logs) / 1000)
            equal = iso_response_contrast(condition["contrasts"], responses, 1.0)
            np.testing.assert_allclose(equal, expected, rtol=0.003)
            found += int(np.isfinite(equal))
    assert found > 20
    human = pick(planted.results.rows, metric="contrast", role="human", revision="epoch-000")
    assert [one["human"] for one in held["conditions"]] == human["value"].tolist()


def test_curves_are_thinned_to_what_fits_with_the_last_revision(planted, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.report.charts.psychometric._MOST_NUMBERS", 150)
    held = Psychometric.payload(planted)["psychophysics/procedural"]
    assert held["sparse"]
    assert held["runs"][RUN]["revisions"] == ["epoch-000", "epoch-003"]


def test_a_silent_criterion_has_no_curve():
    from planted_study import psychophysics_trials

    trials = psychophysics_trials(0)
    silent = trials.assign(value=trials["value"].mask(trials["probe"] == "projection", 0.0))
    assert {one.reference for one in view_of("psychophysics", CurvesView).read(silent)} == {"pixels"}


def test_the_parts_are_json_without_nan(part, planted):
    for one in (part, Psychometric.payload(planted)):
        assert json.loads(json.dumps(one, allow_nan=False)) == one


def test_the_gallery_of_each_kind_takes_only_its_columns(planted):
    cells = planted.results.rows.drop_duplicates("cell").set_index("cell")
    for cell, kind in cells["kind"].items():
        kinds = {one.name: one for one in (ShapeBias, ZeroShot, Noise)}
        if kind in kinds:
            view = view_of(str(kind), GalleryView)
            trials = planted.trials.of(str(cell), view.columns)
            assert isinstance(trials, pd.DataFrame)
            assert set(trials.columns) <= set(view.columns)
