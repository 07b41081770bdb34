"""What the report says, and what it does not."""

import re

import numpy as np
import pytest
from kept_cells import decisions, keep
from made_verdicts import judged, made
from result_rows import cell, row

from hf_clipdyn.report import headline, read_study, summarize
from hf_clipdyn.report.words import verdict_sentences
from hf_clipdyn.results.cells import CellStore


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
        "Shape bias on the embedded world (synthetic): from 0.300 [0.260, 0.340] at epoch-001 to 0.840 [0.800, 0.880] "
        "(n = 1,000) at epoch-005. "
        "It crosses 0.5 towards shape between epoch-002 and epoch-004 (two revisions in a row on each side). "
        "Not interpretable: epoch-000."
    )


def _bias(*points, half=0.05):
    return [
        row("shape_bias/cue_conflict", "shape_bias", value, half, epoch=epoch, interpretable=verdict)
        for epoch, (value, verdict) in enumerate(points)
    ]


def test_of_a_run_without_any_interpretable_value_no_value_is_given(say):
    first = say(_bias((0.61, False), (0.30, False)))[0]
    assert "not interpretable at any of 2 revisions" in first
    assert "0.61" not in first
    assert "0.30" not in first
    assert "uman" not in first


def _accuracy(*points):
    return [
        one
        for epoch, (value, half) in enumerate(points)
        for one in (
            row("zero_shot/x", "top1", value, half, epoch=epoch),
            row("zero_shot/x", "top1", 0.1, epoch=epoch, role="chance"),
        )
    ]


def test_a_last_value_at_chance_is_called_so(say):
    first = say(_accuracy((0.095, 0.006), (0.111, 0.012)))[0]
    assert first == (
        "Zero-shot accuracy on x: from 0.095 [0.089, 0.101] at epoch-000 (untrained) to 0.111 [0.099, 0.123] "
        "(n = 1,000) at epoch-001; chance is 0.1, and the last value is indistinguishable from chance."
    )
    assert say(_accuracy((0.095, 0.006), (0.2, 0.012)))[0].endswith("at epoch-001; chance is 0.1.")


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


@pytest.fixture
def claims_of(study, read):
    """The study of the made-up rows with made-up verdicts."""
    return lambda make: judged(one := read(study()), *make(one))


def test_verdicts_lead_with_contrasts_smallest_effects_and_what_the_data_are(claims_of):
    sentences = summarize(
        claims_of(
            lambda one: [
                made(one, 1, (0.2, 0.05), (0.4, 0.1)),
                made(one, 5, (0.02, 0.06), word="undecided", cause="The interval is too wide."),
                made(one, 3, word="not testable here", cause="No people judged."),
                made(one, 8, word="not testable here", cause="No people judged."),
            ]
        )
    )
    assert sentences[0] == (
        "Claim 1, Texture first, then shape (synthetic images, positive control): holds. "
        "Texture bias early (0.5 - early): 0.200 [0.150, 0.250] (5 runs), δ = 0.05; "
        "Shift to shape (late - early): 0.400 [0.300, 0.500] (5 runs), δ = 0.15. "
        "A positive control, no evidence: the world is made so that texture is easy and shape is reliable."
    )
    assert sentences[1] == (
        "Claim 5 by prompts, Sensitivity to noise falls (synthetic images): undecided (The interval is too wide). "
        "Drop falls (early - late): 0.020 [-0.040, 0.080] (5 runs), δ = 0.05."
    )
    assert sentences[2] == "Not testable here: claims 3 and 8 (No people judged)."
    assert sentences[3].startswith("Shape bias on the embedded world (synthetic): from")


def test_the_headline_is_a_verdict_that_is_evidence_else_a_description(claims_of):
    control = claims_of(lambda one: [made(one, 1, (0.2, 0.05), (0.4, 0.1))])
    assert headline(control) == (
        "Shape bias on the embedded world (synthetic): from 0.300 [0.260, 0.340] at epoch-001 to 0.840 [0.800, 0.880] "
        "(n = 1,000) at epoch-005."
    )
    evident = claims_of(lambda one: [made(one, 1, (0.2, 0.05), (0.4, 0.1)), made(one, 5, (0.2, 0.05))])
    assert headline(evident).startswith(
        "Claim 5 by prompts, Sensitivity to noise falls (synthetic images): holds."
    )
