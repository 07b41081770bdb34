"""What the report says, and what it does not."""

import math
import re

import numpy as np
import pytest
from kept_cells import decisions, keep
from made_verdicts import judged, made
from result_rows import cell, row

from hf_clipdyn.report import headline, read_study, summarize
from hf_clipdyn.report.words import verdict_sentences
from hf_clipdyn.results.cells import CellStore

_ONE_RUN = "There is only one run, so the variation between seeds is unknown."


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


def test_no_sentence_names_a_change_from_the_intervals_of_single_revisions(study, say):
    text = " ".join([*say(study()), *say(study(dataset="cue_conflict"))])
    for word in ("rise", "fall", "phase", "turn", "peak", "significant"):
        assert word not in text.lower().replace("texture", "").split()


def test_the_human_reference_is_that_of_the_data_set(study, say):
    assert "Human observers: 0.9587." in say(study(dataset="cue_conflict"))[0]
    assert not any("uman observers" in sentence for sentence in say(study(dataset="procedural")))


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


def test_an_end_that_is_not_interpretable_gives_no_end_value(say):
    first = say(_bias((0.30, True), (0.70, False)))[0]
    assert first == (
        "Shape bias on Cue conflict: 0.300 [0.250, 0.350] (n = 1,000) at epoch-000 (untrained). "
        "Not interpretable: epoch-001."
    )


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(((0.48, True), (0.53, True)), id="around one half"),
        pytest.param(((0.30, True), (0.50, False), (0.80, True)), id="single revisions"),
        pytest.param(((0.30, True), (0.30, True), (0.80, True)), id="one revision above"),
    ],
)
def test_crossing_one_half_takes_two_revisions_in_a_row_on_each_side(say, points):
    first = say(_bias(*points))[0]
    assert "No crossing of 0.5 is shown: a crossing requires two revisions in a row on each side." in first


def test_two_crossings_are_two(say):
    low, high = (0.3, True), (0.8, True)
    first = say(_bias(low, low, high, high, low, low, low))[0]
    assert (
        "towards shape between epoch-001 and epoch-002, then towards texture between epoch-003 and epoch-004 ("
        in first
    )


def test_a_single_revision_has_no_crossing(say):
    assert say(_bias((0.3, True)))[0] == (
        "Shape bias on Cue conflict: 0.300 [0.250, 0.350] (n = 1,000) at epoch-000 (untrained). "
        "Human observers: 0.9587."
    )


def test_a_last_value_below_chance_is_called_so(say):
    rows = [row("zero_shot/x", "top1", 0.02, 0.01), row("zero_shot/x", "top1", 0.1, role="chance")]
    assert "chance is 0.1, and the whole interval of the last value is below it" in say(rows)[0]


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


def test_no_peak_is_claimed_whatever_the_shape(say):
    values = (0.5, 0.9, 0.5)
    text = " ".join(say([row("quality/t", "alignment", v, 0.01, epoch=e) for e, v in enumerate(values)]))
    assert "peak" not in text
    assert "0.900" not in text


def test_what_is_never_defined_is_given_with_its_cause(say):
    rows = [row("saliency/mit1003", "nss", math.nan, note="no fixation points")]
    assert say(rows)[0] == "NSS on mit1003: not defined at its only revision (no fixation points)."


def test_a_sentence_names_its_probe_and_what_sets_it_apart_within_the_run(say):
    assert say([row("saliency/osie", "nss", 0.5, probe="rollout")])[0].startswith(
        "NSS on osie, rollout: 0.500"
    )
    rows = [
        row("shape_bias/cue_conflict", "shape_bias", bias, dtype=dtype)
        for dtype, bias in (("float32", 0.4), ("bfloat16", 0.3))
    ]
    first, second, _ = say(rows)
    assert first.startswith("Shape bias on Cue conflict, float32: ")
    assert second.startswith("Shape bias on Cue conflict, bfloat16: ")


def test_without_intervals_values_are_given_and_nothing_is_said_to_differ(say):
    rows = [
        row(f"{kind}/x", metric, value, ci_low=math.nan, ci_high=math.nan, epoch=epoch, role=role)
        for epoch, level in enumerate((0.3, 0.8))
        for kind, metric, value, role in (
            ("zero_shot", "top1", level, "value"),
            ("zero_shot", "top1", 0.1, "chance"),
            ("shape_bias", "shape_bias", level, "value"),
        )
    ]
    bias, accuracy, limits = say(rows)
    assert bias == "Shape bias on x: from 0.300 at epoch-000 (untrained) to 0.800 (n = 1,000) at epoch-001."
    assert accuracy.endswith("at epoch-001; chance is 0.1.")
    assert limits == "No intervals of single revisions were computed. " + _ONE_RUN


def test_many_runs_are_described_by_the_range_of_their_last_values(say):
    rows = [
        row("noise/x", "area", value, 0.1, epoch=epoch, repo_id=f"me/{scale}-{seed}", scale=scale, seed=seed)
        for scale, last in (("tiny", 0.5), ("small", 0.7))
        for seed in range(4)
        for epoch, value in enumerate((0.2, last + 0.01 * seed))
    ]
    rows.append(row("noise/x", "area", 0.9, repo_id="them/clip", interpretable=False))
    assert say(rows)[:-1] == [
        "Area under the curve on x, 4 runs of scale tiny: last value 0.500 to 0.530.",
        "Area under the curve on x, 4 runs of scale small: last value 0.700 to 0.730.",
        "Area under the curve on x, 1 run: not interpretable or not defined in any run.",
    ]


def test_a_number_without_any_value_does_not_come_first(say):
    rows = [row("zero_shot/x", "top1", math.nan, note="no image"), row("noise/x", "area", 0.5)]
    first, second, _ = say(rows)
    assert first.startswith("Area under the curve on x: 0.500")
    assert second == "Zero-shot accuracy on x: not defined at its only revision (no image)."


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


def test_proxies_are_called_proxies(study, say):
    (sentence,) = [sentence for sentence in say(study()) if "alignment" in sentence]
    assert sentence.startswith("Low-level alignment (proxy), cosine on the embedded world (synthetic):")


def test_the_last_sentence_names_the_level_of_the_intervals_and_what_they_lack(study, say):
    alone, together = say(study())[-1], say([*study(), *study("me/other")])[-1]
    assert alone.startswith("The 95 % intervals of single revisions are over the clusters of items")
    assert "neither the variation between seeds nor that between checkpoints" in alone
    assert "There is only one run" in alone
    assert "Only the intervals of contrasts over several runs include the variation between seeds" in together
    assert "There is only one run" not in together
    rows = [
        row("noise/x", "area", 0.5, 0.1, confidence_level=level, epoch=i)
        for i, level in enumerate((0.9, 0.99))
    ]
    assert say(rows)[-1].startswith("The 90 % and 99 % intervals of single revisions are")


def test_with_several_runs_each_sentence_names_its_run(study, say):
    sentences = say([*study(), *study("me/other")])
    assert all(", me/fixture: " in one or ", me/other: " in one for one in sentences[:-1])


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
        "Turn to shape (late - early): 0.400 [0.300, 0.500] (5 runs), δ = 0.15. "
        "A positive control, no evidence: the world is made so that texture is easy and shape is reliable."
    )
    assert sentences[1] == (
        "Claim 5 by prompts, Sensitivity to noise falls (synthetic images): undecided (The interval is too wide). "
        "Drop falls (early - late): 0.020 [-0.040, 0.080] (5 runs), δ = 0.05."
    )
    assert sentences[2] == "Not testable here: claims 3 and 8 (No people judged)."
    assert sentences[3].startswith("Shape bias on the embedded world (synthetic): from")


def test_without_any_estimate_one_sentence_says_so(claims_of):
    nothing = claims_of(lambda one: [made(one, 3, word="not testable here", cause="No people.")])
    assert summarize(nothing)[0] == "These tables test none of the 1 claims: claim 3 (No people)."


def test_tables_without_a_benchmark_of_a_claim_get_no_verdict(write):
    sentences = summarize(write([row("noise/x", "area", 0.5, 0.1)]))
    assert (
        sentences[0]
        == "Area under the curve on x: 0.500 [0.400, 0.600] (n = 1,000) at epoch-000 (untrained)."
    )


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


def test_one_run_of_a_study_shares_the_verdicts_of_the_whole(claims_of):
    whole = claims_of(lambda one: [made(one, 5, (0.2, 0.05))])
    assert whole.of_run("me/fixture").verdicts is whole.verdicts
