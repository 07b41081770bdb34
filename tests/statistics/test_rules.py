"""The rules: the word of an interval, of several parts, and of two readouts."""

import math
from itertools import product
from typing import get_args

import pytest

from hf_clipdyn.statistics.rules import RULES, UNDECIDED, Rule, Word, kind_of, together, weaker
from hf_clipdyn.statistics.verdicts import word_of

_TEN, _FIVE = RULES["ten words"], RULES["five words"]
_OPEN = "right direction, size open"
_ENDS = [at / 40 for at in range(-8, 9)]
_INTERVALS = [(low, high) for low, high in product(_ENDS, _ENDS) if low <= high]


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.05, 0.2, "holds"),
        (0.06, 0.07, "holds"),
        (0.01, 0.05, _OPEN),
        (0.04, 0.2, _OPEN),
        (0.01, 0.04, "negligible"),
        (-0.04, 0.04, "negligible"),
        (-0.05, 0.04, "undecided"),
        (-0.01, 0.06, "undecided"),
        (0.0, 0.06, "undecided"),
        (-0.2, -0.05, "contradicted"),
        (-0.2, -0.04, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_rule_of_the_first_study(low: float, high: float, word: str):
    assert word_of(low, high, 0.05) == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.05, 0.05, "holds"),
        (0.05, 0.2, "holds"),
        (0.01, 0.05, _OPEN),
        (0.049, 0.2, _OPEN),
        (0.01, 0.049, "right direction, smaller than δ"),
        (0.0, 0.049, "negligible"),
        (-0.049, 0.0, "negligible"),
        (-0.049, -0.001, "wrong direction, smaller than δ"),
        (-0.05, -0.001, "wrong direction, size open"),
        (-0.2, -0.049, "wrong direction, size open"),
        (-0.2, -0.05, "contradicted"),
        (-0.05, 0.0, "an effect of δ is excluded"),
        (-0.2, 0.049, "an effect of δ is excluded"),
        (-0.049, 0.05, "undecided; an opposite effect of δ is excluded"),
        (0.0, 0.2, "undecided; an opposite effect of δ is excluded"),
        (-0.05, 0.05, "undecided"),
        (-0.2, 0.2, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_rule_of_ten_words(low: float, high: float, word: str):
    assert word_of(low, high, 0.05, "ten words") == word


def _ten_by_hand(low: float, high: float, effect: float) -> str:
    """The table of the second study's design, line by line."""
    conditions = {
        "holds": low >= effect,
        _OPEN: 0 < low < effect <= high,
        "right direction, smaller than δ": low > 0 and high < effect,
        "negligible": -effect < low <= 0 <= high < effect,
        "wrong direction, smaller than δ": -effect < low and high < 0,
        "wrong direction, size open": low <= -effect < high < 0,
        "contradicted": high <= -effect,
        "an effect of δ is excluded": low <= -effect and 0 <= high < effect,
        "undecided; an opposite effect of δ is excluded": -effect < low <= 0 and high >= effect,
        "undecided": low <= -effect and high >= effect,
    }
    (word,) = [word for word, applies in conditions.items() if applies]
    return word


def test_each_interval_has_exactly_one_of_the_ten_words_and_no_size_matters():
    words = {ends: word_of(*ends, 0.1, "ten words") for ends in _INTERVALS}
    assert words == {ends: _ten_by_hand(*ends, 0.1) for ends in _INTERVALS}
    assert len(set(words.values())) == 10
    assert {ends: word_of(3 * ends[0], 3 * ends[1], 0.3, "ten words") for ends in _INTERVALS} == words


def test_five_words_say_less_and_nothing_else_than_ten():
    same = ("holds", _OPEN, "contradicted", "negligible", "undecided")
    for ends in _INTERVALS:
        five, ten = word_of(*ends, 0.1), word_of(*ends, 0.1, "ten words")
        assert five == ten or ten not in same
        assert five == "negligible" or "smaller" not in ten
    assert {word_of(*ends, 0.1) for ends in _INTERVALS} == set(same)


def test_the_words_of_the_ten_rule_mirror_each_other():
    mirror = {
        "holds": "contradicted",
        _OPEN: "wrong direction, size open",
        "right direction, smaller than δ": "wrong direction, smaller than δ",
        "negligible": "negligible",
        "an effect of δ is excluded": "undecided; an opposite effect of δ is excluded",
        "undecided": "undecided",
    }
    mirror |= {other: word for word, other in mirror.items()}
    for low, high in _INTERVALS:
        assert word_of(-high, -low, 0.1, "ten words") == mirror[word_of(low, high, 0.1, "ten words")]


def test_no_fall_is_shown_by_the_lower_end_alone():
    for ends in _INTERVALS:
        word = _TEN.word(*ends, 0.1, no_opposite=True)
        assert (word == "holds") == (ends[0] > -0.1)
        assert (word == "contradicted") == (ends[1] <= -0.1)


def test_both_rules_have_a_word_for_every_kind_of_interval():
    kinds = {kind_of(*ends, 0.1) for ends in _INTERVALS}
    for rule in RULES.values():
        assert set(rule.words) == set(rule.no_opposite) == kinds
        assert set(rule.against) <= set(get_args(Word))


@pytest.mark.parametrize(
    ("rule", "words", "whole", "deciding"),
    [
        (_TEN, ["holds"], "holds", "holds"),
        (_TEN, ["holds", "holds"], "holds", "holds"),
        (_TEN, ["holds", _OPEN], _OPEN, _OPEN),
        (_TEN, ["negligible"], "negligible", "negligible"),
        (_TEN, ["holds", "negligible"], "not supported", "negligible"),
        (_TEN, ["undecided", "wrong direction, size open"], "not supported", "wrong direction, size open"),
        (
            _TEN,
            ["holds", "right direction, smaller than δ"],
            "not supported",
            "right direction, smaller than δ",
        ),
        (_TEN, ["an effect of δ is excluded", "contradicted"], "not supported", "contradicted"),
        (_TEN, ["holds", "undecided"], "undecided", "undecided"),
        (_TEN, ["holds", UNDECIDED[1]], "undecided", UNDECIDED[1]),
        (_TEN, [UNDECIDED[1]], UNDECIDED[1], UNDECIDED[1]),
        (_TEN, ["not testable here", "undecided"], "not testable here", "not testable here"),
        (_FIVE, ["holds", "negligible"], "negligible", "negligible"),
        (_FIVE, ["negligible", "contradicted"], "contradicted", "contradicted"),
        (_FIVE, ["undecided", "holds"], "undecided", "undecided"),
    ],
)
def test_all_parts_must_hold_and_one_against_is_enough(
    rule: Rule, words: list[Word], whole: str, deciding: str
):
    assert together(words, rule) == (whole, deciding)


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ("holds", "holds", "holds"),
        ("holds", _OPEN, _OPEN),
        ("holds", "right direction, smaller than δ", "right direction, smaller than δ"),
        ("contradicted", "wrong direction, size open", "wrong direction, size open"),
        ("holds", "negligible", "depends on the readout"),
        ("holds", "contradicted", "depends on the readout"),
        ("right direction, smaller than δ", "wrong direction, smaller than δ", "depends on the readout"),
        ("negligible", "negligible", "negligible"),
        ("not supported", "not supported", "not supported"),
        ("not supported", "holds", "depends on the readout"),
        ("an effect of δ is excluded", "negligible", "an effect of δ is excluded"),
        ("an effect of δ is excluded", "contradicted", "an effect of δ is excluded"),
        ("an effect of δ is excluded", _OPEN, "depends on the readout"),
    ],
)
def test_two_readouts_have_the_weaker_word_or_disagree(first: Word, second: Word, word: str):
    assert weaker(first, second) == weaker(second, first) == word
