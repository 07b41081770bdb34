"""What the report says, and what it does not."""

import math

import pytest
from result_rows import row

from hf_clipdyn.report import summarize


@pytest.fixture
def say(write):
    return lambda rows: summarize(write(rows))


def test_phase_turn_and_end_are_given_with_their_intervals(study, say):
    first = say(study())[0]
    assert first == (
        "Shape bias on the synthetic world: a texture phase (epoch-001 to epoch-002, 2 revisions with intervals below "
        "0.5), lowest observed value 0.300 [0.260, 0.340] (n = 1,000) at epoch-001; it turns to shape between "
        "epoch-002 and epoch-004 (1 undecided in between). It ends at 0.840 [0.800, 0.880] (n = 1,000), epoch-005. "
        "Cue accuracy there: 0.850 [0.820, 0.880] (n = 1,000); null 0.272. Not interpretable: epoch-000."
    )


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
    assert "indistinguishable from chance" in first
    assert "say nothing about texture or shape" in first
    assert "0.61" not in first
    assert "0.30" not in first
    assert "uman" not in first


def test_an_end_that_is_not_interpretable_gives_no_end_value(say):
    first = say(_bias((0.30, True), (0.70, False)))[0]
    assert "At the last revision, epoch-001, it is not interpretable." in first
    assert "0.700" not in first
    assert "no significant turn" in first


def test_values_around_one_half_make_neither_phase_nor_turn(say):
    first = say(_bias((0.48, True), (0.53, True)))[0]
    assert "no texture phase" in first
    assert "no significant turn" in first


def test_single_revisions_below_one_half_make_no_texture_phase(say):
    first = say(_bias((0.30, True), (0.50, False), (0.30, True)))[0]
    assert "which is no texture phase" in first
    assert (
        "0.300 [0.250, 0.350] (n = 1,000) at epoch-000, 0.300 [0.250, 0.350] (n = 1,000) at epoch-002"
        in first
    )


def test_a_single_revision_has_neither_phase_nor_turn(say):
    assert say(_bias((0.3, True)))[0] == (
        "Shape bias on Cue conflict: 0.300 [0.250, 0.350] (n = 1,000) at epoch-000 (untrained). "
        "Human observers: 0.9587."
    )


def test_separate_phases_are_not_merged_into_one(say):
    low, high = (0.3, True), (0.8, True)
    first = say(_bias(low, low, high, high, low, low, low))[0]
    assert (
        "2 texture phases (epoch-000 to epoch-001, 2 revisions; epoch-004 to epoch-006, 3 revisions" in first
    )


def test_a_last_value_below_chance_is_called_so(say):
    rows = [row("zero_shot/x", "top1", 0.02, 0.01), row("zero_shot/x", "top1", 0.1, role="chance")]
    assert "chance is 0.1, and the whole interval of the last value is below it" in say(rows)[0]


def test_a_change_within_the_intervals_is_not_significant(say):
    rows = [
        row("quality/t", "alignment", value, 0.05, epoch=epoch) for epoch, value in enumerate((0.50, 0.58))
    ]
    assert say(rows)[0].endswith("no significant change.")


def test_a_rise_beyond_the_intervals_is_one(say):
    rows = [
        row("quality/t", "alignment", value, 0.01, epoch=epoch) for epoch, value in enumerate((0.50, 0.58))
    ]
    assert say(rows)[0].endswith("(n = 1,000) at epoch-001, a rise.")


def _accuracy(*points):
    return [
        one
        for epoch, (value, half) in enumerate(points)
        for one in (
            row("zero_shot/x", "top1", value, half, epoch=epoch),
            row("zero_shot/x", "top1", 0.1, epoch=epoch, role="chance"),
        )
    ]


def test_between_two_values_at_chance_no_rise_is_named(say):
    first = say(_accuracy((0.095, 0.006), (0.111, 0.012)))[0]
    assert first.endswith("at epoch-001, both indistinguishable from chance; chance is 0.1.")
    rising = say(_accuracy((0.08, 0.006), (0.111, 0.012)))[0]
    assert rising.endswith("a rise; chance is 0.1, and the last value is indistinguishable from chance.")


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


def test_without_intervals_neither_a_change_nor_its_absence_is_claimed(say):
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
    assert "There are no intervals to show a texture phase or a turn." in bias
    assert "no texture phase" not in bias
    assert accuracy.endswith("without the intervals that would show whether this is a change; chance is 0.1.")
    assert limits.startswith("No intervals were computed")


def test_proxies_are_called_proxies(study, say):
    (sentence,) = [sentence for sentence in say(study()) if "alignment" in sentence]
    assert sentence.startswith("Low-level alignment (proxy), cosine on the synthetic world:")


def test_the_last_sentence_names_the_level_of_the_intervals_and_what_they_lack(study, say):
    alone, together = say(study())[-1], say([*study(), *study("me/other")])[-1]
    assert alone.startswith("The 95 % intervals are over the items")
    assert "neither the variation between seeds nor that between checkpoints" in alone
    assert "There is one run" in alone
    assert "There are 2 runs" in together
    rows = [
        row("noise/x", "area", 0.5, 0.1, confidence_level=level, epoch=i)
        for i, level in enumerate((0.9, 0.99))
    ]
    assert say(rows)[-1].startswith("The 90 % and 99 % intervals are")


def test_with_several_runs_each_sentence_names_its_run(study, say):
    sentences = say([*study(), *study("me/other")])
    assert all(sentence.startswith(("me/fixture, ", "me/other, ")) for sentence in sentences[:-1])
