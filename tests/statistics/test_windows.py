"""Runs of different lengths side by side, and which revisions a window has."""

import math

import numpy as np
import pandas as pd
import pytest
from result_rows import course, row
from scipy import optimize

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.statistics.windows import (
    Endpoint,
    Window,
    align,
    common_accuracy,
    locate,
    place,
)

TOP = Endpoint(kind="zero_shot", dataset="procedural", metric="top1")


def accuracies(values, repo_id="me/run", **columns):
    return course("zero_shot/procedural", "top1", values, repo_id=repo_id, **columns)


def placed(gather, window, values=(0.1, 0.2, 0.4, 0.8, 0.9, 0.95), **columns):
    table = align(gather(accuracies(values, **columns)), accuracy=TOP)["me/run"]
    return place(window, table)


def approximately(weights):
    return {f"epoch-00{epoch}": pytest.approx(weight) for epoch, weight in weights.items()}


@pytest.mark.parametrize(
    ("window", "weights"),
    [
        ({"start": 0.2, "end": 0.6}, {1: 1 / 3, 2: 1 / 3, 3: 1 / 3}),  # both ends included
        ({"untrained": True}, {0: 1}),
        ({"epochs": (1, 2)}, {1: 0.5, 2: 0.5}),
        ({"accuracy": 0.5}, {2: 0.75, 3: 0.25}),  # between two revisions
        ({"accuracy": 0.4}, {2: 1}),
    ],
)
def test_a_window_has_revisions_with_their_weights(gather, window, weights):
    assert placed(gather, Window(name="W", **window)) == (approximately(weights), "")


@pytest.mark.parametrize(
    ("window", "cause"),
    [
        ({"start": 0.3, "end": 0.35}, "the run has no revision from 30 to 35 % of the samples (window W)"),
        ({"epochs": (5, 6)}, "the run has no revision of epoch 6 (window W)"),
        ({"accuracy": 0.97}, "the run ends at an accuracy of 0.950, not 0.97 (window W)"),
        ({"accuracy": 0.05}, "the run begins at an accuracy of 0.100, not 0.05 (window W)"),
    ],
)
def test_a_window_without_revisions_has_a_cause(gather, window, cause):
    assert placed(gather, Window(name="W", **window)) == ({}, cause)


def test_a_run_that_was_cut_short_has_no_late_revision(gather):
    columns = {"scale": "tiny"}
    rows = [
        *accuracies([0.1] * 11, "me/a", seed=0, **columns),
        *accuracies([0.1] * 7, "me/b", seed=1, **columns),
    ]
    tables = align(gather(rows))
    assert tables["me/b"]["share"].iloc[-1] == pytest.approx(0.6)
    assert "no revision from 90 to 100 %" in place(Window(name="L", start=0.9, end=1), tables["me/b"])[1]
    other = align(gather([*accuracies([0.1] * 11, "a/x"), *accuracies([0.1] * 7, "b/y")]))
    assert [table["share"].iloc[-1] for table in other.values()] == [1, 1], "models of no common training"


def test_without_samples_steps_count_and_without_any_clock_there_is_no_share(gather):
    rows = accuracies([0.1, 0.2, 0.3], samples_seen=None)
    (table,) = align(gather(rows)).values()
    assert table["share"].tolist() == [0, 0.5, 1]
    assert table["log_samples"].isna().all()
    nameless = [
        row("zero_shot/procedural", "top1", 0.5, epoch=None, revision=name) for name in ("main", "other")
    ]
    (table,) = align(gather(nameless)).values()
    unknown = "not all revisions have a known number of samples, steps or epochs"
    assert place(Window(name="E", start=0, end=1), table) == ({}, unknown)


def test_the_axes_are_those_of_the_table(gather):
    (table,) = align(gather(accuracies([0.1, 0.3, 0.2])), accuracy=TOP).values()
    assert table["epoch"].tolist() == [0, 1, 2]
    assert table["samples_seen"].tolist() == [0, 6400, 12800]
    assert table["log_samples"].tolist() == pytest.approx([math.nan, *np.log10([6400, 12800])], nan_ok=True)
    assert table["accuracy"].tolist() == [0.1, 0.3, 0.2]
    assert table["monotone_accuracy"].tolist() == [0.1, 0.25, 0.25]


def test_a_single_lucky_revision_does_not_decide_where_an_accuracy_is_reached(gather):
    values = (0.1, 0.2, 0.62, 0.3, 0.4, 0.7, 0.8)
    smooth = optimize.isotonic_regression(values).x
    caution = "the accuracy is not monotone; its isotonic regression is used"
    assert smooth[2] == smooth[4] == pytest.approx(0.44)
    part = (0.6 - 0.44) / (0.7 - 0.44)
    found = placed(gather, Window(name="A", accuracy=0.6), values)
    assert found == (approximately({4: 1 - part, 5: part}), caution)
    flat = placed(gather, Window(name="A", accuracy=0.44), values)
    assert flat == (approximately({2: 1 / 3, 3: 1 / 3, 4: 1 / 3}), caution)


def test_the_common_accuracy_is_the_highest_that_all_runs_reach(gather):
    rows = [*accuracies([0.1, 0.9, 0.8], "a/x"), *accuracies([0.1, 0.5, 0.95], "b/y")]
    tables = align(gather(rows), accuracy=TOP)
    assert common_accuracy(tables.values()) == pytest.approx(0.85)
    assert math.isnan(common_accuracy([]))
    assert math.isnan(common_accuracy(align(gather(rows)).values()))


def test_tuning_seeds_locate_an_extreme_and_half_the_way_to_its_neighbours(gather):
    curves = [(0.9, 0.2, 0.6, 0.3, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.9), (0.9, 0.3, 0.4, 0.6) + (0.1,) * 7]
    rows = [
        one
        for seed, values in enumerate(curves)
        for one in accuracies(values, f"me/{seed}", scale="tiny", seed=seed)
    ]
    window = locate("P", TOP, gather(rows))
    assert (window.start, window.end) == (pytest.approx(0.15), pytest.approx(0.25))
    lowest = locate("P", TOP, gather(rows), highest=False)
    assert (lowest.start, lowest.end) == (pytest.approx(0.05), pytest.approx(0.15))
    with pytest.raises(EvaluationError, match="no common revision with a value from 31 to 39 %"):
        locate("P", TOP, gather(rows), start=0.31, end=0.39)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "needs exactly one of start and end, untrained, epochs, accuracy or reached; it has 0"),
        ({"start": 0.1, "end": 0.2, "untrained": True}, "it has 2"),
        ({"start": 0.2, "end": 0.1}, "goes from 0.2 to 0.1"),
        ({"start": 0.2}, "goes from 0.2 to None"),
        ({"epochs": (-1,)}, "an epoch below 0"),
        ({"accuracy": 1.5}, "at an accuracy of 1.5"),
    ],
)
def test_a_window_chooses_revisions_in_one_way(columns, message):
    with pytest.raises(ConfigError, match=message):
        Window(name="W", **columns)


def test_a_run_without_accuracy_is_nowhere_at_one():
    table = pd.DataFrame({"accuracy": [math.nan], "monotone_accuracy": [math.nan]}, index=["epoch-000"])
    assert place(Window(name="A", accuracy=0.5), table) == ({}, "the run has no accuracy")


@pytest.mark.parametrize(
    ("columns", "revisions"),
    [
        ({"reached": 0.5, "revisions": 2}, ["c", "d"]),
        ({"reached": 0.5, "revisions": 2, "shift": 1}, ["d", "e"]),
        ({"reached": 0.3, "revisions": 4}, ["c", "d", "e", "f"]),  # one revision alone may be lucky
        ({"reached": 0.5}, ["c", "d", "e", "f"]),
        ({"start": 0.2, "end": 0.4, "shift": -1}, ["a", "b"]),
        ({"start": 0.4, "end": 0.6, "shift": 1}, ["d", "e"]),
    ],
)
def test_a_window_begins_where_an_accuracy_is_reached_twice_in_a_row_and_can_be_moved(columns, revisions):
    table = pd.DataFrame(
        {"share": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], "accuracy": [0.35, 0.2, 0.5, 0.6, 0.4, 0.7]},
        index=list("abcdef"),
    )
    shares, cause = place(Window(name="A", **columns), table)
    assert (list(shares), cause) == (revisions, "")
    assert sum(shares.values()) == pytest.approx(1)


def test_a_window_that_is_not_in_the_run_has_its_cause():
    table = pd.DataFrame({"share": [0.0, 0.5, 1.0], "accuracy": [0.1, 0.6, 0.2]}, index=list("abc"))
    assert "never has an accuracy of 0.5 twice in a row" in place(Window(name="A", reached=0.5), table)[1]
    assert "too few revisions" in place(Window(name="A", reached=0.1, revisions=4), table)[1]
    assert "too few revisions" in place(Window(name="L", start=0.9, end=1, shift=1), table)[1]
