"""The rules of verdicts, as data: which word an interval gets, and what several words say together.

An interval [L, U] is oriented so that positive favours the claim, and δ is the smallest effect of interest. The points
-δ, 0 and δ divide the line, so there are ten kinds of intervals, each with its word:

=================== ==============================================
L >= δ              holds
0 < L < δ <= U      right direction, size open
0 < L, U < δ        right direction, smaller than δ
-δ < L <= 0 <= U < δ negligible
-δ < L, U < 0       wrong direction, smaller than δ
L <= -δ < U < 0     wrong direction, size open
U <= -δ             contradicted
L <= -δ, 0 <= U < δ an effect of δ is excluded
-δ < L <= 0, U >= δ undecided; an opposite effect of δ is excluded
L <= -δ, U >= δ     undecided
=================== ==============================================

The rule ``five words`` says less: negligible for every interval inside (-δ, δ), and undecided for four others. The
first study is registered with it, so it stays the default of a file of claims.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Word = Literal[
    "holds",
    "right direction, size open",
    "right direction, smaller than δ",
    "negligible",
    "an effect of δ is excluded",
    "wrong direction, smaller than δ",
    "wrong direction, size open",
    "contradicted",
    "not supported",
    "depends on the readout",
    "undecided; an opposite effect of δ is excluded",
    "undecided",
    "gate failed",
    "not testable here",
]
RuleName = Literal["five words", "ten words"]

UNDECIDED: tuple[Word, ...] = ("undecided", "undecided; an opposite effect of δ is excluded")
"""The words that leave the direction and δ open."""
NO_VERDICT: tuple[Word, ...] = ("not testable here", "gate failed")
"""The words that judge nothing."""
NOT_HERE, GATE_FAILED = NO_VERDICT

Kind: TypeAlias = tuple[int, int]
"""How many of the points -δ, 0 and δ lie at or below L, and at or below U, as `kind_of` counts them."""


def kind_of(low: float, high: float, smallest_effect: float) -> Kind:
    """Where the ends of an interval lie among -δ, 0 and δ: one of ten pairs, with the first at most the second.

    Args:
        low, high: the ends.
        smallest_effect: δ, above 0.

    Examples:
        >>> from hf_clipdyn.statistics.rules import kind_of
        >>> kind_of(0.01, 0.09, 0.05)
        (2, 3)
    """
    # An end at a limit is on the side that the words of the rule give it.
    lower = (low > -smallest_effect) + (low > 0) + (low >= smallest_effect)
    upper = (high > -smallest_effect) + (high >= 0) + (high >= smallest_effect)
    return lower, upper


_TEN: Mapping[Kind, Word] = {
    (3, 3): "holds",
    (2, 3): "right direction, size open",
    (2, 2): "right direction, smaller than δ",
    (1, 2): "negligible",
    (1, 1): "wrong direction, smaller than δ",
    (0, 1): "wrong direction, size open",
    (0, 0): "contradicted",
    (0, 2): "an effect of δ is excluded",
    (1, 3): "undecided; an opposite effect of δ is excluded",
    (0, 3): "undecided",
}
_FIVE: Mapping[Kind, Word] = {
    **dict.fromkeys(_TEN, "undecided"),
    (3, 3): "holds",
    (2, 3): "right direction, size open",
    (2, 2): "negligible",
    (1, 2): "negligible",
    (1, 1): "negligible",
    (0, 0): "contradicted",
}
# That the opposite of the claim is smaller than δ: L > -δ is enough.
_NO_OPPOSITE: Mapping[Kind, Word] = {
    kind: "holds" if kind[0] > 0 else "contradicted" if kind == (0, 0) else "undecided" for kind in _TEN
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a study decides with.

    Attributes:
        words: of each kind of interval, for a contrast that must reach δ.
        no_opposite: the same, for a contrast that must not fall to -δ.
        against: words of one part that decide against a claim of several parts, the strongest first.
        whole_against: what the claim is called then; None for the word of the part.
        separate_errors: whether each source of error has a quantile of its own: half-width² is the sum of
            t²(degrees of freedom) times the variance. Otherwise Student's t has the degrees of freedom of the seeds.
        one_sided_controls: whether a control has a one-sided interval at 95 % in place of the claims' own.
    """

    words: Mapping[Kind, Word]
    no_opposite: Mapping[Kind, Word]
    against: tuple[Word, ...]
    whole_against: Word | None
    separate_errors: bool
    one_sided_controls: bool

    def word(self, low: float, high: float, smallest_effect: float, *, no_opposite: bool = False) -> Word:
        """The word for one interval; undecided for NaN.

        Args:
            low, high: the ends of the interval, oriented so that positive favours the claim.
            smallest_effect: δ, above 0.
            no_opposite: whether the contrast must only not fall to -δ.
        """
        if math.isnan(low) or math.isnan(high):
            return "undecided"
        return (self.no_opposite if no_opposite else self.words)[kind_of(low, high, smallest_effect)]


RULES: Mapping[RuleName, Rule] = {
    "five words": Rule(
        words=_FIVE,
        no_opposite=_NO_OPPOSITE,
        against=("contradicted", "negligible"),
        whole_against=None,
        separate_errors=False,
        one_sided_controls=False,
    ),
    "ten words": Rule(
        words=_TEN,
        no_opposite=_NO_OPPOSITE,
        against=(
            "contradicted",
            "wrong direction, size open",
            "wrong direction, smaller than δ",
            "an effect of δ is excluded",
            "negligible",
            "right direction, smaller than δ",
        ),
        whole_against="not supported",
        separate_errors=True,
        one_sided_controls=True,
    ),
}
"""The rules by the name that a file of claims gives."""
assert set(RULES) == set(get_args(RuleName))


def together(words: Sequence[Word], rule: Rule) -> tuple[Word, Word]:
    """What the parts of a claim say together: all must hold, and one that speaks against it is enough.

    Args:
        words: of the parts, at least one.
        rule: names the words that speak against a claim.

    Returns:
        The word of the claim, and that of the parts that decides it.
    """
    for word in rule.against:
        if word in words:
            return (rule.whole_against if rule.whole_against and len(words) > 1 else word), word
    for word in (NOT_HERE, *UNDECIDED):
        if word in words:
            # Of several parts, what one of them excludes says little of all.
            return (word if len(words) == 1 or word == NOT_HERE else "undecided"), word
    if set(words) == {"holds"}:
        return "holds", "holds"
    return "right direction, size open", "right direction, size open"


# Direction, and how much a word says: of two with one direction, the one that says less is the weaker.
_STRENGTHS: Mapping[Word, tuple[str, int]] = {
    "holds": ("for", 3),
    "right direction, size open": ("for", 2),
    "right direction, smaller than δ": ("for", 1),
    "negligible": ("neither", 1),
    "wrong direction, smaller than δ": ("against", 1),
    "wrong direction, size open": ("against", 2),
    "contradicted": ("against", 3),
    "not supported": ("not supported", 1),
}
_EXCLUDED: Word = "an effect of δ is excluded"
_EXCLUDE: frozenset[Word] = frozenset(
    (
        _EXCLUDED,
        "right direction, smaller than δ",
        "negligible",
        "wrong direction, smaller than δ",
        "wrong direction, size open",
        "contradicted",
    )
)


def weaker(first: Word, second: Word) -> Word:
    """What two readouts of one claim say together, if both decide something.

    Readouts with one direction have the weaker word; two that only have in common that they exclude an effect of δ, and
    of which one says no more, have that word. Otherwise the claim depends on the readout.

    Args:
        first, second: none of them is undecided or without a verdict.

    Examples:
        >>> from hf_clipdyn.statistics.rules import weaker
        >>> weaker("holds", "right direction, size open")
        'right direction, size open'
        >>> weaker("holds", "negligible")
        'depends on the readout'
    """
    if _EXCLUDED in (first, second):
        return _EXCLUDED if {first, second} <= _EXCLUDE else "depends on the readout"
    (direction, size), (other, smaller) = _STRENGTHS[first], _STRENGTHS[second]
    if direction != other:
        return "depends on the readout"
    return first if size <= smaller else second
