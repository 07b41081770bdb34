"""What the report says, and what it does not."""

import math
import re

import numpy as np
import pytest
from kept_cells import decisions, keep
from made_verdicts import judged, made
from result_rows import cell, course

from hf_clipdyn.report import headline, read_study, summarize
from hf_clipdyn.report.words import crossings, verdict_sentences
from hf_clipdyn.results.cells import CellStore

DESCRIBED = (
    "Shape bias on the embedded world (synthetic): from 0.300 [0.260, 0.340] at epoch-001 to 0.840 [0.800, 0.880] "
    "(n = 1,000) at epoch-005."
)


@pytest.fixture
def say(read):
    """The plain descriptions of a table of these rows; the verdicts before them have tests of their own."""

    def say(rows):
        study = read(rows)
        return summarize(study)[len(verdict_sentences(study)) :]

    return say


def test_ends_and_crossing_are_given_with_their_intervals(study, say):
    first = say(study())[0]
    assert first == (
        f"{DESCRIBED} It crosses 0.5 towards shape between epoch-002 and epoch-004 (two revisions in a row on each "
        "side). Not interpretable: epoch-000."
    )


def test_of_a_run_without_any_interpretable_value_no_value_is_given(say):
    rows = course("shape_bias/cue_conflict", "shape_bias", [0.61, 0.30], 0.05, interpretable=False)
    first = say(rows)[0]
    assert "not interpretable at any of 2 revisions" in first
    assert "0.61" not in first
    assert "0.30" not in first
    assert "uman" not in first


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (0.111, "0.111 [0.099, 0.123] (n = 1,000) at epoch-001; chance is 0.1, and the last value is "),
        (0.2, "0.200 [0.188, 0.212] (n = 1,000) at epoch-001; chance is 0.1."),
    ],
)
def test_a_last_value_at_chance_is_called_so(say, last, said):
    rows = course("zero_shot/x", "top1", [0.095, last], 0.012)
    first = say([*rows, *course("zero_shot/x", "top1", [0.1, 0.1], role="chance")])[0]
    assert first.startswith("Zero-shot accuracy on x: from 0.095 [0.083, 0.107] at epoch-000 (untrained) to ")
    assert said in first
    assert ("indistinguishable from chance" in first) == (last < 0.2)


@pytest.mark.parametrize(
    ("values", "columns", "crossed"),
    [
        ([0.3, 0.3, 0.5, 0.7, 0.7], {}, [(1, 3)]),
        ([0.7, 0.7, 0.3, 0.3, 0.7, 0.7], {}, [(1, 2), (3, 4)]),
        # one revision alone may be noise
        ([0.3, 0.3, 0.7, 0.3, 0.7, 0.3], {}, []),
        ([0.3, 0.7, 0.7, 0.7], {}, []),
        # a value whose interval holds the level, or that has none, is on no side
        ([0.3, 0.3, 0.7, 0.52, 0.7], {}, []),
        ([0.3, 0.3, 0.7, 0.7], {"half": math.nan}, []),
        ([0.3, 0.3, 0.7, 0.7], {"interpretable": False}, []),
    ],
)
def test_a_crossing_needs_two_revisions_in_a_row_on_both_sides(read, values, columns, crossed):
    planner = read(course("shape_bias/x", "shape_bias", values, **({"half": 0.05} | columns))).planner
    (points,) = map(planner.points, planner.courses)
    assert [(before.order, after.order) for before, after in crossings(points, 0.5)] == crossed


@pytest.mark.parametrize(("share", "significant"), [(0.5, False), (0.9, True)])
def test_the_headline_names_its_first_revision_and_says_when_a_change_is_not_significant(
    tmp_path, share, significant
):
    path = tmp_path / "results.parquet"
    store, rng = CellStore(path), np.random.default_rng(0)
    for revision, right in (("epoch-000", 0.5), ("epoch-001", share)):
        keep(store, cell(revision, "zero_shot/cifar10"), decisions(rng.random(100) < right))
    store.rebuild()
    words = headline(read_study(path))
    assert re.search(
        r"from 0\.\d+.* at epoch-000.* to 0\.\d+.* at epoch-001, a paired change of [+-]0\.\d+ \[", words
    )
    assert ("which is not significant" in words) == (not significant)


def test_verdicts_lead_with_contrasts_smallest_effects_and_what_the_data_are(study, read):
    wide = made(5, (0.02, 0.06), word="undecided", cause="The interval is too wide.")
    others = (made(number, word="not testable here", cause="No people judged.") for number in (1, 6))
    sentences = summarize(judged(read(study()), wide, *others))
    assert sentences[0] == (
        "Claim 5 by prompts, Sensitivity to noise falls (synthetic images): undecided (The interval is too wide). "
        "Drop falls (early - late): 0.020 [-0.040, 0.080] (5 runs), δ = 0.05."
    )
    assert sentences[1] == "Not testable here: claims 1 and 6 by prompts (No people judged)."
    assert sentences[2].startswith(DESCRIBED)


def test_the_headline_is_a_verdict_that_is_evidence_else_a_description(study, read):
    control = made(1, (0.2, 0.05), (0.4, 0.1))
    assert headline(judged(read(study()), control)) == DESCRIBED
    evident = made(5, (0.2, 0.05))
    assert headline(judged(read(study()), control, evident)).startswith(
        "Claim 5 by prompts, Sensitivity to noise falls (synthetic images): holds."
    )
