"""What the report says, and what it does not."""

import math

import pytest

from hf_clipdyn.report import result_tables, summarize


@pytest.fixture
def say(write):
    return lambda rows: summarize(write(rows))


def test_phase_turn_and_end_are_said_with_their_intervals(study, say):
    first = say(study())[0]
    assert first == (
        "Shape bias on the synthetic world (procedural): a texture phase (2 revisions from epoch-001 to epoch-002 "
        "have their interval below one half), the lowest value seen 0.300 [0.260, 0.340] (n = 1,000) at epoch-001; "
        "it turns to shape between epoch-002 and epoch-004 (1 undecided in between). It ends at 0.840 [0.800, 0.880] "
        "(n = 1,000), epoch-005. Cue accuracy there: 0.850 [0.820, 0.880], 850 decisions of 1,000, 0.272 "
        "with the decisions shuffled. Not interpretable near chance: epoch-000."
    )


def test_the_human_reference_is_for_real_images_only(study, say):
    assert "Human observers: 0.9587." in say(study(dataset="cue_conflict"))[0]
    assert not any("uman observers" in sentence for sentence in say(study(dataset="procedural")))


def _bias(row, points):
    rows = []
    for epoch, (value, told) in enumerate(points):
        rows.append(row("shape_bias/cue_conflict", "shape_bias", value, 0.05, epoch=epoch))
        rows.append(row("shape_bias/cue_conflict", "interpretable", told, epoch=epoch))
    return rows


def test_a_run_near_chance_is_said_to_say_nothing(row, say):
    first = say(_bias(row, [(0.61, 0.0), (0.30, 0.0)]))[0]
    assert "not interpretable near chance at any of 2 revisions" in first
    assert "0.61" not in first
    assert "0.30" not in first
    assert "uman" not in first


def test_an_end_near_chance_gives_no_end_value(row, say):
    first = say(_bias(row, [(0.30, 1.0), (0.70, 0.0)]))[0]
    assert "At the last revision, epoch-001, it is not interpretable near chance." in first
    assert "0.700" not in first
    assert "no turn that the intervals bear out" in first


def test_values_around_one_half_make_neither_phase_nor_turn(row, say):
    first = say(_bias(row, [(0.48, 1.0), (0.53, 1.0)]))[0]
    assert "no texture phase" in first
    assert "no turn that the intervals bear out" in first


def test_single_revisions_below_one_half_make_no_texture_phase(row, say):
    first = say(_bias(row, [(0.30, 1.0), (0.50, 0.0), (0.30, 1.0)]))[0]
    assert "which makes no texture phase" in first
    assert (
        "0.300 [0.250, 0.350] (n = 1,000) at epoch-000, 0.300 [0.250, 0.350] (n = 1,000) at epoch-002"
        in first
    )


def test_a_last_value_below_chance_is_called_so(row, say):
    rows = [row("zero_shot/x", "top1", 0.02, 0.01), row("zero_shot/x", "chance", 0.1)]
    assert "chance is 0.1, above the whole interval of the last value" in say(rows)[0]


def test_a_change_within_the_intervals_is_none(row, say):
    rows = [
        row("quality/t", "alignment", value, 0.05, epoch=epoch) for epoch, value in enumerate((0.50, 0.58))
    ]
    assert say(rows)[0].endswith("no change that the intervals bear out.")


def test_a_rise_beyond_the_intervals_is_one(row, say):
    rows = [
        row("quality/t", "alignment", value, 0.01, epoch=epoch) for epoch, value in enumerate((0.50, 0.58))
    ]
    assert say(rows)[0].endswith("(n = 1,000) at epoch-001, a rise.")


def test_no_peak_is_claimed_whatever_the_shape(row, say):
    values = (0.5, 0.9, 0.5)
    text = " ".join(say([row("quality/t", "alignment", v, 0.01, epoch=e) for e, v in enumerate(values)]))
    assert "peak" not in text
    assert "0.900" not in text


def test_an_accuracy_not_told_from_chance_is_called_so(row, say):
    rows = [
        measured
        for epoch in (0, 1)
        for measured in (
            row("zero_shot/x", "top1", 0.11 + 0.01 * epoch, 0.02, epoch=epoch),
            row("zero_shot/x", "chance", 0.1, epoch=epoch),
        )
    ]
    assert "chance is 0.1, from which the last value is not told apart" in say(rows)[0]


def test_what_is_never_defined_is_said_with_its_cause(row, say):
    rows = [row("saliency/mit1003", "nss", math.nan, note="no fixation points")]
    assert say(rows)[0] == "NSS on mit1003: not defined at its one revision (no fixation points)."


def test_a_sentence_names_its_probe_and_what_sets_it_apart_within_the_run(row, say):
    assert say([row("saliency/osie", "nss", 0.5, probe="rollout")])[0].startswith(
        "NSS on osie, rollout: 0.500"
    )
    rows = [
        row("shape_bias/cue_conflict", metric, value, dtype=dtype)
        for dtype, bias in (("float32", 0.4), ("bfloat16", 0.3))
        for metric, value in (("shape_bias", bias), ("interpretable", 1.0))
    ]
    first, second, _ = say(rows)
    assert first.startswith("Shape bias on cue conflict, float32: ")
    assert second.startswith("Shape bias on cue conflict, bfloat16: ")


def test_without_intervals_neither_a_change_nor_its_absence_is_claimed(row, say):
    rows = [
        row(f"{kind}/x", metric, value, ci_low=math.nan, ci_high=math.nan, epoch=epoch)
        for epoch, level in enumerate((0.3, 0.8))
        for kind, metric, value in (
            ("zero_shot", "top1", level),
            ("zero_shot", "chance", 0.1),
            ("shape_bias", "shape_bias", level),
            ("shape_bias", "interpretable", 1.0),
        )
    ]
    bias, accuracy, _ = say(rows)
    assert "there are no intervals to tell a texture phase or a turn." in bias
    assert "no texture phase" not in bias
    assert accuracy.endswith("without the intervals that tell whether this is a change; chance is 0.1.")


def test_proxies_are_called_proxies(study, say):
    (sentence,) = [sentence for sentence in say(study()) if "alignment" in sentence]
    assert sentence.startswith("Low-level alignment (proxy), cosine on the synthetic world (procedural):")


def test_the_last_sentence_names_what_the_intervals_lack(study, say):
    alone, together = say(study())[-1], say([*study(), *study("me/other")])[-1]
    assert "neither the noise of another seed nor that of another checkpoint" in alone
    assert "There is one run" in alone
    assert "There are 2 runs" in together


def test_with_several_runs_each_sentence_names_its_run(study, say):
    sentences = say([*study(), *study("me/other")])
    assert all(sentence.startswith(("me/fixture, ", "me/other, ")) for sentence in sentences[:-1])


def test_the_table_in_the_terminal_gives_no_number_where_none_is_meant(study, write):
    (table,) = result_tables(write(study()))
    untrained = next(line for line in table.splitlines() if line.startswith("epoch-000"))
    assert untrained.split("  ")[1] == "near chance"
    assert "not defined" in untrained
    assert "epoch-005  0.84 [0.80, 0.88]" in table
